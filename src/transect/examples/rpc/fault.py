# SPDX-License-Identifier: Apache-2.0
"""Fault injection: fail some calls, delay others, to see how callers cope."""

from transect.lang import Duration, Param, ms, param, rand
from transect.rpc import Code, Element, Forward, Reject, Rpc, Verdict


class Fault(Element):
    """Abort a share of the calls, and delay another share."""

    abort: Param[float] = param(0.01)
    delay: Param[float] = param(0.01)
    delay_for: Param[Duration] = param(ms(100))

    def request(self, rpc: Rpc) -> Verdict:
        if rand() < self.abort:
            return Reject(Code.UNAVAILABLE, "fault injected")
        return Forward(after=self.delay_for) if rand() < self.delay else Forward()
