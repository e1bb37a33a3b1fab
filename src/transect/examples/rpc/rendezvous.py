# SPDX-License-Identifier: Apache-2.0
"""Sticky routing without a table of users: consistent hashing with bounded loads."""

from transect.lang import Local, Map, Param, Tally, as_u64, hash64, local, param, table, tally
from transect.rpc import Element, Forward, Message, Outcome, Rpc, Verdict


class Ask(Message):
    user: str


class Rendezvous(Element):
    """The route with the highest hash of user and route (Thaler and Ravishankar, 1998), among those whose load is no
    more than `most` percent of the mean (Mirrokni, Thorup and Zadimoghaddam, 2018)."""

    routes: Map[int, str] = table(64)
    load: Tally[int, int] = tally(64)  # calls under way
    most: Param[int] = param(125)  # percent of the mean load, from 100
    calls: int = 0
    route: Local[int] = local(-1)

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        if self.route < 0:
            self.calls += 1
            parts = 100 * len(self.routes)
            room = (self.calls * self.most + parts - 1) // parts
            free = {i for i in self.routes if self.load[i] < room}
            self.route = max(free, key=lambda i: hash64(rpc.msg.user, as_u64(i)), default=0)
            self.load[self.route] += 1
        return Forward(to=self.routes.get(self.route))

    def finish(self, rpc: Rpc[Ask], outcome: Outcome) -> None:
        if self.route >= 0:
            self.load[self.route] -= 1
            self.calls -= 1
