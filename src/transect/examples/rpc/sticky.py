# SPDX-License-Identifier: Apache-2.0
"""Sticky routing: a caller stays with the server that has its session."""

from transect.lang import Map, lru, rand_below, table
from transect.rpc import Cause, Element, Forward, Message, Outcome, Rpc, Verdict


class Ask(Message):
    user: str


class Sticky(Element):
    """Each user has a home among the routes; whoever finds it dead gets another one."""

    routes: Map[int, str] = table(64)  # numbered from 0
    homes: Map[str, int] = lru(4096)

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        home = self.homes.get(rpc.msg.user, rand_below(len(self.routes)))
        self.homes[rpc.msg.user] = home
        return Forward(to=self.routes.get(home))

    def finish(self, rpc: Rpc[Ask], outcome: Outcome) -> None:
        if outcome.cause == Cause.RESET:
            del self.homes[rpc.msg.user]
