# SPDX-License-Identifier: Apache-2.0
"""The tables that are timed; `run.py` gives them other capacities."""

from typing import Final

from transect.lang import Map, lru, table
from transect.rpc import Element, Forward, Message, Rpc, Verdict

CAPACITY: Final = 100


class Ask(Message):
    user: str
    source: int
    port: int


class Timed(Element):
    by_text: Map[str, int] = table(CAPACITY)
    by_flow: Map[tuple[int, int], int] = table(CAPACITY)
    recent_text: Map[str, int] = lru(CAPACITY)
    recent_flow: Map[tuple[int, int], int] = lru(CAPACITY)

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        user, flow = rpc.msg.user, (rpc.msg.source, rpc.msg.port)
        self.by_text[user] = self.by_flow.get(flow, 0)
        self.by_flow[flow] = self.by_text.get(user, 0)
        self.recent_text[user] = 1
        self.recent_flow[flow] = 1
        return Forward()
