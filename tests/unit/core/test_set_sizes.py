# SPDX-License-Identifier: Apache-2.0
"""How many members a local set may have, and that loops over it count them."""

from __future__ import annotations

import textwrap
import time

import pytest

from tests.unit.core.test_effects import HEAD, element
from transect.core.bound import HUGE
from transect.core.bounds import Bounds, Steps, bounds, worst_steps
from transect.core.frontend import compile_text
from transect.core.interp import Instance

LOOP = "for x in s:\n    self.n += 1\n"
OF_LOOP = 4  # steps of a round of it


@pytest.fixture
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Policies that take too long compile."""
    monkeypatch.setattr("transect.core.bounds.STEPS_LIMIT", 10**1000)


def most(body: str, helpers: str = "", local: str = "s") -> str:
    """Members of a local of `request` at most."""
    program = element("n: int = 0", body + "\nreturn Forward()", helpers)
    (request,) = [h for h in program.handlers if h.name == "request"]
    return str(Bounds(program).set_sizes.of(request)[local])


def codes(body: str, helpers: str = "") -> list[str]:
    text = textwrap.indent(textwrap.dedent(body), " " * 8)
    head = "class P(Element):\n    n: int = 0\n" + textwrap.indent(textwrap.dedent(helpers), "    ")
    request = "    def request(self, rpc: Rpc) -> Verdict:\n"
    return [
        d.code
        for d in compile_text(HEAD + head + request + text + "\n        return Forward()\n").diagnostics
    ]


ONE = "s = {i for i in range(1)}\n"


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ("s = {i for i in range(7)}", "7"),
        (
            "x = None\nif self.n > 3:\n    x = {i for i in range(3)}\n"
            "s = x if x is not None else {i for i in range(2)}",
            "3",
        ),
        (ONE + "for i in range(0):\n    s = s | {j for j in range(5)}", "1"),
        (ONE + "for i in range(9000):\n    s = s | {i for j in range(1)}", "9001"),
        (ONE + "for i in range(9000):\n    s |= {i + j for j in range(5)}", "45001"),
        (ONE + "for i in range(10):\n    s = s | {2 * x for x in s}", "1024"),
        (ONE + "for i in range(1000):\n    s = s | {2 * x for x in s}", str(HUGE)),
        (ONE + "for i in range(10):\n    for x in s:\n        s = s | {2 * x for j in range(1)}", "1024"),
        ("s = {i for i in range(9)}\nfor i in range(1000):\n    s = {x for x in s if x != i}", "9"),
        (
            "for i in range(1000):\n    s = {i for i in range(2)}\n"
            "    for j in range(5):\n        s |= {i for k in range(1)}",
            "7",
        ),
        (
            "s = {i for i in range(3)}\nfor i in range(100):\n    t = s\n    s = {j for j in range(8)}\n"
            "    if i > 3:\n        break\n    s = t",
            "8",
        ),
        ("s = {p.size for p in rpc.msg.parts}\ns = s | s", "2 per element of rpc.msg.parts"),
        (
            ONE + "for p in rpc.msg.parts:\n    s |= {j for j in range(4)}",
            "1 + 4 per element of rpc.msg.parts",
        ),
        ("a, s = {i for i in range(7)}, {i for i in range(3)}\na, s = s, a", "7"),
        (
            "t = {i for i in range(7)} if self.n > 3 else None\ns = {i for i in range(2)} if t is None else t",
            "7",
        ),
    ],
)
@pytest.mark.usefixtures("unlimited")
def test_members_of_a_local_set(body: str, wanted: str) -> None:
    assert most(body) == wanted


@pytest.mark.usefixtures("unlimited")
def test_a_set_that_follows_one_that_grows_is_counted_at_most_once_a_round() -> None:
    body = ONE + "t = s\nfor i in range(100):\n    s |= {i for j in range(1)}\n    t |= s"
    assert most(body) == "101"
    assert 101 <= int(most(body, local="t")) < 11_000


def test_what_a_helper_gives_back_grows_with_what_it_is_given() -> None:
    helper = "def _more(self, a: set[int]) -> set[int]:\n    return a | {i for i in range(5)}"
    body = ONE + "for i in range(3):\n    s = self._more(s)"
    assert most(body, helper) == "16"


@pytest.mark.usefixtures("unlimited")
def test_no_set_has_more_members_than_its_bound() -> None:
    """What runs, against what is said of it."""
    for body in (
        ONE + "for i in range(20):\n    s = s | {x + 1 for x in s}",
        ONE + "for i in range(8):\n    s = s | {2 * x + 1 for x in s} | {3 * x for x in s}",
        ONE + "for i in range(30):\n    for j in range(3):\n        s |= {i * 3 + j for k in range(1)}",
    ):
        program = element("n: int = 0", body + "\nself.n = len(s)\nreturn Forward()")
        instance = Instance(program)
        instance.call("request", [None])
        (request,) = [h for h in program.handlers if h.name == "request"]
        known = Bounds(program).set_sizes.of(request)["s"].known
        assert known is not None and 1 < instance.state["n"] <= known


GROWING = ONE + "for i in range(9000):\n    s = s | {i for j in range(1)}\n"


OVER = """\
def _over(self, s: set[int]) -> None:
    for a in s:
        for b in s:
            self.n += 1
"""
FIRST = "def _first(self, s: set[int]) -> None:\n    self._over(s)\n"
MADE = "def _made(self) -> set[int]:\n    return {i for i in range(90000)}\n"


@pytest.mark.parametrize(
    ("body", "helpers"),
    [
        (GROWING + "for a in s:\n    for b in s:\n        self.n += 1", ""),
        (GROWING + "self.n = sum(min((a + b for b in s), default=0) for a in s)", ""),
        ("self._over({i for i in range(9000)})", OVER),
        ("s = {i for i in range(9000)}\nself._first(s)", OVER + FIRST),
        ("t = (self._made(), 1)\nfor a in t[0]:\n    for b in t[0]:\n        self.n += 1", MADE),
        ("s = {i for i in range(20000)}\nfor i in range(20000):\n    t = s | s", ""),
    ],
)
def test_what_goes_over_members_that_grew_elsewhere_is_too_long(body: str, helpers: str) -> None:
    assert codes(body, helpers) == ["P051"]


def test_the_line_of_a_loop_in_a_helper_is_named() -> None:
    body = "        self._over({i for i in range(90000)})\n        return Forward()\n"
    head = "class P(Element):\n    n: int = 0\n" + textwrap.indent(OVER, "    ")
    text = HEAD + head + "    def request(self, rpc: Rpc) -> Verdict:\n" + body
    (found,) = compile_text(text).diagnostics
    assert text.splitlines()[found.span.line - 1].strip() == "for a in s:"


def test_steps_of_a_helper_count_what_it_is_given() -> None:
    helper = "def _over(self, s: set[int]) -> None:\n    for a in s:\n        self.n += 1"
    few, many = (
        worst_steps(element("n: int = 0", f"self._over({{i for i in range({n})}})\nreturn Forward()", helper))
        for n in (10, 20)
    )
    assert many["request"] - few["request"] == 10 * (1 + OF_LOOP)


def test_a_union_counts_its_members() -> None:
    sums = [
        worst_steps(element("n: int = 0", f"s = {{i for i in range({n})}}\nt = s | s\nreturn Forward()"))
        for n in (10, 20)
    ]
    assert sums[1]["request"] - sums[0]["request"] == 10 * (1 + 2)


@pytest.mark.usefixtures("unlimited")
def test_loops_deep_in_each_other_are_decided_at_once() -> None:
    depth = 19
    body = ONE + "".join(f"{'    ' * i}for i{i} in range(2):\n" for i in range(depth))
    body += "    " * depth + "s = s | {x + 1 for x in s}"
    start = time.process_time()
    program = element("n: int = 0", body + "\nreturn Forward()")
    assert bounds(program)["request"].steps.known is not None
    assert Steps(program).of(program.handlers[0]) > 10**9
    assert time.process_time() - start < 5


@pytest.mark.usefixtures("unlimited")
def test_sets_through_a_chain_of_helpers_are_decided_at_once() -> None:
    names = ("a", "b", "c", "d")
    given = ", ".join(f"{n}: set[int]" for n in names)
    helpers = "\n".join(
        f"def _h{i}(self, {given}) -> set[int]:\n    for x in a:\n        for y in b:\n            self.n += 1\n"
        + (
            f"    return self._h{i + 1}(a | b, b | c, c | d, d | a) | self._h{i + 1}(b | d, c, a | d, c)"
            if i < 20
            else "    return a | b"
        )
        for i in range(21)
    )
    start = time.process_time()
    program = element("n: int = 0", ONE + "s = self._h0(s, s, s, s)\nreturn Forward()", helpers)
    assert Steps(program).of(program.handlers[0]) > 10**6
    assert time.process_time() - start < 5


def test_a_set_that_has_a_name_within_an_expression_only() -> None:
    helpers = """
        def _next(self) -> int:
            self.n += 1
            return self.n
        def _with(self, members: set[int], one: int) -> set[int]:
            return members | {one for i in range(1)}
    """
    assert most("s = self._with(one=self._next(), members={i for i in range(3)})", helpers) == "4"
