# SPDX-License-Identifier: Apache-2.0
"""Operations on typed operands: which ones exist, and the types of their results."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from transect.core import ir
from transect.core.frontend.bodies.context import NUMBERS, join, loose
from transect.core.frontend.bodies.mixing import conversion_help
from transect.core.ir import BinaryOp, Expr
from transect.core.types import (
    DURATION,
    INSTANT,
    INT,
    BoolType,
    BytesType,
    DurationType,
    FloatType,
    InstantType,
    IntType,
    OptionType,
    SetType,
    TextType,
    Type,
    spell,
)

if TYPE_CHECKING:
    from transect.core.frontend.bodies.typing import Typing


_BINARY: dict[type[ast.operator], BinaryOp] = {
    ast.Add: BinaryOp.ADD,
    ast.Sub: BinaryOp.SUB,
    ast.Mult: BinaryOp.MUL,
    ast.Div: BinaryOp.DIV,
    ast.FloorDiv: BinaryOp.FLOORDIV,
    ast.Mod: BinaryOp.MOD,
    ast.BitAnd: BinaryOp.AND,
    ast.BitOr: BinaryOp.OR,
    ast.BitXor: BinaryOp.XOR,
    ast.LShift: BinaryOp.SHL,
    ast.RShift: BinaryOp.SHR,
}
_BITS = (BinaryOp.AND, BinaryOp.OR, BinaryOp.XOR)


def operator(typing: Typing, node: ast.BinOp | ast.AugAssign) -> BinaryOp | None:
    """The operator of `a + b` or `a += b`; None, with a diagnostic, if the language does not have it."""
    op = _BINARY.get(type(node.op))
    if op is None:
        typing.error(
            "P047",
            node,
            "this operator is not part of the language",
            "write powers as multiplications or shifts",
            label="not part of the language",
        )
    return op


def combine(typing: Typing, node: ast.AST, op: BinaryOp, a: Expr, b: Expr) -> Expr | None:
    """The operation on typed operands, or None with a diagnostic."""
    t = _result(op, a.type, b.type)
    if t is not None:
        return ir.Binary(op, a, b, type=t, span=typing.span(node))
    message = f"`{op}` does not go between `{spell(a.type)}` and `{spell(b.type)}`"
    code, help = "P011", "both sides need one type"
    if isinstance(a.type, OptionType) or isinstance(b.type, OptionType):
        code, help = "P022", "test that the value is there first: `if … is not None:`"
    elif isinstance(a.type, FloatType) and isinstance(b.type, FloatType):
        help = "floats have `+ - * /`; `as_int(x / y)` is the whole part of a quotient"
    elif isinstance(a.type, NUMBERS) and isinstance(b.type, NUMBERS):
        code = "P038"
        help = conversion_help(node, a.type, b.type, lambda x, y: _keeps(node, _result(op, x, y), x))
        if op is BinaryOp.DIV and isinstance(a.type, IntType) and isinstance(b.type, IntType):
            help = f"integers divide by `//`; for a fraction {help}"
    elif isinstance(a.type, TextType | BytesType):
        help = "texts are never joined; use a tuple of texts as a key, an f-string in a message"
    typing.error(code, node, message, help, label=f"`{spell(a.type)}` and `{spell(b.type)}`")
    return None


def _keeps(node: ast.AST, result: Type | None, target: Type) -> bool:
    """Whether there is such an operation and, for `+=`, whether its result has the target's type."""
    return result is not None and (result == target or not isinstance(node, ast.AugAssign))


def literal_kind(op: BinaryOp, other: Type, on_left: bool) -> Type | None:
    """The type of a bare number beside an operand of type `other`."""
    if isinstance(other, InstantType):
        return DURATION if op in (BinaryOp.ADD, BinaryOp.SUB) and not on_left else INSTANT
    if isinstance(other, DurationType) and op in (BinaryOp.MUL, BinaryOp.FLOORDIV):
        return INT if not (op is BinaryOp.FLOORDIV and on_left) else DURATION
    return other


def _result(op: BinaryOp, a: Type, b: Type) -> Type | None:
    """The type of `a op b`; None when there is no such operation."""
    match a, b:
        case IntType(), IntType() if a == b:
            return None if op is BinaryOp.DIV else a
        case FloatType(), FloatType():
            return (
                a
                if op in (BinaryOp.ADD, BinaryOp.SUB, BinaryOp.MUL, BinaryOp.DIV, BinaryOp.MIN, BinaryOp.MAX)
                else None
            )
        case BoolType(), BoolType():
            return a if op in _BITS else None
        case SetType(item=x, bound=m), SetType(item=y, bound=n) if loose(x) == loose(y):
            return _set_result(op, x, m, n)
        case InstantType() | DurationType(), InstantType() | DurationType() | IntType():
            return _time_result(op, a, b)
        case IntType(signed=True), DurationType():
            return DURATION if op is BinaryOp.MUL else None
        case (TextType(), TextType()) | (BytesType(), BytesType()):
            return join(a, b) if op in (BinaryOp.MIN, BinaryOp.MAX) else None
        case _:
            return None


def _set_result(op: BinaryOp, item: Type, m: int | None, n: int | None) -> Type | None:
    match op:
        case BinaryOp.OR:
            return SetType(item, None if m is None or n is None else m + n)
        case BinaryOp.AND | BinaryOp.SUB:
            return SetType(item, m)
        case _:
            return None


def _time_result(op: BinaryOp, a: Type, b: Type) -> Type | None:
    match a, op, b:
        case InstantType(), BinaryOp.SUB, InstantType():
            return DURATION
        case InstantType(), BinaryOp.ADD | BinaryOp.SUB, DurationType():
            return INSTANT
        case InstantType(), BinaryOp.MIN | BinaryOp.MAX, InstantType():
            return INSTANT
        case DurationType(), BinaryOp.ADD, InstantType():
            return INSTANT
        case (
            DurationType(),
            BinaryOp.ADD | BinaryOp.SUB | BinaryOp.MOD | BinaryOp.MIN | BinaryOp.MAX,
            DurationType(),
        ):
            return DURATION
        case DurationType(), BinaryOp.FLOORDIV, DurationType():
            return INT
        case DurationType(), BinaryOp.MUL | BinaryOp.FLOORDIV, IntType(signed=True):
            return DURATION
        case _:
            return None
