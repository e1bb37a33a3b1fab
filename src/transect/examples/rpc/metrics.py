# SPDX-License-Identifier: Apache-2.0
"""Counts and times for the operator."""

from transect.lang import Counter, Histogram, Tally, counter, histogram, tally
from transect.rpc import Code, Element, Forward, Outcome, Rpc, Verdict


class Metrics(Element):
    """Calls, failures by status, and how long calls take."""

    calls: Counter = counter()
    failures: Tally[Code, int] = tally(32)
    took: Histogram = histogram()

    def request(self, rpc: Rpc) -> Verdict:
        self.calls.add()
        return Forward()

    def finish(self, rpc: Rpc, outcome: Outcome) -> None:
        self.took.observe(outcome.elapsed)
        if outcome.code != Code.OK:
            self.failures[outcome.code] += 1
