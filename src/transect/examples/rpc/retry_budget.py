# SPDX-License-Identifier: Apache-2.0
"""A budget for retries: a failed call is sent again as long as failures are few, so that retries never make a bad day
worse."""

from transect.lang import Param, ms, param, rand_below
from transect.rpc import Cause, Code, Element, Forward, Outcome, Retry, Rpc, Verdict


class RetryBudget(Element):
    """`share` retries for 100 calls, at most `burst` of them saved up; each waits for a random while."""

    share: Param[int] = param(10)
    burst: Param[int] = param(10)
    saved: int = 0  # hundredths of a retry

    def request(self, rpc: Rpc) -> Verdict:
        self.saved = min(self.saved + self.share, self.burst * 100)
        return Forward()

    def finish(self, rpc: Rpc, outcome: Outcome) -> Retry | None:
        if outcome.code != Code.UNAVAILABLE or outcome.cause == Cause.REJECT or self.saved < 100:
            return None
        self.saved -= 100
        return Retry(after=ms(1 + rand_below(20)))
