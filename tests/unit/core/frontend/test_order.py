# SPDX-License-Identifier: Apache-2.0
"""What the text says first is evaluated first, wherever the tree keeps it; and a name stands for what it stands for in
Python."""

from __future__ import annotations

import pytest

from tests.unit.core.running import IMPORTS, arbiter
from transect.core.frontend import compile_text
from transect.core.values import normal

BEFORE = """
@struct
class Pair:
    a: int
    b: int = 0
@helper
def first(a: int, b: int) -> int:
    return a
@helper
def item(x: int) -> int:
    return -x
"""
FIELDS = """
seen: int = 0
text: str = ""
pair: Pair = Pair(0)
two: Map[int, int] = table(4)
recent: Map[int, int] = lru(2)
def _say(self, n: int) -> int:
    self.seen = self.seen * 10 + n
    return n
def _name(self, n: int) -> str:
    self.seen = self.seen * 10 + n
    return "a"
"""


def after(charge: str, field: str, cost: int = 2) -> object:
    """A field of the state after one `charge(1, cost)`."""
    p = arbiter(FIELDS, charge, BEFORE)
    p.call("charge", (1, cost))
    return p.state[field]


@pytest.mark.parametrize(
    ("charge", "seen"),
    [
        ("x = first(b=self._say(1), a=self._say(2))\nself.seen = self.seen * 10 + x", 122),
        ("x = first(self._say(1), b=self._say(2))\nself.seen = self.seen * 10 + x", 121),
        ("x = Pair(b=self._say(1), a=self._say(2))\nself.seen = self.seen * 10 + x.a", 122),
        ("x = Pair(b=self.seen, a=self._say(2))\nself.seen = self.seen * 10 + x.b", 20),
        ("if self._say(3) in (self._say(3), self._say(4)):\n    self._say(5)", 3345),
        ("if cost not in (self._say(2), 7, self._say(4)):\n    self._say(5)", 24),
        ("if self._name(1) in self._name(2):\n    self._say(3)", 123),
    ],
)
def test_arguments_are_evaluated_as_written(charge: str, seen: int) -> None:
    assert after(charge, "seen") == seen


def test_reading_an_lru_counts_as_much() -> None:
    charge = "self.recent[1] = 1\nself.recent[2] = 2\n"
    charge += "self.pair = Pair(b=self.recent.get(1, 0), a=self.recent.get(2, 0))\n"
    assert after(charge + "self.recent[3] = 3\nself.seen = 1 if 1 in self.recent else 2", "seen") == 2


def test_a_look_up_of_what_is_certainly_there_counts_as_well() -> None:
    charge = "self.recent[1] = 1\nself.recent[2] = 2\nif 1 in self.recent:\n    self.seen = self.recent[1]\n"
    assert after(charge + "self.recent[3] = 3\nself.seen = 1 if 1 in self.recent else 2", "seen") == 1


@pytest.mark.parametrize(
    ("charge", "seen"),
    [
        ("item = cost\nself.seen = max(self.two, key=lambda c: abs(item - c), default=0)", 9),
        ("c = cost\nself.seen = max((c for c in self.two), key=lambda k: abs(c - k), default=0)", 9),
        ("self.seen = max(self.two, key=item, default=0)", 3),
        ("item = 5\nself.seen = item + sum(self.two) + len(set(self.two)) + item", 24),
    ],
)
def test_what_a_key_speaks_of_is_what_stands_around_it(charge: str, seen: int) -> None:
    assert after(f"self.two[3] = 3\nself.two[9] = 9\n{charge}", "seen") == seen


def test_a_helper_may_be_called_like_something_of_the_language() -> None:
    own = "@helper\ndef drop(x: int) -> int:\n    return x + 1\n"
    p = arbiter("seen: int = 0", "drop(cost)\nself.seen = drop(cost)", own)
    p.call("charge", (1, 5))
    assert p.state["seen"] == 6


def test_names_of_the_language_may_be_imported_under_others() -> None:
    text = """
from typing import Final as Constant
from transect.lang import Duration, Map as M, drop as leave, helper as h, ms as millis
from transect.lang import struct as s, table as t, text as x
from transect.shapes import Arbiter as A, Client as C
LONG: Constant = millis(5)
@s
class Box:
    label: str = x(3)
@h
def twice(n: int) -> int:
    return 2 * n
class P(A):
    seen: M[C, int] = t(4)
    name: str = x(5)
    wait: Duration = millis(4)
    box: Box = Box()
    def pick(self) -> C:
        return min(self.waiting, key=lambda c: twice(0))
    def charge(self, client: C, cost: int) -> None:
        leave(client)
        self.wait = LONG
"""
    compiled = compile_text(text)
    assert [d.message for d in compiled.diagnostics] == []
    assert [f"{f.name}: {f.type}" for f in compiled.programs[0].state if f.name == "name"] == [
        "name: TextType(bound=5)"
    ]


def test_a_policy_may_derive_from_an_example() -> None:
    text = """
from transect.examples.rpc.acl import Acl
class P(Acl):
    seen: int = 0
"""
    compiled = compile_text(text)
    assert [d.message for d in compiled.diagnostics] == []
    assert compiled.programs[0].base == "rpc.Element"
    assert [f.name for f in compiled.programs[0].state] == ["allowed", "seen"]


def test_numbers_of_an_enum_may_be_negative() -> None:
    compiled = compile_text(IMPORTS + "class Level(IntEnum):\n    LOW = -1\n    HIGH = 1\n" + ARBITER)
    assert compiled.programs[0].state[1].default is not None
    assert normal(getattr(compiled.programs[0].state[1].default, "value", None)) == -1


ARBITER = """
class P(Arbiter):
    level: Level = Level.LOW
    def pick(self) -> Client:
        return min(self.waiting, key=lambda c: 0)
"""


@pytest.mark.parametrize("depth", [90])
@pytest.mark.parametrize("form", ["max({}, 1)", "mul_div({}, 1, 2)", "min(1, {})"])
def test_deep_nesting_is_typed_once(depth: int, form: str) -> None:
    """Twice at each level would take longer than anybody waits."""
    expression = "cost"
    for _ in range(depth):
        expression = form.format(expression)
    arbiter("seen: int = 0", f"self.seen = {expression}")
