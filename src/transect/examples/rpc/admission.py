# SPDX-License-Identifier: Apache-2.0
"""Admission control: a service that is full, or fails, gets fewer calls before it breaks down."""

from transect.lang import Instant, Param, now, param, rand, seconds
from transect.rpc import Cause, Code, Element, Forward, Outcome, Reject, Rpc, Verdict


class Admission(Element):
    """At most `most` calls at once; the larger the share that failed lately, the smaller the share that passes."""

    most: Param[int] = param(100)
    running: int = 0
    asked: float = 0.0
    answered: float = 0.0
    since: Instant = 0

    def request(self, rpc: Rpc) -> Verdict:
        self.running += 1
        if now() - self.since > seconds(10):  # the past counts half
            self.asked /= 2.0
            self.answered /= 2.0
            self.since = now()
        self.asked += 1.0
        if self.running > self.most or rand() < (self.asked - 2.0 * self.answered - 10.0) / (
            self.asked + 1.0
        ):
            return Reject(Code.UNAVAILABLE, "too busy")
        return Forward()

    def finish(self, rpc: Rpc, outcome: Outcome) -> None:
        self.running -= 1
        if outcome.cause == Cause.REPLY and outcome.code not in (Code.UNAVAILABLE, Code.RESOURCE_EXHAUSTED):
            self.answered += 1.0
