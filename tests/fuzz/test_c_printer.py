# SPDX-License-Identifier: Apache-2.0
"""The C printer: a random tree, printed and parsed by pycparser, is the same tree."""

from __future__ import annotations

from hypothesis import given, settings

from tests.unit.emit.c.parsed import parse
from tests.unit.emit.c.trees import DECLARATIONS, EXPRESSIONS
from transect.emit.c import tree as c
from transect.emit.c.printer import render

EXAMPLES = settings.default.max_examples if settings.default else 0  # of the profile in force


@given(EXPRESSIONS)
@settings(max_examples=max(1000, EXAMPLES))
def test_expressions_keep_their_tree(e: c.Expr) -> None:
    function = c.Function("f", c.VOID, (), c.Block((c.Do(e),)))
    text = render("x.c", [function])
    assert parse(text) == (function,), text


@given(DECLARATIONS)
@settings(max_examples=max(400, EXAMPLES))
def test_declarations_keep_their_tree(d: c.Decl) -> None:
    text = render("x.c", [d])
    assert parse(text) == (d,), text
