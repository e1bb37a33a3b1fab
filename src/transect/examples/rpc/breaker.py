# SPDX-License-Identifier: Apache-2.0
"""A circuit breaker: a service that fails is left alone for a while, then tried by one call."""

from transect.lang import Duration, Instant, Param, now, param, seconds
from transect.rpc import Cause, Code, Element, Forward, Outcome, Reject, Rpc, Verdict


class Breaker(Element):
    """Open after `limit` failures in a row; after each `pause` one call may try, and its success closes it."""

    limit: Param[int] = param(5)
    pause: Param[Duration] = param(seconds(1))
    failed: int = 0
    again: Instant = 0  # when the next call may try

    def request(self, rpc: Rpc) -> Verdict:
        if self.failed >= self.limit:
            if now() < self.again:
                return Reject(Code.UNAVAILABLE, "circuit open")
            self.again = now() + self.pause
        return Forward()

    def finish(self, rpc: Rpc, outcome: Outcome) -> None:
        if outcome.cause in (Cause.REJECT, Cause.CANCEL):
            return  # says nothing about the service
        bad = outcome.code in (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.INTERNAL)
        self.failed = min(self.failed + 1, self.limit) if bad else 0
        self.again = now() + self.pause if bad else self.again
