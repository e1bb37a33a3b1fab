# SPDX-License-Identifier: Apache-2.0
"""Policies that several tests of emitted Python use, as texts."""

from __future__ import annotations

ACL = '''\
from transect.lang import Map, table
from transect.rpc import Code, Element, Forward, Message, Reject, Rpc, Verdict

class Ask(Message):
    user: str

class Acl(Element):
    """Let known users through."""
    allowed: Map[str, bool] = table(1024)

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        return Forward() if self.allowed.get(rpc.msg.user, False) else Reject(Code.PERMISSION_DENIED, "acl")
'''

FAIR_SHARE = '''\
from transect.lang import Tally, tally
from transect.shapes import Arbiter, Client

class FairShare(Arbiter):
    """Serve whoever has been served least; a newcomer starts level with the others."""
    served: Tally[Client, int] = tally(4096)
    level: int = 0

    def arrive(self, client: Client) -> None:
        floor = min((self.served[c] for c in self.waiting), default=self.level)
        self.served[client] = max(self.served[client], floor)

    def pick(self) -> Client:
        chosen = min(self.waiting, key=self.served.get)
        self.level = max(self.level, self.served[chosen])
        return chosen

    def charge(self, client: Client, cost: int) -> None:
        self.served[client] += cost
'''

RPC = """\
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Final
from transect.lang import (
    Array, Counter, Duration, Histogram, Instant, Local, Map, Ordered, Param, Tally, array, as_float, as_int, as_u64,
    counter, fits, helper, histogram, i16, local, lru, mul_div, ms, now, ordered, param, rand, rand_below, seconds,
    struct, table, tally, text, trace, u8, u64,
)
from transect.rpc import Cause, Code, Element, Forward, Message, Outcome, Reject, Respond, Retry, Rpc, Verdict

class Level(IntEnum):
    LOW = 0
    HIGH = 1

class Ask(Message):
    user: str
    n: int
    x: float
    raw: bytes
    level: Level
    note: str | None
    tags: Sequence[str]
    sizes: Mapping[str, int]
    seen: u8

"""

EVERYTHING = (
    RPC
    + """
LIMIT: Final = 3

@struct
class Inner:
    k: u8
    name: str = text(8)

@struct
class Box:
    n: int
    inner: Inner
    note: str | None = None

@helper
def middle(a: int, b: int) -> int:
    return (a + b) // 2

class P(Element):
    \"\"\"A little of everything.\"\"\"
    rate: Param[float] = param(0.25)
    total: int = 0
    word: u64 = 1
    last: str = text(4)
    pair: tuple[str, int] = ("", 0)
    one: Inner = Inner(k=7)
    boxes: Map[str, Box] = table(4)
    counts: Tally[tuple[str, int], int] = tally(16)
    recent: Map[int, bytes] = lru(2)
    queue: Ordered[int, float] = ordered(4)
    row: Array[Inner] = array(3)
    calls: Counter = counter()
    took: Histogram = histogram()
    mine: Local[int] = local(0)

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        if rand() < self.rate and not rpc.msg.user.startswith("x"):
            return Reject(Code.UNAVAILABLE, f"{rpc.msg.user} {rpc.msg.level} {{{self.total}}}")
        self.calls.add()
        self.mine += middle(rpc.msg.n, LIMIT) * 2 - 1
        self.word = self.word << 3 ^ as_u64(self.mine)
        self.last = rpc.msg.user
        self.pair = (rpc.msg.user, rpc.msg.n % 7)
        self.counts[(rpc.msg.user, len(rpc.msg.tags))] += max(rpc.msg.n, 0, self.total)
        if 0 <= self.total < rpc.msg.n <= self._weight(rpc.msg.user):
            self.boxes[rpc.msg.user] = Box(self.total, self.one, note="new")
        if rpc.msg.user in self.boxes:
            self.boxes[rpc.msg.user].inner.k = self.boxes[rpc.msg.user].inner.k + 1
            self.boxes[rpc.msg.user].n //= rpc.msg.n
        box = self.boxes.get(rpc.msg.user)
        if box is not None:
            self.one = box.inner
        self.row[rpc.msg.n % 3] = self.one
        self.recent[rpc.msg.n] = rpc.msg.raw
        self.queue[rpc.msg.n] = rpc.msg.x / as_float(self.total)
        return Forward(after=ms(3))

    def response(self, rpc: Rpc[Ask]) -> Verdict:
        match (rpc.msg.level, rpc.msg.note):
            case (Level.LOW, None):
                self.total -= 1
            case (Level.HIGH, note) if note is not None and len(note) > 2:
                self.total += len(note)
            case (_, "a" | "b"):
                return Respond(rpc.msg.raw)
            case _:
                pass
        short = {t for t in rpc.msg.tags if len(t) < 4}
        for tag in short | {t for t in rpc.msg.tags}:
            if tag == "stop":
                break
            self.total += rpc.msg.sizes.get(tag, 1)
        best = max(self.queue.keys(), key=lambda k: self.queue.get(k, 0.0), default=-1)
        if any(size > best for size in rpc.msg.sizes.values()):
            user = rpc.headers.get("x-user")
            rpc.msg.user = user if user is not None else ""
        for index in range(2, 0, -1):
            self.total += as_int(self.row[index].k)
        return Forward()

    def finish(self, rpc: Rpc[Ask], outcome: Outcome) -> Retry | None:
        self.took.observe(outcome.elapsed)
        first = self.queue.pop_first()
        if first is not None and first[1] > sum(v for v in self.queue.values()):
            trace(f"{first[0]} took {as_int(outcome.elapsed) // 1000} us")
            return Retry()
        del self.boxes[self.last]
        return None

    def _weight(self, user: str) -> int:
        return sum(n for key, n in self.counts.items() if key[0] == user)
"""
)
