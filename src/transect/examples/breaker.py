# SPDX-License-Identifier: Apache-2.0
"""A circuit breaker: a service that fails is left alone for a while, then tried by one call."""

from enum import IntEnum

from transect.lang import Duration, Instant, Local, Param, local, now, param, seconds
from transect.rpc import Cause, Code, Element, Forward, Outcome, Reject, Rpc, Verdict


class Phase(IntEnum):
    CLOSED = 0
    OPEN = 1
    TRYING = 2


class Breaker(Element):
    """Open after `limit` failures in a row; after `pause` one call may try, and its outcome decides."""

    limit: Param[int] = param(5)
    pause: Param[Duration] = param(seconds(1))
    phase: Phase = Phase.CLOSED
    failed: int = 0
    opened: Instant = 0
    trying: Local[bool] = local(False)

    def request(self, rpc: Rpc) -> Verdict:
        if self.phase == Phase.OPEN and now() - self.opened >= self.pause:
            self.phase = Phase.TRYING
            self.trying = True
            return Forward()
        if self.phase != Phase.CLOSED and not self.trying:
            return Reject(Code.UNAVAILABLE, "circuit open")
        return Forward()

    def finish(self, rpc: Rpc, outcome: Outcome) -> None:
        if outcome.cause == Cause.CANCEL and not self.trying:
            return  # says nothing about the service
        if outcome.code in (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.INTERNAL, Code.CANCELLED):
            self.failed += 1
            if self.trying or self.failed >= self.limit:
                self.phase = Phase.OPEN
                self.opened = now()
        elif self.trying or self.phase == Phase.CLOSED:
            self.phase = Phase.CLOSED
            self.failed = 0
