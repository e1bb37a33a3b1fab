# SPDX-License-Identifier: Apache-2.0
"""Small pieces of the language on all targets at once: interpreter, emitted Python, emitted C.

Each case is the body of `charge(client, cost)`; the same calls give the same results and state everywhere.  All are
compiled into one C program.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import pytest

import transect
from tests.unit.core.running import IMPORTS
from tests.unit.emit.c.machine import Session, build, interpreted, shown
from transect.core.frontend import compile_text
from transect.core.interp import Instance
from transect.core.ir import Program
from transect.emit.py.image import image

PRELUDE = """
@struct
class Pair:
    a: int
    b: u8 = 3
@struct
class Outer:
    n: int
    p: Pair = Pair(1, b=4)
    t: tuple[int, bool] = (2, True)
    o: Pair | None = Pair(9)
"""
FIELDS = """
n: int = 5
small: u8 = 250
word: str = text(3)
pair: Pair = Pair(1, 2)
maybe: Pair | None = None
real: float = 0.5
seen: Map[int, int] = table(4)
pairs: Map[int, Pair] = table(4)
keyed: Map[tuple[int, bool], int] = table(4)
served: Tally[Client, int] = tally(4)
total: int = 0
slots: Array[int] = array(7)
outer: Outer = Outer(7)
outers: Map[int, Outer] = table(3)
"""
CASES = {
    "an update in one step, written as a sum": """
        self.n = self.n + cost
        self.n = cost - self.n
        self.n = self.n - 2
        self.small = self.small + cost
        self.small = cost + self.small
        self.real = self.real + 0.25
        self.real = min(self.real, as_float(cost))
        self.served[client] = cost + self.served[client]
        self.pair.b = max(cost, self.pair.b)
        if cost in self.seen:
            self.seen[cost] = self.seen[cost] + self.n
        self.seen[cost] = cost
        """,
    "a field of an option that is there": """
        last = self.pairs.get(cost % 3)
        if last is not None:
            last.a += cost
            last.b = last.b + 200
            last.a = last.a * 2
            self.pairs[cost % 3] = last
            self.n = last.a
        else:
            self.pairs[cost % 3] = Pair(cost)
        both = self.maybe
        if both is None:
            both = Pair(1, 2)
        both.a += self.n
        self.maybe = both
        """,
    "targets within targets": """
        self.keyed[cost % 5, cost > 3] = cost
        for (a, big), c in self.keyed.items():
            self.n += a * 2 + c
            if big and a == 2:
                del self.keyed[a, big]
            elif not self.keyed.put((a, big), c + 1):
                self.n += 1000
        self.total = sum(a + c for (a, big), c in self.keyed.items() if not big)
        self.total += max((a for a, big in self.keyed), default=7) + len({a for a, big in self.keyed if big})
        """,
    "what a loop keeps": """
        at = 0
        best = 0
        for i in range(7):
            if i * i > cost:
                at = i
                break
            if (cost >> i) % 2 == 1:
                best = i
                continue
            self.slots[best] += 1
        self.slots[at] = best
        """,
    "numbers as texts, texts as numbers, hashes": """
        self.word = as_text(cost)
        back = parse_int(self.word)
        if back is not None:
            other = parse_int(as_text(back * 7 - cost))
            self.seen[back] = other if other is not None else 0
        else:
            self.n += 1
        self.total = as_int(hash64(as_text(cost)) ^ hash64(self.word, as_u64(self.n)) ^ hash64(cost, 5))
        mark = parse_int("12x")
        self.small = as_int(hash64(b"\\x00\\xff") % 200) if mark is None else 1
        """,
    "parts of a text that the state then loses": """
        self.word = "aBc" if cost % 2 == 0 else "x:Y"
        head, mark, tail = self.word.partition(":")
        low = self.word.lower()
        rest = self.word.strip().removeprefix("x").removesuffix("c")
        self.word = "zzz"
        self.n = len(head) * 1000 + len(mark) * 100 + len(tail) * 10 + len(rest)
        if head == "aBc" and low == "abc" and rest == "aB":
            self.total += 1
        if tail == "Y" and low == "x:y" and rest == ":Y":
            self.total += 100
        self.word = low
        """,
    "defaults that are structs and tuples": """
        x = Outer(cost, t=(cost, False))
        x.p.a = cost
        self.outers[cost] = x
        self.outer = Outer(cost)
        self.n += x.p.b + self.outer.t[0] + self.outer.p.a
        if x.o is not None and self.outer.t[1]:
            self.n += x.o.a
        """,
    "a place and a value that meet": """
        if cost in self.pairs:
            self.pairs[cost].a = self.pairs[cost].a + self.n
            self.pairs[cost].b += cost
        self.pairs[cost] = Pair(self.n, cost)
        self.n = max(self.n, cost) + min(cost, self.n)
        """,
}


def text_of(name: str) -> str:
    body = indent(dedent(CASES[name]), "        ")
    fields = indent(dedent(FIELDS), "    ")
    return (
        f"{IMPORTS}{dedent(PRELUDE)}\nclass P(Arbiter):\n{fields}\n"
        f"    def charge(self, client: Client, cost: int) -> None:\n{body}\n"
        "    def pick(self) -> Client:\n        return min(self.waiting, key=self.served.get)\n"
    )


def program_of(name: str) -> Program:
    found = compile_text(text_of(name), "policy.py")
    assert found.programs, [f"{d.span.line}: {d.code} {d.message}" for d in found.diagnostics]
    return found.programs[-1]


CALLS = [
    (client % 3, cost)
    for client, cost in enumerate((1, 2, 7, 0, 3, 3, 200, -5, 4, 2, 1, 60, 6, 2**62, 2**62))
]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[Program]]]:
    programs = [program_of(name) for name in CASES]
    yield build(programs, tmp_path_factory.mktemp("c")), programs


@pytest.mark.parametrize("name", CASES)
def test_all_targets_agree(name: str, driver: tuple[Path, list[Program]]) -> None:
    binary, programs = driver
    index = list(CASES).index(name)
    session, instance = Session(binary, programs), Instance(programs[index])
    emitted: Any = transect.load(text_of(name)).P()
    session.start(index)
    wanted = []
    for client, cost in CALLS:
        session.call("charge", client, cost)
        wanted.append(interpreted(instance, "charge", client, cost))
        emitted.charge(client, cost)
        assert zlib.crc32(image(emitted)) == wanted[-1][1], (client, cost)
    assert [shown(found) for found in session.run()] == wanted
    assert len({state for _, state in wanted}) > 3  # something happened
