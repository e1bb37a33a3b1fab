# SPDX-License-Identifier: Apache-2.0
"""Expressions to typed tree: one entry for all of their forms."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from transect.core.frontend.bodies import calls, conditions, members, names, operators, reductions
from transect.core.ir import Expr
from transect.core.types import Type

if TYPE_CHECKING:
    from transect.core.frontend.bodies.typing import Typing


def raw(typing: Typing, node: ast.expr, wanted: Type | None) -> Expr | None:
    """The typed expression without narrowing of options, for `is None` and `match`."""
    match node:
        case ast.Constant():
            return names.literal(typing, node, wanted)
        case ast.Name():
            return names.identifier(typing, node, wanted)
        case ast.Attribute():
            return members.attribute(typing, node)
        case ast.Subscript():
            return members.subscript(typing, node)
        case ast.UnaryOp():
            return operators.unary(typing, node, wanted)
        case ast.BinOp():
            return operators.binary(typing, node, wanted)
        case ast.BoolOp():
            return conditions.logic(typing, node)
        case ast.Compare():
            return conditions.compare(typing, node)
        case ast.IfExp():
            return operators.choose(typing, node, wanted)
        case ast.Tuple():
            return operators.tuple_of(typing, node, wanted)
        case ast.Call():
            return calls.call(typing, node, wanted)
        case ast.SetComp():
            return reductions.set_comprehension(typing, node)
        case ast.JoinedStr():
            return operators.format_string(typing, node)
        case _:
            return _refused(typing, node)


def _refused(typing: Typing, node: ast.expr) -> None:
    message, help = _REFUSED.get(
        type(node),
        (
            f"`{type(node).__name__}` is not part of the language",
            "write it with the operators, reductions and helpers of the language",
        ),
    )
    typing.error("P047", node, message, help, label="not part of the language")


_REFUSED: dict[type[ast.expr], tuple[str, str]] = {
    ast.Lambda: (
        "a function as a value is not part of the language",
        "a lambda may stand after `key=` of `min` and `max`; elsewhere write a helper",
    ),
    ast.Dict: ("a dict is not a value of the language", "keep it as state (`table(…)`), or use tuples"),
    ast.Set: (
        "a set display is not part of the language",
        "write a set comprehension, or `x in (a, b)` for a test",
    ),
    ast.List: (
        "a list is not a value of the language",
        "use a tuple, a set comprehension, or state (`array(…)`)",
    ),
    ast.ListComp: (
        "a list comprehension is not part of the language",
        "write a generator inside a reduction, `sum(… for … in …)`, or a set comprehension",
    ),
    ast.DictComp: ("a dict comprehension is not part of the language", "keep it as state (`table(…)`)"),
    ast.GeneratorExp: (
        "a generator stands inside a reduction only",
        "write `min(…)`, `max(…)`, `sum(…)`, `any(…)` or `all(…)` around it",
    ),
    ast.Await: ("`await` has no meaning in a policy", "handlers never wait; return a verdict"),
    ast.Yield: ("`yield` has no meaning in a policy", "return a value"),
    ast.YieldFrom: ("`yield` has no meaning in a policy", "return a value"),
    ast.NamedExpr: ("`:=` is not part of the language", "assign on a line of its own"),
    ast.Starred: ("`*` is not part of the language", "write the values out"),
    ast.Slice: ("slices are not part of the language", "compare, search and measure texts as a whole"),
}
