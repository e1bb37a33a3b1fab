# SPDX-License-Identifier: Apache-2.0
"""Say what passes by, without saying what is in it."""

from transect.lang import Local, as_int, local, trace
from transect.rpc import Element, Forward, Outcome, Rpc, Verdict


class Logging(Element):
    """One line for each RPC: method, messages each way, status, time."""

    sent: Local[int] = local(0)
    received: Local[int] = local(0)

    def request(self, rpc: Rpc) -> Verdict:
        self.sent += 1
        return Forward()

    def response(self, rpc: Rpc) -> Verdict:
        self.received += 1
        return Forward()

    def finish(self, rpc: Rpc, outcome: Outcome) -> None:
        elapsed_us = as_int(outcome.elapsed) // 1000
        trace(f"{rpc.method} {outcome.code} sent={self.sent} received={self.received} us={elapsed_us}")
