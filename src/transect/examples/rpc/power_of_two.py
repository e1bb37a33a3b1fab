# SPDX-License-Identifier: Apache-2.0
"""Balancing by the power of two choices."""

from transect.lang import Local, Map, Tally, local, rand_below, table, tally
from transect.rpc import Element, Forward, Outcome, Rpc, Verdict


class PowerOfTwo(Element):
    """Of two routes that are drawn, the one with fewer calls under way (Mitzenmacher, 2001)."""

    routes: Map[int, str] = table(64)  # numbered from 0
    load: Tally[int, int] = tally(64)  # calls under way
    route: Local[int] = local(-1)

    def request(self, rpc: Rpc) -> Verdict:
        if self.route < 0:
            one, other = rand_below(len(self.routes)), rand_below(len(self.routes))
            self.route = one if self.load[one] <= self.load[other] else other
            self.load[self.route] += 1
        return Forward(to=self.routes.get(self.route))

    def finish(self, rpc: Rpc, outcome: Outcome) -> None:
        if self.route >= 0:
            self.load[self.route] -= 1
