# SPDX-License-Identifier: Apache-2.0
"""Literals, locals and named constants."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from transect.base.diagnostic import Label, closest
from transect.core import ir
from transect.core.frontend.bodies import calls, numbers
from transect.core.frontend.bodies.context import short
from transect.core.frontend.constants import constant_int, constant_of, fit, int_range
from transect.core.frontend.modules import ConstantDef, surface_name
from transect.core.frontend.plain import is_constant, plain
from transect.core.frontend.surface import DURATION_UNITS
from transect.core.ir import Expr
from transect.core.types import (
    BOOL,
    FLOAT,
    INT,
    U64,
    UNIT,
    BytesType,
    DurationType,
    FloatType,
    InstantType,
    OptionType,
    TextType,
    Type,
    an,
    spell,
)

if TYPE_CHECKING:
    from transect.core.frontend.bodies.typing import Typing


def literal(typing: Typing, node: ast.Constant, wanted: Type | None) -> Expr | None:
    value = node.value
    target = wanted.item if isinstance(wanted, OptionType) else wanted
    match value:
        case bool():
            t: Type = BOOL
        case int():
            t = target if isinstance(target, FloatType | InstantType | DurationType) or target == U64 else INT
        case float():
            t = FLOAT
        case str():
            t = TextType()
        case bytes():
            t = BytesType()
        case None:
            return ir.Const(None, type=UNIT, span=typing.span(node))
        case _:
            typing.error(
                "P047",
                node,
                f"`{short(node)}` is not a literal of the language",
                "literals are integers, floats, text, bytes, True, False and None",
                label="not part of the language",
            )
            return None
    return _fitted(typing, node, value, t)


def _fitted(typing: Typing, node: ast.expr, value: object, t: Type) -> Expr | None:
    ok, plain = fit(value, t)
    if not ok:
        low, high = int_range(64, t != U64)
        why = f"`{spell(t)}` goes from {low} to {high}" if isinstance(value, int) else "it is not valid UTF-8"
        if isinstance(t, FloatType):
            why = "the largest `float` is about 1.8e308"
        typing.error("P039", node, f"`{short(node)}` does not fit in {an(t)}", why, label="out of range")
        return None
    return ir.Const(plain, type=t, span=typing.span(node))


def identifier(typing: Typing, node: ast.Name, wanted: Type | None) -> Expr | None:
    found = typing.scope.lookup(node.id)
    if found is not None:
        return _local(typing, node, *found)
    match typing.world.binding(typing.module, node):
        case ConstantDef() as constant:
            return named_constant(typing, node, constant, wanted)
        case None:
            _unknown_name(typing, node)
        case _:
            typing.error(
                "P033",
                node,
                f"`{node.id}` is not a value",
                "call it, or name a member of it",
                label="a class, function or module",
            )
    return None


def _local(typing: Typing, node: ast.Name, unique: str, t: Type | None) -> Expr | None:
    if t is None:
        return None
    if unique not in typing.facts.assigned and unique in typing.scope.types:
        first = typing.scope.first.get(node.id)
        others = () if first is None else (Label(first, "assigned here, but not on every path"),)
        typing.error(
            "P024",
            node,
            f"`{node.id}` may have no value here",
            f"give `{node.id}` a value before the branch or loop",
            label="not assigned on every path",
            others=others,
        )
        return None
    return ir.Local(unique, type=t, span=typing.span(node))


def _unknown_name(typing: Typing, node: ast.Name) -> None:
    if node.id == "self":
        typing.error(
            "P045",
            node,
            "`self` is not a value",
            "name a field of it, `self.field`, or call a helper, `self._helper()`",
            label="only before a dot",
        )
        return
    if node.id in typing.module.lacking:
        return
    close = closest(node.id, [*typing.scope.types, *typing.scope.params])
    field = closest(node.id, typing.policy.fields)
    if close is None and field is not None:
        close = f"self.{field}"
    close = close or closest(node.id, typing.module.names)
    help = f"write `{close}`" if close else "assign it first, or import it"
    typing.error("P007", node, f"unknown name `{node.id}`", help, label="not a local, parameter or import")


def named_constant(typing: Typing, node: ast.expr, constant: ConstantDef, wanted: Type | None) -> Expr | None:
    """`NAME: Final = 5`: as if its value stood here; `NAME: Final[u64] = 5` has that type."""
    if not is_constant(typing.world, constant):
        return None
    declared = constant.node.annotation
    if not isinstance(declared, ast.Subscript):
        return _folded_constant(typing, node, constant, wanted)
    assert constant.node.value is not None, "a constant has a value"
    t = typing.world.type_of(constant.module, declared.slice)
    if t is None:
        return None
    _, value = plain(typing.world, constant.module, constant.node.value, t, (constant,))
    return constant_of(value, t, typing.span(node))


def _folded_constant(
    typing: Typing, node: ast.expr, constant: ConstantDef, wanted: Type | None
) -> Expr | None:
    value = constant.node.value
    number = (
        None if value is None else constant_int(value, lambda n: numbers.constant_number(typing, n, constant))
    )
    if number is not None:
        stand_in = ast.copy_location(ast.Constant(number), node)
        return literal(typing, stand_in, wanted)
    match value:
        case ast.Constant(value=whole):
            return literal(typing, ast.copy_location(ast.Constant(whole), node), wanted)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=float(whole))):
            return ir.Const(-whole, type=FLOAT, span=typing.span(node))
        case ast.Call(func=func, args=[count]) if (
            unit := surface_name(constant.module, func)
        ) in DURATION_UNITS:
            return calls.duration(typing, node, unit, count)
        case _:
            typing.error(
                "P028",
                node,
                f"`{short(node)}` is not a literal constant",
                "a constant is a number, text, duration, True or False",
                label="its value is computed",
            )
            return None
