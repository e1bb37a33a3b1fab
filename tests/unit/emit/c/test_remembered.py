# SPDX-License-Identifier: Apache-2.0
"""Entries that a function looks up once: random bodies which ask the same few keys again and again, under names that
may be equal, with stores, deletions, calls, branches and loops in between."""

from __future__ import annotations

import random
from pathlib import Path

from tests.unit.emit.c.machine import Session, build, interpreted, shown
from tests.unit.emit.c.test_state import policy
from transect.core.interp import Instance
from transect.core.ir import Program
from transect.emit.c import emit

HEAD = """
from transect.lang import Map, Ordered, Tally, lru, ordered, struct, table, tally, text
from transect.shapes import Arbiter, Client


@struct
class Pair:
    a: int = 0
    t: str = text(3)


class P(Arbiter):
    m: Map[int, int] = table(3)
    s: Map[int, Pair] = table(2)
    t: Tally[int, int] = tally(3)
    o: Ordered[int, int] = ordered(2)
    r: Map[int, int] = lru(2)
    w: Map[str, str] = table(2, key=text(2), value=text(2))
    served: Tally[Client, int] = tally(3)
    n: int = 0

    def pick(self) -> Client:
        chosen = min(self.waiting, key=self.served.get)
        self.n = self.n * 7 + self.served[chosen]
        self.served[chosen] += 1
        self.n = self.n * 7 + self.served[chosen]
        del self.served[chosen]
        self.n = self.n * 7 + self.served[chosen]
        self.served[chosen] = self.n % 5
        return chosen

    def _store(self, k: int) -> int:
        self.m[k] = self.n
        self.s[k] = Pair(k)
        return self.m.get(k, -1)

    def _delete(self, k: int) -> int:
        del self.m[k]
        del self.t[k]
        del self.o[k]
        return self.t[k]

    def charge(self, client: Client, cost: int) -> None:
        a = cost % 4
        b = cost // 4 % 4
        word = "x" if a > 1 else "yy"
"""
QUICK = ("-std=c11", "-w", "-O0", "-fsanitize=undefined,address", "-fsanitize-undefined-trap-on-error")
KEYS = ("a", "b", "1", "2")
WORDS = ('"x"', "word", '"long"')


class Bodies:
    """Random statements."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.depth = 0

    def key(self) -> str:
        return self.rng.choice(KEYS)

    def value(self) -> str:
        k = self.key()
        return self.rng.choice(
            [
                f"self.m.get({k}, 7)",
                f"self.t[{k}]",
                f"self.o.get({k}, -1)",
                f"self.r.get({k}, 5)",
                f"(1 if {k} in self.m else 2)",
                f"(1 if {k} in self.t else 2)",
                f"(self.m[{k}] if {k} in self.m else 9)",
                f"self.s.get({k}, Pair(3)).a",
                f"len(self.w.get({self.rng.choice(WORDS)}, 'none'))",
                "len(self.m)",
                "self.served[client]",
            ]
        )

    def simple(self) -> str:
        k, v, w = self.key(), self.value(), self.rng.choice(WORDS)
        return self.rng.choice(
            [
                f"self.m[{k}] = {v}",
                f"self.t[{k}] += {v}",
                f"self.t[{k}] = {v}",
                f"self.t[{k}] = max(self.t[{k}], {v})",
                f"self.o[{k}] = {v}",
                f"self.r[{k}] = {v}",
                f"self.s[{k}] = Pair({v}, 'abcd' if {v} % 2 == 0 else 'ab')",
                f"self.w[{w}] = {self.rng.choice(WORDS)}",
                f"del self.m[{k}]",
                f"del self.t[{k}]",
                f"del self.o[{k}]",
                f"del self.s[{k}]",
                f"self.n = self.n * 31 + {v}",
                f"self.n += 1 if self.m.put({k}, {v}) else 2",
                f"self.n += 1 if self.t.put({k}, {v}) else 2",
                f"self.n += 1 if self.w.put({w}, {self.rng.choice(WORDS)}) else 2",
                f"self.n += self._store({k})",
                f"self.n += self._delete({k})",
                f"self.served[client] += {v}",
                "del self.served[client]",
            ]
        )

    def statement(self) -> list[str]:
        kind = self.rng.randrange(12) if self.depth < 3 else 0
        if kind < 7:
            return [self.simple()]
        self.depth += 1
        k = self.key()
        head = self.rng.choice(
            [
                f"if {self.value()} > {self.value()}:",
                f"if {k} in self.s:",
                "for i in range(3):",
                "for e in self.o:",
                "for e in self.t.values():",
            ]
        )
        if head.startswith("for e in self."):  # whose table the body leaves alone
            table = head[9:15]
            inside = [x for x in (self.simple() for _ in range(3)) if table not in x and "_delete" not in x]
        elif head == f"if {k} in self.s:":
            inside = [f"self.s[{k}].a += {self.value()}", f"self.n += self.s[{k}].a"]
        else:
            inside = self.block(self.rng.randrange(1, 4))
        inside = inside or ["pass"]
        lines = [head, *("    " + line for line in inside)]
        if head.startswith("if ") and self.rng.random() < 0.5:
            lines += ["else:", *("    " + line for line in self.block(2))]
        self.depth -= 1
        return lines

    def block(self, size: int) -> list[str]:
        return [line for _ in range(size) for line in self.statement()]


def program(seed: int) -> Program:
    lines = Bodies(seed).block(10)
    return policy(HEAD + "".join(f"        {line}\n" for line in lines))


def test_what_is_remembered_is_true(tmp_path: Path) -> None:
    programs = [program(seed) for seed in range(30)]
    reused = sum(emit(p).files["p.c"].count(b"if (found") for p in programs)
    assert reused > 30, "the bodies ask again"
    session = Session(build(programs, tmp_path, QUICK), programs)
    wanted = []
    rng = random.Random(1)
    for index, each in enumerate(programs):
        session.start(index)
        instance = Instance(each)
        for _ in range(60):
            waiting = rng.sample(range(4), rng.randrange(1, 4))
            session.requests.waiting(waiting)
            instance.waiting[:] = waiting
            client, cost = rng.randrange(4), rng.randrange(16)
            session.call("charge", client, cost)
            wanted.append((index, interpreted(instance, "charge", client, cost)))
            session.call("pick")
            wanted.append((index, interpreted(instance, "pick")))
    for number, (found, (index, want)) in enumerate(zip(session.run(), wanted, strict=True)):
        assert shown(found) == want, f"program {index}, call {number % 120}"


def test_a_local_that_grows_in_a_loop_is_followed_once(tmp_path: Path) -> None:
    """Within the loop alone, `total = total + 1` is all that binds it."""
    body = """
        total = 0
        for i in range(3):
            total = total + cost
            self.t[total] += 1
            if self.t[total] > 1:
                self.m[total] = self.t[total]
        for e in self.o:
            total = total + e
            self.m[total] = total
"""
    assert emit(policy(HEAD + body)).files["p.c"]
