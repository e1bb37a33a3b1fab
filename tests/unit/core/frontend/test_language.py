# SPDX-License-Identifier: Apache-2.0
"""What the front end takes and refuses because of what it knows: a fact ends where its subject may have changed."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

import pytest

from tests.unit.core.running import IMPORTS, compiled
from transect.core.frontend import compile_file, compile_text
from transect.core.interp import Instance
from transect.core.values import Record, normal
from transect.emit.py.build import build

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
    "the middle of a chain whose last operand changes it": (
        """
        if 0 <= self.count < min(8, self._bump(client)):
            self.slots[self.count] = 1
        """,
        BUMP,
        ["P027"],
    ),
    "a test before a call that changes its subject": (
        """
        if 0 <= self.count and self.count < 8 and self._bump(client) > 3:
            self.slots[self.count] = 1
        """,
        BUMP,
        ["P027"],
    ),
    "what a helper of a helper removes": (
        """
        if cost in self.boxes:
            n = self._around(cost)
            self.count = self.boxes[cost].content
        """,
        EMPTY + "def _around(self, key: int) -> int:\n    return self._empty(key) + 1\n",
        ["P021"],
    ),
    "a local that was counted up": (
        """
        i = cost % 8
        for n in range(2):
            self.slots[i] = 1
            i += 1
        """,
        "",
        ["P027"],
    ),
    "another hook of the parent": ("chosen = super().pick()", "", ["P033"]),
}
OTHER = """
def _other(self) -> int:
    self.count += 1
    return self.count
"""
TAKEN = {
    "a constant that fits": "self.word = 'abc'\nself.count = len(self.word)",
    "a number always fits": "self.maybe = cost\nself.count = self.maybe",
    "`drop` of the loop's key": "for c in self.clients:\n    drop(c)",
    "a pure value": "if cost in self.boxes:\n    self.boxes[cost].content += self.count",
    "`put` of a key that stays": "if self.names.put(cost, 5):\n    self.count = self.names[cost]",
    "the range of a local": "i = cost % 8\nself.slots[i] = 1\nn = 4\nfor j in range(n):\n    self.slots[j + n] = 1",
    "a local with a range on every path": "i = -1\nif cost > 3:\n    i = 5\nif i >= 0:\n    self.slots[i] = 1",
    "the least of a range": "i = min(range(8), key=lambda n: self.slots[n])\nself.slots[i] += 1",
    "there, or put there": "if cost not in self.names and not self.names.put(cost, 0):\n    return\n"
    "self.names[cost] += 1",
    "put where it was not": "if cost not in self.names:\n    if not self.names.put(cost, 0):\n        return\n"
    "self.names[cost] += 1",
    "a helper that changes other state": "if cost in self.names:\n    n = self._other()\n    self.names[cost] += n",
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
    assert codes(TAKEN[name], OTHER) == []


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
    assert [(d.code, d.message) for d in found] == [("P028", f"`{name}` is not a constant") for name in "AB"]


def test_a_broken_default_is_told_once() -> None:
    text = (
        "@struct\nclass S:\n    a: int = 'x'\nclass P(Least):\n    def _f(self) -> S:\n        return S()\n"
    )
    found = compile_text(IMPORTS + BEFORE + text).diagnostics
    assert [d.code for d in found] == ["P028"]


LIGHT = """
class Light(IntEnum):
    RED = 4
    GREEN = 5
class P(Least):
    light: Light = Light.GREEN
    shown: int = 0
    def _number(self) -> int:
        match self.light:
            case Light.RED:
                return 1
            case Light.GREEN:
                return 2
    def arrive(self, client: Client) -> None:
        self.shown = self._number()
"""


def test_a_match_over_all_members_of_an_enum_of_ones_own_is_whole() -> None:
    program = compiled(IMPORTS + BEFORE + LIGHT)
    instance = Instance(program)
    instance.call("arrive", ["someone"])
    policy = build(program)()
    policy.arrive("someone")
    assert (instance.state["shown"], policy.shown) == (2, 2)


def test_an_enum_of_a_view_may_have_other_values() -> None:
    view = "class Seen(Message):\n    light: Light | None\n"
    found = compile_text(IMPORTS + BEFORE + LIGHT + view).diagnostics
    assert [d.code for d in found] == ["P046"]  # once, and not the missing return besides


def test_functions_of_one_name_in_two_files_stay_apart(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(
        "from transect.lang import helper\nfrom transect.shapes import Arbiter, Client\n"
        "@helper\ndef cost(x: int) -> int:\n    return x * 10\n"
        "@helper\ndef total(x: int) -> int:\n    return cost(x) + 1\n"
        "class P(Arbiter):\n    n: int = 0\n"
        "    def _step(self, x: int) -> int:\n        return cost(x)\n"
        "    def pick(self) -> Client:\n        return min(self.waiting, key=lambda c: self.n)\n"
        "    def charge(self, client: Client, amount: int) -> None:\n        self.n += self._step(amount)\n"
    )
    (tmp_path / "two.py").write_text(
        "from transect.lang import helper\nfrom transect.shapes import Arbiter, Client\n"
        "from one import P as One, total\n"
        "@helper\ndef cost(x: int) -> int:\n    return x * 1000\n"
        "@helper\ndef _step(x: int) -> int:\n    return 7\n"
        "class Two(One):\n    m: int = 0\n"
        "    def charge(self, client: Client, amount: int) -> None:\n"
        "        self.m = cost(amount) + total(amount) + _step(amount)\n"
        "        super().charge(client, amount)\n"
        "class P(Two):\n"
        "    def charge(self, client: Client, amount: int) -> None:\n"
        "        super().charge(client, amount)\n"
    )
    found = compile_file(tmp_path / "two.py")
    assert not found.diagnostics
    for program in found.programs:
        instance = Instance(program)
        instance.call("charge", (1, 2))
        assert (instance.state["m"], instance.state["n"]) == (2028, 20)
        policy = build(program)()
        policy.charge(1, 2)
        assert (policy.m, policy.n) == (2028, 20)


def test_a_helper_may_have_the_name_of_a_hook() -> None:
    text = """
        @helper
        def charge(x: int) -> int:
            return x + 1
        class P(Arbiter):
            n: int = 0
            def charge(self, client: Client, cost: int) -> None:
                self.n = charge(cost)
            def pick(self) -> Client:
                return min(self.waiting, key=lambda c: 0)
    """
    program = compiled(text)
    instance = Instance(program)
    instance.call("charge", (1, 5))
    assert instance.state["n"] == 6
    assert not {f.name for f in program.functions} & {h.name for h in program.handlers}


@pytest.mark.parametrize(("cases", "said"), [(255, []), (256, ["P003"])])
def test_a_match_has_as_many_cases_as_every_target_takes(cases: int, said: list[str]) -> None:
    arms = "\n".join(f"            case {n}:\n                pass" for n in range(cases))
    text = (
        "from transect.rpc import Element, Forward, Rpc, Verdict\n\n\nclass P(Element):\n    n: int = 0\n\n"
        "    def request(self, rpc: Rpc) -> Verdict:\n        match self.n:\n"
        f"{arms}\n            case _:\n                pass\n        return Forward()\n"
    )
    assert [d.code for d in compile_text(text).diagnostics] == said


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("x = Code.OK\nCode -= 1", "`Code` is not a value"),
        ("x = Code.OK\nfor n in range(3):\n    Code += n", "`Code` is not a value"),
        ("x = LIMIT\nLIMIT += 1", "`LIMIT` may have no value here"),
        ("x = Code.OK\nCode = nowhere", "unknown name `nowhere`"),
        ("x = Code.OK\nCode, y = Code, 1", "`Code` is not a value"),
        ("if self.n > 1:\n    return Reject(Code.OK, '')\nCode -= 1", "`Code` is not a value"),
    ],
)
def test_a_local_that_hides_what_its_own_value_needs_is_refused(lines: str, said: str) -> None:
    """Whatever is typed anew finds the local, and no longer what was wrong with its value."""
    text = (
        "from typing import Final\nfrom transect.rpc import Code, Element, Forward, Reject, Rpc, Verdict\n\n"
        "LIMIT: Final = 3\n\n\nclass P(Element):\n    n: int = 0\n\n"
        "    def request(self, rpc: Rpc) -> Verdict:\n"
        f"{indent(lines, '        ')}\n        return Forward()\n"
    )
    found = [d.message for d in compile_text(text).diagnostics]
    assert said in found
