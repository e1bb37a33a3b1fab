# SPDX-License-Identifier: Apache-2.0
"""Defaults of struct fields: literals, constants, tuples of these, and structs made of them."""

from __future__ import annotations

import pytest

import transect
from tests.unit.core.running import IMPORTS, compiled
from transect.core.frontend import compile_text
from transect.core.schema import Schema, schema
from transect.core.text import dump, parse

TEXT = """
LIMIT: Final = 4
@struct
class Pair:
    a: int
    b: u8 = 3
@struct
class Outer:
    n: int
    default: {annotation} = {default}
class P(Arbiter):
    outer: Outer = Outer(7)
    def pick(self) -> Client:
        return min(self.waiting, key=lambda c: 0)
"""


@pytest.mark.parametrize(
    ("annotation", "default", "shown"),
    [
        ("Pair", "Pair(1, b=LIMIT)", "Pair(a=1, b=4)"),
        ("Pair | None", "Pair(2)", "Pair(a=2, b=3)"),
        ("Pair | None", "None", "None"),
        ("tuple[int, bool]", "(LIMIT, True)", "(4, True)"),
        ("tuple[str, tuple[float, int]]", '("é", (0.5, -1))', "('é', (0.5, -1))"),
    ],
)
def test_a_default_is_the_same_in_text_schema_and_python(annotation: str, default: str, shown: str) -> None:
    text = TEXT.format(annotation=annotation, default=default)
    program = compiled(text)
    assert parse(dump(program)) == program
    found = schema(program)
    assert Schema.from_json(found.to_json()) == found
    assert repr(found.fields[0].initial.value.default) == shown
    module = transect.load(IMPORTS + text)
    first, second = module.Outer(1), module.Outer(2)
    assert repr(module.P().outer.default) == repr(first.default) == shown
    if annotation == "Pair":
        first.default.a = 100  # each has one of its own
        assert second.default.a == 1


@pytest.mark.parametrize(
    ("annotation", "default"),
    [
        ("Pair", "Pair()"),
        ("Pair", "Pair(1, 300)"),
        ("Pair", "Pair(1, 2, 3)"),
        ("Pair", "Pair(1, a=2)"),
        ("Pair", "Pair(1, c=2)"),
        ("Pair", "Outer(1)"),
        ("tuple[int, bool]", "(1, True, 2)"),
        ("tuple[int, bool]", "(1, 2)"),
    ],
)
def test_what_is_no_value_of_the_type_is_refused(annotation: str, default: str) -> None:
    text = IMPORTS + TEXT.format(annotation=annotation, default=default)
    assert "P028" in [d.code for d in compile_text(text).diagnostics]
