# SPDX-License-Identifier: Apache-2.0
"""Say what passes by, without saying what is in it."""

from transect.lang import Local, as_int, local, trace
from transect.rpc import Element, Forward, Outcome, Rpc, Verdict


class Logging(Element):
    """One line for each RPC, however it ends: who called what, how many messages, how it ended, how long it took."""

    sent: Local[int] = local(0)

    def request(self, rpc: Rpc) -> Verdict:
        self.sent += 1
        return Forward()

    def finish(self, rpc: Rpc, outcome: Outcome) -> None:
        took = as_int(outcome.elapsed) // 1000
        trace(f"{rpc.peer} {rpc.method} sent={self.sent} code={outcome.code} cause={outcome.cause} us={took}")
