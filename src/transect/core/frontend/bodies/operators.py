# SPDX-License-Identifier: Apache-2.0
"""Operators, conditional expressions, tuples and f-strings."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from transect.core import ir
from transect.core.frontend.bodies import arithmetic, names, numbers
from transect.core.frontend.bodies.arithmetic import literal_kind
from transect.core.frontend.bodies.context import convert, join
from transect.core.frontend.bodies.facts import implied
from transect.core.ir import BinaryOp, Expr, UnaryOp
from transect.core.types import (
    TEXT,
    BoolType,
    DurationType,
    EnumType,
    FloatType,
    InstantType,
    IntType,
    TextType,
    TupleType,
    Type,
    an,
    spell,
)

if TYPE_CHECKING:
    from transect.core.frontend.bodies.typing import Typing


def unary(typing: Typing, node: ast.UnaryOp, wanted: Type | None) -> Expr | None:
    if isinstance(node.op, ast.Not):
        return typing.condition(node)
    if (
        isinstance(node.op, ast.USub)
        and isinstance(node.operand, ast.Constant)
        and isinstance(node.operand.value, int | float)
        and not isinstance(node.operand.value, bool)
    ):
        return names.literal(typing, ast.copy_location(ast.Constant(-node.operand.value), node), wanted)
    operand = typing.expression(node.operand, wanted)
    if operand is None:
        return None
    span = typing.span(node)
    match node.op, operand.type:
        case ast.UAdd(), IntType() | FloatType():
            return operand
        case ast.USub(), IntType() | FloatType() | DurationType():
            return ir.Unary(UnaryOp.NEG, operand, type=operand.type, span=span)
        case ast.Invert(), IntType():
            return ir.Unary(UnaryOp.INVERT, operand, type=operand.type, span=span)
        case _:
            sign = {ast.UAdd: "+", ast.USub: "-"}.get(type(node.op), "~")
            typing.error(
                "P011",
                node,
                f"`{sign}` needs a number, not {an(operand.type)}",
                "give an integer" if sign == "~" else "give a number",
                label=f"`{spell(operand.type)}`",
            )
            return None


def binary(typing: Typing, node: ast.BinOp, wanted: Type | None) -> Expr | None:
    op = arithmetic.operator(typing, node)
    if op is None:
        return None
    pair = operands(typing, op, node.left, node.right, wanted)
    return None if pair is None else arithmetic.combine(typing, node, op, *pair)


def operands(
    typing: Typing, op: BinaryOp, left: ast.expr, right: ast.expr, wanted: Type | None
) -> tuple[Expr, Expr] | None:
    """Both sides; a bare number takes the other side's type."""
    context = wanted if isinstance(wanted, IntType | FloatType | DurationType | InstantType) else None
    if isinstance(context, DurationType) and op in (BinaryOp.MUL, BinaryOp.FLOORDIV):
        context = None  # one side is a number
    if numbers.flexible(typing, left) and not numbers.flexible(typing, right):
        b = typing.expression(right, context)
        a = None if b is None else typing.expression(left, literal_kind(op, b.type, on_left=True))
    else:
        a = typing.expression(left, context)
        kind = (
            context
            if numbers.flexible(typing, left)
            else None
            if a is None
            else literal_kind(op, a.type, on_left=False)
        )
        b = typing.expression(right, kind)
    return None if a is None or b is None else (a, b)


def choose(typing: Typing, node: ast.IfExp, wanted: Type | None) -> Expr | None:
    cond = typing.condition(node.test)
    if cond is None:
        return None
    flexible = numbers.flexible(typing, node.body) and not numbers.flexible(typing, node.orelse)
    with typing.assuming(typing.facts.having(implied(cond, False))):
        orelse = typing.expression(node.orelse, wanted)
    with typing.assuming(typing.facts.having(implied(cond, True))):
        then = typing.expression(node.body, orelse.type if flexible and orelse is not None else wanted)
    if then is not None and orelse is not None and numbers.flexible(typing, node.orelse):
        with typing.assuming(typing.facts.having(implied(cond, False))):
            orelse = typing.expression(node.orelse, then.type if wanted is None else wanted)
    if then is None or orelse is None:
        return None
    t = join(then.type, orelse.type) or wanted
    a, b = (None, None) if t is None else (convert(then, t), convert(orelse, t))
    if t is None or a is None or b is None:
        typing.error(
            "P011",
            node,
            f"the two sides are `{spell(then.type)}` and `{spell(orelse.type)}`",
            "give both sides one type",
            label="two types",
        )
        return None
    return ir.Choose(cond, a, b, type=t, span=typing.span(node))


def tuple_of(typing: Typing, node: ast.Tuple, wanted: Type | None) -> Expr | None:
    kinds: tuple[Type | None, ...] = (
        wanted.items
        if isinstance(wanted, TupleType) and len(wanted.items) == len(node.elts)
        else (None,) * len(node.elts)
    )
    items = [typing.expression(e, k) for e, k in zip(node.elts, kinds, strict=True)]
    good = tuple(i for i in items if i is not None)
    if len(good) < len(items) or not good:
        if not node.elts:
            typing.error("P047", node, "an empty tuple has no use", "leave it out", label="empty")
        return None
    return ir.MakeTuple(good, type=TupleType(tuple(g.type for g in good)), span=typing.span(node))


def format_string(typing: Typing, node: ast.JoinedStr) -> Expr | None:
    if not typing.formats:
        typing.error(
            "P035",
            node,
            "an f-string may not stand here",
            "f-strings are for a verdict's message, `trace` and `report`; elsewhere use a tuple",
            label="only for people to read",
        )
        return None
    parts: list[Expr] = []
    for value in node.values:
        part = _piece(typing, value, node)
        if part is None:
            return None
        parts.append(part)
    return ir.Format(tuple(parts), type=TEXT, span=typing.span(node))


def _piece(typing: Typing, node: ast.expr, whole: ast.JoinedStr) -> Expr | None:
    match node:
        case ast.Constant(value=str(text)):
            return ir.Const(text, type=TEXT, span=typing.span(node))
        case ast.FormattedValue(value=inner, conversion=-1, format_spec=None):
            e = typing.expression(inner)
            if e is None or isinstance(e.type, IntType | BoolType | TextType | EnumType):
                return e
            typing.error(
                "P035",
                inner,
                f"{an(e.type)} cannot be put into a text",
                "parts are int, u64, bool, str and enums; convert with `as_int(…)`",
                label=f"`{spell(e.type)}`",
            )
        case _:
            typing.error(
                "P035",
                whole,  # Python 3.11 does not know where in it the part stands
                "format specifications are not part of the language",
                "write `{value}` alone",
                label="`!r`, `:x` and the like",
            )
    return None
