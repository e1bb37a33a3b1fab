# SPDX-License-Identifier: Apache-2.0
"""What the front end takes and refuses because of what it knows: a fact ends where its subject may have changed."""

from __future__ import annotations

from textwrap import dedent, indent

import pytest

from tests.unit.core.running import IMPORTS, compiled
from transect.core.frontend import compile_text
from transect.core.interp import Instance
from transect.core.values import Record, normal

FIELDS = """\
slots: Array[int] = array(8)
boxes: Map[int, Box] = table(8)
names: Map[int, int] = table(8)
clients: Tally[Client, int] = tally(8)
maybe: int | None = None
word: str | None = None
count: int = 0
"""
BEFORE = """\
@struct
class Box:
    content: int = 0
class Least(Arbiter):
    def pick(self) -> Client:
        return min(self.waiting, key=lambda c: 0)
"""


def codes(charge: str, methods: str = "") -> list[str]:
    """Codes of the diagnostics of a policy whose `charge(client, cost)` has that body."""
    parts = [
        FIELDS,
        dedent(methods),
        "def charge(self, client: Client, cost: int) -> None:\n" + indent(dedent(charge), "    "),
    ]
    text = IMPORTS + BEFORE + "class P(Least):\n" + indent("\n".join(parts), "    ") + "\n"
    return [d.code for d in compile_text(text).diagnostics]


BUMP = """
def _bump(self, client: Client) -> int:
    self.count = self.count * 7 + 9
    return self.count
"""
EMPTY = """
def _empty(self, key: int) -> int:
    del self.boxes[key]
    return 3
"""
REFUSED = {
    "a loop's target has another value after it": (
        """
        i = cost
        if 0 <= i < 8:
            for i in range(100):
                pass
            self.slots[i] = 1
        """,
        "",
        ["P027"],
    ),
    "a capture in the body ends what was known before the loop": (
        """
        n: int | None = cost
        if n is not None:
            for i in range(3):
                self.count += n
                match self.maybe:
                    case n:
                        pass
        """,
        "",
        ["P022"],
    ),
    "a capture whose guard fails is bound all the same": (
        """
        n: int | None = 5
        match self.maybe:
            case n if cost > 0:
                pass
            case _:
                self.count += n
        """,
        "",
        ["P022"],
    ),
    "what `key=` names runs for each item": (
        """
        if 0 <= self.count < 8:
            for i in range(3):
                self.slots[self.count] = 1
                chosen = min(self.waiting, key=self._bump, default=client)
        """,
        BUMP,
        ["P027"],
    ),
    "the body of `key=` is evaluated many times": (
        """
        if 0 <= self.count < 8:
            chosen = min(self.waiting, key=lambda c: self.slots[self.count] + self._bump(c), default=client)
        """,
        BUMP,
        ["P027"],
    ),
    "a text that may not fit leaves None": (
        """
        self.word = self._long()
        self.count = len(self.word)
        """,
        "def _long(self) -> str:\n    return 'a' if self.count > 3 else '" + "b" * 70 + "'\n",
        ["P022"],
    ),
    "a key read from the table that `put` changes": (
        """
        if self.names.put(self.names.get(1, 1), 5):
            self.count = self.names[self.names.get(1, 1)]
        """,
        "",
        ["P021"],
    ),
    "evaluating the value may remove the entry": (
        """
        if cost in self.boxes:
            self.boxes[cost].content += self._empty(cost)
        """,
        EMPTY,
        ["P021"],
    ),
    "a loop's key that was given another value": (
        """
        for key in self.names:
            key = cost
            del self.names[key]
        """,
        "",
        ["P026"],
    ),
    "the outer loop's key in an inner loop over the same table": (
        """
        for key in self.names:
            for other in self.names:
                del self.names[key]
        """,
        "",
        ["P026"],
    ),
    "`drop` of another than the loop's key": (
        """
        for c in self.clients:
            drop(client)
        """,
        "",
        ["P026"],
    ),
    "another hook of the parent": ("chosen = super().pick()", "", ["P033"]),
}
TAKEN = {
    "a constant that fits": "self.word = 'abc'\nself.count = len(self.word)",
    "a number always fits": "self.maybe = cost\nself.count = self.maybe",
    "`drop` of the loop's key": "for c in self.clients:\n    drop(c)",
    "a pure value": "if cost in self.boxes:\n    self.boxes[cost].content += self.count",
    "`put` of a key that stays": "if self.names.put(cost, 5):\n    self.count = self.names[cost]",
    "`key=` of a table": "if 0 <= self.count < 8:\n"
    "    for i in range(3):\n"
    "        self.slots[self.count] = 1\n"
    "        chosen = min(self.waiting, key=self.clients.get, default=client)",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_may_have_changed_is_not_taken_for_known(name: str) -> None:
    charge, methods, expected = REFUSED[name]
    assert codes(charge, methods) == expected


@pytest.mark.parametrize("name", TAKEN)
def test_what_cannot_have_changed_is_known(name: str) -> None:
    assert codes(TAKEN[name]) == []


def test_the_first_value_of_a_field_may_be_a_constant_or_a_member() -> None:
    text = """
        BURST: Final = 10
        TWICE: Final = BURST * 2
        WAIT: Final = seconds(BURST)
        class Light(IntEnum):
            RED = 4
        @struct
        class Box:
            tokens: int = TWICE
            light: Light = Light.RED
            wait: Duration = ms(BURST)
            left: float | None = None
        class P(Arbiter):
            box: Box = Box()
            other: Box = Box(light=Light.RED, wait=WAIT)
            wait: Param[Duration] = param(WAIT)
            lights: Map[int, Light] = table(TWICE)
            burst: int = TWICE
            def pick(self) -> Client:
                return min(self.waiting, key=lambda c: 0)
    """
    state = Instance(compiled(text)).state
    assert normal(state["box"]) == normal(
        Record("Box", {"tokens": 20, "light": 4, "wait": 10**7, "left": None})
    )
    assert normal(state["other"]) == normal(
        Record("Box", {"tokens": 20, "light": 4, "wait": 10**10, "left": None})
    )
    assert (state["wait"], state["burst"]) == (10**10, 20)


def test_constants_that_name_each_other_have_no_value() -> None:
    text = "A: Final = B\nB: Final = A\nclass P(Least):\n    level: int = A\n"
    found = compile_text(IMPORTS + BEFORE + text).diagnostics
    assert [d.code for d in found] == ["P028"]


def test_a_broken_default_is_told_once() -> None:
    text = "@struct\nclass S:\n    a: int = 'x'\nclass P(Least):\n    def _f(self) -> S:\n        return S()\n"
    found = compile_text(IMPORTS + BEFORE + text).diagnostics
    assert [d.code for d in found] == ["P028"]


def test_a_match_that_lacks_the_rest_is_told_once() -> None:
    text = """
class Light(IntEnum):
    RED = 4
class P(Least):
    light: Light = Light.RED
    def _number(self) -> int:
        match self.light:
            case Light.RED:
                return 1
    def arrive(self, client: Client) -> None:
        x = self._number()
"""
    found = compile_text(IMPORTS + BEFORE + text).diagnostics
    assert [d.code for d in found] == ["P046"]
