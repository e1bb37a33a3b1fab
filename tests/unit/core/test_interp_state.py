# SPDX-License-Identifier: Apache-2.0
"""State of policies: scalars, tables when full, loops over them, parameters, meters, images."""

from __future__ import annotations

import pytest

from tests.unit.core.running import arbiter, compiled
from tests.unit.core.sink import changed
from transect.core.codec import CodecError
from transect.core.interp import Instance


def test_a_text_beyond_its_bound_leaves_the_old_value() -> None:
    p = arbiter("name: str = text(4, 'ab')\nraw: bytes = blob(2)", "self.name = 'abcde'\nself.raw = b'xyz'")
    p.call("charge", (1, 5))
    assert p.state["name"] == "ab" and p.state["raw"] == b"" and p.overflows() == {"name": 1, "raw": 1}


def test_narrow_scalars_are_cut_when_stored() -> None:
    p = arbiter(
        "a: u8 = 250\nb: i16 = 0\nc: u8 | None = None", "self.a += cost * 2\nself.b = 40000\nself.c = 511"
    )
    p.call("charge", (1, 5))
    assert (p.state["a"], p.state["b"], p.state["c"]) == (4, -25536, 255)


def test_a_full_table_takes_no_new_key() -> None:
    p = arbiter(
        "seen: Map[int, int] = table(2)\nfull: int = 0",
        """
        if not self.seen.put(cost, 1):
            self.full += 1
        self.seen[cost + 100] = 2
        """,
    )
    for cost in (1, 2, 1):
        p.call("charge", (1, cost))
    assert p.state["seen"].items() == [(1, 1), (101, 2)]
    assert p.state["full"] == 1 and p.overflows()["seen"] == 2


def test_looking_up() -> None:
    p = arbiter(
        "t: Map[str, int] = table(4, key=text(3))\nn: int = 0",
        """
        self.t['abc'] = cost
        self.t['abcd'] = cost
        a = self.t.get('abc')
        if a is not None:
            self.n += a
        self.n += self.t.get('abcd', 100)
        if 'abc' in self.t and 'abcd' not in self.t:
            self.n += self.t['abc'] * 1000 + len(self.t) * 10000 + self.t.overflow * 100000
        del self.t['abc']
        del self.t['abcd']
        """,
    )
    p.call("charge", (1, 5))
    assert p.state["n"] == 115105 and len(p.state["t"]) == 0


def test_a_tally_is_total() -> None:
    p = arbiter(
        "served: Tally[int, int] = tally(2)\nn: int = 0",
        """
        self.served[cost // 10] += cost % 10
        self.n = self.served[cost // 10] + self.served.get(cost // 10) + len(self.served)
        if cost // 10 in self.served:
            self.n += 1000
        """,
    )
    p.call("charge", (1, 10))
    assert p.state["n"] == 1000  # a zero is there, and is skipped
    p.call("charge", (1, 27))
    p.call("charge", (1, 37))
    assert p.state["n"] == 1 and p.overflows()["served"] == 1


def test_single_entries_take_their_largest() -> None:
    p = arbiter("top: Tally[Client, int] = tally(4)", "self.top[client] = max(self.top[client], cost)")
    for cost in (3, 9, 4):
        p.call("charge", (1, cost))
    assert p.state["top"][1] == 9


def test_an_lru_evicts_what_was_used_least_recently() -> None:
    p = arbiter(
        "cache: Map[int, int] = lru(2)\nfound: int = 0",
        """
        hit = self.cache.get(cost)
        if hit is None:
            self.cache[cost] = 1
        else:
            self.found += 1
        """,
    )
    for cost in (1, 2, 1, 3, 1, 2):
        p.call("charge", (1, cost))
    assert p.state["found"] == 2 and p.state["cache"].keys() == [1, 2]


def test_ordered_maps_give_their_smallest() -> None:
    p = arbiter(
        "due: Ordered[int, str] = ordered(3)\nout: int = 0\nword: str = text(8)",
        """
        self.due[cost] = 'x'
        first = self.due.first()
        if first is not None and first[0] < 10:
            self.out = self.out * 10 + first[0]
        if len(self.due) == 3:
            popped = self.due.pop_first()
            if popped is not None:
                key, self_word = popped
                self.out = self.out * 10 + key
                self.word = self_word
        """,
    )
    for cost in (7, 3, 5):
        p.call("charge", (1, cost))
    assert p.state["out"] == 7333 and p.state["word"] == "x" and p.state["due"].keys() == [5, 7]


def test_arrays_are_indexed_within_range() -> None:
    p = arbiter(
        "cells: Array[u8] = array(4)\nn: int = 0",
        """
        self.cells[cost % 4] += 300
        if 0 <= cost < 4:
            self.cells[cost] = 7
        self.n = sum(v for v in self.cells)
        for i, v in enumerate(self.cells):
            self.n += i * v * 1000
        """,
    )
    p.call("charge", (1, 5))
    assert p.state["cells"].values() == [0, 44, 0, 0] and p.state["n"] == 44044


def test_a_loop_visits_what_was_there_at_its_start() -> None:
    p = arbiter(
        "t: Map[int, int] = table(8)\nseen: int = 0",
        """
        if cost > 0:
            self.t[cost] = cost
        else:
            for k, v in self.t.items():
                self.seen = self.seen * 10 + k
                if v % 2 == 0:
                    del self.t[k]
                else:
                    self.t[k] = v * 10
        """,
    )
    for cost in (3, 2, 1, 4, 0):
        p.call("charge", (1, cost))
    assert p.state["seen"] == 3214 and p.state["t"].items() == [(3, 30), (1, 10)]


def test_reductions_over_tables() -> None:
    p = arbiter(
        "t: Tally[int, int] = tally(8)\nbest: int = 0\nlow: int = 0\nkey: int = 0",
        """
        self.t[cost] += cost * cost % 7
        self.low = min((v for v in self.t.values() if v > 1), default=-1)
        self.best = max(self.t, key=self.t.get, default=0)
        self.key = min(self.t.keys(), key=lambda k: (self.t.get(k), -k), default=0)
        """,
    )
    for cost in (1, 2, 3, 4, 7):
        p.call("charge", (1, cost))
    assert p.state["t"].items() == [(1, 1), (2, 4), (3, 2), (4, 2)]
    assert (p.state["low"], p.state["best"], p.state["key"]) == (2, 2, 1)


def test_entries_of_structs_change_in_place() -> None:
    p = arbiter(
        "buckets: Map[Client, Bucket] = table(4)",
        """
        if client not in self.buckets:
            self.buckets[client] = Bucket(tokens=10)
        if client in self.buckets:
            self.buckets[client].tokens -= cost
            b = self.buckets[client]
            b.name = 'a'
            self.buckets[client] = b
            self.buckets[client].name = 'long'
        """,
        before="@struct\nclass Bucket:\n    tokens: int\n    name: str = text(3)\n",
    )
    p.call("charge", (1, 5))
    p.call("charge", (1, 2))
    entry = p.state["buckets"][1]
    assert (entry.tokens, entry.name) == (3, "a") and p.overflows()["buckets"] == 2


def test_drop_forgets_a_client_everywhere() -> None:
    p = arbiter(
        "served: Tally[Client, int] = tally(4)\nname: Map[Client, int] = table(4)\nother: Map[int, int] = table(4)",
        "self.served[client] += 1\nself.name[client] = 1\nself.other[1] = 1\nif cost == 0:\n    drop(client)",
    )
    p.call("charge", (1, 5))
    p.call("charge", (1, 0))
    assert not p.state["served"].entries() and not len(p.state["name"]) and len(p.state["other"]) == 1


def test_parameters_are_read_and_set_from_outside() -> None:
    text = """
    class P(Arbiter):
        limit: Param[int] = param(3)
        label: Param[str] = param("a")
        over: int = 0
        def charge(self, client: Client, cost: int) -> None:
            if cost > self.limit:
                self.over += 1
        def pick(self) -> Client:
            return min(self.waiting, key=lambda c: 0)
    """
    p = Instance(compiled(text), params={"limit": 5})
    p.call("charge", (1, 5))
    p.set_param("limit", 4)
    p.call("charge", (1, 5))
    p.set_param("label", "x" * 65)
    assert p.state["over"] == 1 and p.state["label"] == "a" and p.overflows()["label"] == 1


def test_meters_count() -> None:
    p = arbiter(
        "calls: Counter = counter()\nsizes: Histogram = histogram()",
        "self.calls.add()\nself.calls.add(cost)\nself.sizes.observe(cost)\nself.sizes.observe(us(cost))",
    )
    p.call("charge", (1, 5))
    assert p.state["calls"].value == 6
    assert {i: n for i, n in enumerate(p.state["sizes"].buckets) if n} == {3: 1, 13: 1}


EVERYTHING = """
a: int = 5
name: str = text(3, "ab")
t: Map[str, int] = table(2)
c: Tally[Client, float] = tally(4)
l: Map[int, int] = lru(3)
o: Ordered[int, int] = ordered(3)
cells: Array[str] = array(2)
n: Counter = counter()
h: Histogram = histogram()
limit: Param[int] = param(1)
"""
FILL = """
self.a += cost
self.name = "long" if cost > 6 else "x"
self.t["k"] = cost
self.t["l"] = cost
self.t["m"] = cost
self.c[client] += as_float(cost)
self.l[cost] = 1
self.o[cost] = 2
self.cells[0] = "y"
self.n.add(cost)
self.h.observe(cost)
"""


def test_an_image_brings_the_same_state_back() -> None:
    p, q = arbiter(EVERYTHING, FILL), arbiter(EVERYTHING, FILL)
    for cost in (5, 7, 0):
        p.call("charge", (1, cost))
    p.set_param("limit", 9)
    q.load(p.image())
    assert q.image() == p.image() and q.overflows() == p.overflows() and q.state["limit"] == 9
    assert q.overflows() == {**dict.fromkeys("achlno", 0), "cells": 0, "limit": 0, "name": 1, "t": 3}
    for one in (p, q):
        one.call("charge", (2, 6))
    assert q.image() == p.image()


def test_a_broken_image_changes_nothing() -> None:
    p = arbiter(EVERYTHING, FILL)
    p.call("charge", (1, 5))
    before = p.image()
    with pytest.raises(CodecError):
        p.load(before[:-1])
    assert p.image() == before


def test_a_field_without_a_first_value_is_zero() -> None:
    assert Instance(changed("state level: int = 0", "state level: int")).state["level"] == 0
