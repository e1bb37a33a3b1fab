# SPDX-License-Identifier: Apache-2.0
"""Expressions to typed tree: one entry for all of their forms."""

from __future__ import annotations

import ast

from transect.core.frontend.bodies.conditions import Conditions
from transect.core.frontend.bodies.context import widen
from transect.core.ir import Expr
from transect.core.types import (
    Type,
)


class Expressions(Conditions):
    """Typing of expressions; None stands for one that has a diagnostic."""

    def expression(self, node: ast.expr, wanted: Type | None = None) -> Expr | None:
        """The typed expression; `wanted` gives literals their type, conversions are the caller's."""
        e = self.raw(node, wanted)
        return None if e is None else self.present(widen(e))

    def value(self, node: ast.expr, wanted: Type, what: str = "") -> Expr | None:
        e = self.expression(node, wanted)
        return None if e is None else self.convert(e, wanted, node, what)

    def raw(self, node: ast.expr, wanted: Type | None = None) -> Expr | None:
        """Without narrowing of options: what `is None` and `match` look at."""
        match node:
            case ast.Constant():
                return self._constant(node, wanted)
            case ast.Name():
                return self._name(node, wanted)
            case ast.Attribute():
                return self._attribute(node)
            case ast.Subscript():
                return self._subscript(node)
            case ast.UnaryOp():
                return self._unary(node, wanted)
            case ast.BinOp():
                return self._binary(node, wanted)
            case ast.BoolOp():
                return self._logic(node)
            case ast.Compare():
                return self._compare(node)
            case ast.IfExp():
                return self._choose(node, wanted)
            case ast.Tuple():
                return self._tuple(node, wanted)
            case ast.Call():
                return self.call(node, wanted)
            case ast.SetComp():
                return self.set_comprehension(node)
            case ast.JoinedStr():
                return self._format(node)
            case _:
                return self._refused(node)

    def _refused(self, node: ast.expr) -> None:
        message, help = _REFUSED.get(
            type(node),
            (
                f"`{type(node).__name__}` is not part of the language",
                "write it with the operators, reductions and helpers of the language",
            ),
        )
        self.error("P047", node, message, help, label="not part of the language")


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
