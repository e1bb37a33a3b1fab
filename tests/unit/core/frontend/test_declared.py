# SPDX-License-Identifier: Apache-2.0
"""Declarations that people write seldom: first values made of parts, classes in a circle, wrong types."""

from __future__ import annotations

import pytest

from tests.unit.core.running import IMPORTS, arbiter
from transect.core.frontend import compile_text
from transect.core.values import normal

BEFORE = """\
@struct
class Box:
    content: int
    label: str = "x"
"""


def said(field: str, before: str = "") -> list[str]:
    pick = "    def pick(self) -> Client:\n        return min(self.waiting, key=lambda c: 0)\n"
    policy = f"class P(Arbiter):\n    {field}\n{pick}"
    return [d.code for d in compile_text(IMPORTS + BEFORE + before + policy).diagnostics]


@pytest.mark.parametrize(
    ("field", "first"),
    [
        ("kept: tuple[int, Box] = (1, Box(3))", (1, ("Box", 3, "x"))),
        ("kept: Box = Box(content=3, label='y')", ("Box", 3, "y")),
        ("kept: tuple[int, tuple[int, bool]] = (1, (2, True))", (1, (2, True))),
        ("kept: tuple[str, str] = ('a', 'b')", ("a", "b")),
        ("kept: tuple[bytes, int] = (b'a', 2)", (b"a", 2)),
    ],
)
def test_a_first_value_made_of_parts(field: str, first: object) -> None:
    value = arbiter(field, before=BEFORE).state["kept"]

    def plain(part: object) -> object:
        if isinstance(part, tuple):
            return tuple(map(plain, part))
        if hasattr(part, "content"):
            return ("Box", part.content, part.label)  # type: ignore[attr-defined]
        return part

    assert plain(value) == first, normal(value)


@pytest.mark.parametrize(
    "first",
    [
        "(1, Box())",
        "(1, Box(1, 'a', 3))",
        "(1, Box(1, wrong=3))",
        "(1, Box('a'))",
        "(1, 3)",
        "(missing, Box(1))",
    ],
)
def test_a_first_value_whose_parts_do_not_fit(first: str) -> None:
    assert len(said(f"kept: tuple[int, Box] = {first}")) == 1


def test_classes_that_derive_from_each_other() -> None:
    found = compile_text(IMPORTS + "class A(B):\n    x: int\nclass B(A):\n    y: int\n").diagnostics
    assert found.failed


@pytest.mark.parametrize(
    ("field", "before"),
    [
        ("kept: Counter = 3", ""),
        ("kept: Histogram = 3", ""),
        ("kept: Box | int = 3", ""),
        ("kept: Both = 3", "Both = Box | int\n"),
        (f"kept: float = 1{'0' * 400}", ""),
    ],
)
def test_types_that_a_field_cannot_have(field: str, before: str) -> None:
    assert said(field, before)


@pytest.mark.parametrize(("fields", "bound"), [
    ("kept: str | None = text(3)", "abc"),
    ("kept: tuple[str, int] = text(3, ('', 0))", ("abc", 1)),
    ("kept: bytes | None = blob(3)", b"abc"),
])  # fmt: skip
def test_the_bound_of_a_text_within_another_type(fields: str, bound: object) -> None:
    more = repr(bound).replace("abc", "abcd")
    p = arbiter(fields, f"self.kept = {bound!r} if cost < 5 else {more}")
    for cost in (1, 9):
        p.call("charge", (1, cost))
        assert p.state["kept"] == bound
    assert p.overflows()["kept"] == 1


def test_a_helper_takes_one_of_two_structs() -> None:
    before = BEFORE + "@struct\nclass Bag:\n    weight: int\n"
    match = "match x:\n        case Box(content=n):\n            return n\n"
    match += "        case Bag(weight=n):\n            return -n"
    fields = f"n: int = 0\ndef _of(self, x: Box | Bag) -> int:\n    {match}"
    p = arbiter(fields, "self.n = self._of(Box(cost)) * 100 + self._of(Bag(cost))", before)
    p.call("charge", (1, 5))
    assert p.state["n"] == 495
