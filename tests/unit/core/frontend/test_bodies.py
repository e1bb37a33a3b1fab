# SPDX-License-Identifier: Apache-2.0
"""Statements that people write seldom, and what comes of each: what it does, or the one thing that is said of it."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import pytest

from tests.unit.core.running import IMPORTS
from transect.core.frontend import compile_file, compile_text
from transect.core.interp import Instance

BEFORE = """\
BIG: Final = 3
SUM: Final[int] = 1 + 2
@struct
class Box:
    content: int = 0
@struct
class Full:
    overflow: int = 7
    extra: int | None = None
    name: str = "full"
@helper
def twice(x: int) -> int:
    return x * 2
class Least(Arbiter):
    def pick(self) -> Client:
        return min(self.waiting, key=lambda c: 0)
"""
FIELDS = """\
slots: Array[int] = array(8)
names: Map[int, int] = table(8)
pairs: Map[tuple[int, int], int] = table(8)
sorted: Ordered[int, int] = ordered(8)
served: Tally[Client, int] = tally(8)
maybe: int | None = None
small: tuple[u8, int] = (1, 2)
box: Box = Box()
full: Full = Full()
word: str = ""
raw: bytes | None = None
called: tuple[str, int] | None = None
labelled: Full | None = None
recent: Map[int, int] = lru(8)
boxes: Map[int, Box] = lru(8)
wait: Duration = 0
count: int = 0
"""


def text(charge: str, methods: str = "") -> str:
    head = "def charge(self, client: Client, cost: int) -> None:\n"
    parts = [FIELDS, dedent(methods), head + indent(dedent(charge), "    ")]
    return IMPORTS + BEFORE + "class P(Least):\n" + indent("\n".join(parts), "    ")


def said(charge: str, methods: str = "") -> list[str]:
    return [d.code for d in compile_text(text(charge, methods)).diagnostics]


def state(charge: str, methods: str = "", cost: int = 5) -> dict[str, Any]:
    """The state after one `charge(1, cost)`."""
    found = compile_text(text(charge, methods))
    assert found.programs, [f"{d.span.line}: {d.code} {d.message}" for d in found.diagnostics]
    p = Instance(found.programs[-1])
    p.call("charge", (1, cost))
    return p.state


# ---------------------------------------------------------------- what they do


@pytest.mark.parametrize(
    ("charge", "count"),
    [
        ("x: int\nx = cost\nself.count = x", 5),
        ("self.count = self.full.overflow", 7),
        ("x = self.full\nself.count = x.overflow", 7),
        ("x = self.small\nx = (cost, 400)\nself.count = x[0] + x[1]", 405),
        ("before_2 = 3\nself.slots[1] = 8\nself.count = before_2 + self.slots[1]", 11),
        ("x = 5 if cost > 100 else None\nx = cost\nself.count = x", 5),
        ("match self.box:\n    case Box(content=x):\n        self.count = x + 1", 1),
        ("b = self.box\nfor i in range(3):\n    b.content += i\nself.box = b\nself.count = b.content", 3),
        ("self.count = min(x for x in range(2, 4))", 2),
        ("self.count = min((i for i in range(2, 9) if i > 5), default=1)", 6),
        ("self.count = twice(BIG)", 6),
        ("self.count = +cost", 5),
        ("...\nself.count = 2", 2),
        ("x = self.maybe\nif x is not None:\n    x += 1\n    self.count = x\nself.count += 3", 3),
        ("x = self.maybe\nx = None\nself.maybe = x\nself.count = 4", 4),
        ("self.names[3] = 4\nif len(self.names) > 0:\n    self.count = min(x for x in self.names.values())", 4),
        ("match self.maybe:\n    case None | 3:\n        self.count = 1\n    case x:\n        self.count = x", 1),
        ("self.recent[1] = 2\nif 1 in self.recent:\n    self.recent[1] += 1\nself.count = self.recent.get(1, 0)", 3),
    ],
)  # fmt: skip
def test_what_it_does(charge: str, count: int) -> None:
    assert state(charge)["count"] == count


def test_names_of_our_own_stay_out_of_the_way() -> None:
    charge = """
        middle_2 = 1
        if 1 < cost * 2 < 20:
            middle_2 += 1
        if 1 < cost * 3 < 20:
            middle_2 += 1
        self.count = middle_2
    """
    assert state(charge)["count"] == 3


def test_more_facts_than_are_worth_keeping() -> None:
    """A function with a hundred known ranges is typed without them, and means the same."""
    lines = "\n".join(f"x{i} = {i} + cost % 2" for i in range(100))
    assert state(f"{lines}\nself.count = x99")["count"] == 100


def test_optional_text_is_there_after_a_store_only_if_it_fits() -> None:
    assert state("self.raw = b'abc'\nself.count = len(self.raw)")["count"] == 3
    assert said("self.called = ('a', cost)\nself.count = self.called[1]") == ["P031"]
    assert said("self.labelled = Full()\nself.count = len(self.labelled.name)") == ["P022"]
    assert state("x = self.maybe\nx = 3\nself.count = x")["count"] == 3


def test_an_own_method_may_be_called_by_its_class() -> None:
    assert (
        said("x = self._made(cost)\nself.box = x", "def _made(self, x: int) -> Box:\n    return Box(x)") == []
    )


# ---------------------------------------------------------------- what is said


@pytest.mark.parametrize(
    ("charge", "code"),
    [
        ("self.wait //= ns(2)", "P038"),
        ("self.count = own(3)", "P033"),
        ("self.count = pick()", "P033"),
        ("print('x')", "P033"),
        ("self.count = len()", "P032"),
        ("self.count = min(cost, 'a')", "P011"),
        ("self.count = 3 if 1 < cost < 'a' else 4", "P011"),
        ("self.count = 3 if cost in (1, 'a') else 4", "P011"),
        ("if client:\n    pass", "P012"),
        ("return 3", "P011"),
        ("a = {c for c in self.waiting}\nb = a ^ a", "P011"),
        ("x = ns(2) - now()", "P038"),
        ("match (cost, missing):\n    case _:\n        pass", "P007"),
        ("match cost:\n    case 1 if missing:\n        pass\n    case _:\n        pass", "P007"),
        ("match cost:\n    case 1 | 'a':\n        pass\n    case _:\n        pass", "P046"),
        ("match cost:\n    case Missing.A:\n        pass\n    case _:\n        pass", "P007"),
        ("match self.box:\n    case Box(content='a'):\n        pass\n    case _:\n        pass", "P046"),
        ("self.count = self.word.overflow", "P031"),
        ("self.count = self.slots.overflow", "P031"),
        ("self.count = self.nothing.overflow", "P006"),
        ("x = self.sorted.pop_first(1)", "P032"),
        ("for a, b in self.pairs:\n    self.pairs[b, a] = 3", "P026"),
        ("for k in self.sorted:\n    x = self.sorted.pop_first()", "P026"),
        ("self.count = min((i for i in range(3)), default=missing)", "P007"),
        ("self.count = min((i for i in range(3)), default=True)", "P011"),
        ("self.count = min(i for i in {j for j in range(3)})", "P041"),
        ("self.count = min(x for x in range(4) if x > cost)", "P041"),
        ("x = True\nx.y = 3", "P031"),
        ("super().arrive(client)", "P033"),
        ("f = 3\nfor i in range(3):\n    f(3)", "P033"),
        ("for i in range(3):\n    twice(i)(4)", "P033"),
        ("for i in range(3):\n    twice(i).x = 4", "P037"),
        ("if 3 in self.boxes:\n    self.boxes[3].content = self.boxes[4].content", "P021"),
        ("x = missing\nx.content = 3", "P007"),
        ("self.count = (None, 3)[1]", "P011"),
    ],
)
def test_what_is_said(charge: str, code: str) -> None:
    assert said(charge) == [code]


@pytest.mark.parametrize(
    ("methods", "charge", "code"),
    [
        (
            "maybes: Map[int, int | None] = table(8)",
            "self.count = 3 if self.maybes.get(3) is None else 4",
            [],
        ),
        ("def _a(self) -> Forward | Forward:\n    return Forward()", "self._a()", []),
        ("def _a(self, x: set[float]) -> None:\n    pass", "pass", ["P030"]),
    ],
)
def test_what_is_said_of_declarations(methods: str, charge: str, code: list[str]) -> None:
    assert said(charge, methods) == code


@pytest.mark.parametrize(
    ("item", "default"),
    [("name", '""'), ("b'' if cost > 3 else b'a'", 'b""'), ("(name, 1)", "…"), ("1.5", "0.0")],
)
def test_what_to_write_where_there_may_be_nothing_to_choose_from(item: str, default: str) -> None:
    fields = "texts: Map[str, int] = table(8)"
    (found,) = compile_text(text(f"x = min({item} for name in self.texts)", fields)).diagnostics
    assert found.help == f"say what then: `min(({item} for name in self.texts), default={default})`"


def test_a_struct_with_a_mistake_is_said_once() -> None:
    broken = "@struct\nclass Broken:\n    x: Nothing\n@helper\ndef twice"
    found = compile_text(text("x = Broken()").replace("@helper\ndef twice", broken)).diagnostics
    assert [d.code for d in found] == ["P007"]


def test_a_class_that_is_no_struct_makes_nothing() -> None:
    plain = "class Plain:\n    x: int = 0\n@helper\ndef twice"
    found = compile_text(text("x = Plain()").replace("@helper\ndef twice", plain)).diagnostics
    assert {d.message for d in found} == {"`Plain` is not a class of the language"}


def test_a_number_that_no_float_holds() -> None:
    (found,) = compile_text(text(f"x: float = {9:9<309}")).diagnostics
    assert (found.code, found.help) == ("P039", "the largest `float` is about 1.8e308")


@pytest.mark.parametrize(
    "constant", ["LOOP: Final = LOOP + 1", 'LOOP: Final[u8] = "a"', "LOOP: Final = max(1, 2)"]
)
@pytest.mark.parametrize("charge", ["pass", "self.count = LOOP", "self.count = self.slots[LOOP]"])
def test_a_constant_that_is_none_is_said_once(charge: str, constant: str) -> None:
    found = compile_text(text(charge).replace("SUM: Final[int] = 1 + 2", constant)).diagnostics
    assert [d.code for d in found] == ["P028"]


def test_a_constant_of_a_type_may_be_computed() -> None:
    assert state("self.count = SUM + self.slots[SUM]")["count"] == 3


def test_a_call_of_a_helper_with_a_mistake_changes_who_knows_what() -> None:
    methods = "def _a(self) -> int:\n    return self._b()\ndef _b(self) -> int:\n    return self._a()\n"
    assert (
        said("if 3 in self.names:\n    x = self._a()\n    self.count = self.names[3]", methods)[0] == "P018"
    )


def test_what_a_loop_calls_may_undo_what_was_known() -> None:
    loop = "if 1 in self.names:\n    for i in range(3):\n        {}\n        self.count = self.names[1]"
    assert said(loop.format("x = twice(i)")) == []
    assert said(loop.format("super().charge(client, cost)")) == []
    assert said(loop.format("drop(client)")) == []
    assert said(loop.format("del self.names[i]")) == ["P021"]


# ---------------------------------------------------------------- views and files


ELEMENT = """
    class Inner(Message):
        note: str | None
    class Ask(Message):
        user: str
        kind: str | None
        inner: Inner
        labels: Mapping[str, int]
    class P(Element):
        count: int = 0
        def _mark(self, rpc: Rpc[Ask, Ask]) -> None:
            rpc.msg.user = "x"
        def _seen(self, rpc: Rpc[Any, Any]) -> None:
            self.count += 1
        def _decided(self) -> Verdict:
            return Forward()
        def request(self, rpc: Rpc[Ask, Ask]) -> Verdict:
"""


def element(body: str) -> list[str]:
    inside = indent(dedent(body), "        ")
    return [
        d.code
        for d in compile_text(
            "from typing import Any\n" + IMPORTS + dedent(ELEMENT) + inside + "\n"
        ).diagnostics
    ]


@pytest.mark.parametrize(
    ("body", "codes"),
    [
        ("self._mark(rpc)\nreturn Forward()", []),
        ("for i in range(3):\n    self._mark(rpc)\nreturn Forward()", []),
        ("rpc.msg.kind = 'x'\nself.count = len(rpc.msg.kind)\nreturn Forward()", ["P022"]),
        ("self._seen(rpc)\nreturn Forward()", []),
        ("x = rpc.msg.labels.get('a')\nreturn Forward()", []),
        ("x = rpc.msg.labels.get(1)\nreturn Forward()", ["P011"]),
        ("if rpc.msg.kind is not None:\n    self._mark(rpc)\n    self.count = len(rpc.msg.kind)\nreturn Forward()", []),
        ("for i in range(3):\n    rpc.msg.user = 'x'\nreturn Forward()", []),
        ("rpc.msg.user += 3\nreturn Forward()", ["P011"]),
        ("rpc.msg.nothing = 3\nreturn Forward()", ["P031"]),
        ("match self._decided():\n    case Forward():\n        return Forward()", ["P023"]),
        (
            "match self._decided():\n    case Forward():\n        return Forward()\n    case Reject():\n"
            "        return Forward()\n    case Respond():\n        return Forward()",
            [],
        ),
    ],
)  # fmt: skip
def test_messages(body: str, codes: list[str]) -> None:
    assert element(body) == codes


def test_functions_and_structs_of_a_sibling_file_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "shared.py").write_text(
        "from typing import Final\nfrom transect.lang import helper, struct\n"
        "@struct\nclass Box:\n    content: int = 0\n"
        "@helper\ndef twice(x: int) -> int:\n    return x * 2\n"
        "LIMIT: Final = 3\n"
    )
    path = tmp_path / "policy.py"
    path.write_text(
        "from transect.shapes import Arbiter, Client\nfrom . import shared\n"
        "class P(Arbiter):\n    count: int = 0\n"
        "    def pick(self) -> Client:\n        return min(self.waiting, key=lambda c: 0)\n"
        "    def arrive(self, client: Client) -> None:\n"
        "        b = shared.Box(3)\n"
        "        self.count = shared.twice(b.content) + shared.LIMIT\n"
    )
    found = compile_file(path)
    p = Instance(found.programs[0])
    p.call("arrive", (1,))
    assert p.state["count"] == 9


def test_what_a_probe_reports_has_a_type() -> None:
    probe = (
        "from transect.memory import Probe, Struct\nclass Task(Struct, of='task_struct'):\n    pid: i32\n"
        "class P(Probe):\n    def scan(self) -> None:\n        self.report('x', a={})\n"
    )
    assert [d.code for d in compile_text(IMPORTS + probe.format("3")).diagnostics] == []
    assert [d.code for d in compile_text(IMPORTS + probe.format("missing")).diagnostics] == ["P007"]


@pytest.mark.parametrize(
    ("wrong", "code", "right"),
    [
        ("x = self.slots[cost - 1]", "P027", "x = self.slots[(cost - 1) % 8]"),
        ("x = self.slots[cost - 1]", "P027", "if 0 <= (cost - 1) < 8:\n    x = self.slots[cost - 1]"),
        ("x = self.slots[rand_below(9)]", "P027", "i = rand_below(9)\nif 0 <= i < 8:\n    x = self.slots[i]"),
        (
            "x = self.names[rand_below(9)]",
            "P021",
            "k = rand_below(9)\nif k in self.names:\n    x = self.names[k]",
        ),
        ("x = as_int(3.5 // 1.0)", "P011", "x = as_int(3.5 / 1.0)"),
        (
            "z = None\nif z is None:\n    self.count = 1",
            "P011",
            "z: int | None = None\nif z is None:\n    self.count = 1",
        ),
        (
            "x = min(self.names.items(), key=lambda p: p[1])",
            "P034",
            "x = min(self.names, key=lambda k: self.names[k], default=0)",
        ),
        (
            "x = min(v for k, v in self.names.items())",
            "P041",
            "x = min((v for k, v in self.names.items()), default=0)",
        ),
    ],
)
def test_help_that_is_followed_helps(wrong: str, code: str, right: str) -> None:
    assert said(wrong) == [code]
    assert said(right) == []


def test_an_ill_typed_term_of_a_condition_is_said_alone() -> None:
    assert said(
        "m = 2 ** 62\nf = self.sorted.first()\nif f is not None and f[1] < m:\n    del self.sorted[f[0]]"
    ) == ["P047"]
