# SPDX-License-Identifier: Apache-2.0
"""Operators and casts.  Integers wrap once around a whole sum or product, and not at all where nothing can overflow."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, TypeGuard, assert_never

from transect.core import ir
from transect.core.ir import BinaryOp, CompareOp, UnaryOp
from transect.core.rules import widened
from transect.core.types import (
    BoolType,
    DurationType,
    EnumType,
    FloatType,
    InstantType,
    IntType,
    SetType,
    Type,
)
from transect.core.values import U64_MAX, is_mutable, storer
from transect.emit.py import nodes
from transect.emit.py.literals import has_float
from transect.emit.py.ranges import exact, of_type, range_of, within

if TYPE_CHECKING:
    from transect.emit.py.expressions import Expressions

MODULAR: dict[BinaryOp, type[ast.operator]] = {
    BinaryOp.ADD: ast.Add,
    BinaryOp.SUB: ast.Sub,
    BinaryOp.MUL: ast.Mult,
}
BITS: dict[BinaryOp, type[ast.operator]] = {
    BinaryOp.AND: ast.BitAnd,
    BinaryOp.OR: ast.BitOr,
    BinaryOp.XOR: ast.BitXor,
}
SETS = {BinaryOp.AND: "set_and", BinaryOp.SUB: "set_sub", BinaryOp.XOR: "set_xor"}
COMPARISONS: dict[CompareOp, type[ast.cmpop]] = {
    CompareOp.EQ: ast.Eq,
    CompareOp.NE: ast.NotEq,
    CompareOp.LT: ast.Lt,
    CompareOp.LE: ast.LtE,
    CompareOp.GT: ast.Gt,
    CompareOp.GE: ast.GtE,
}


def is_narrow(t: Type) -> TypeGuard[IntType]:
    """Storage of fewer than 64 bits."""
    return isinstance(t, IntType) and t.bits < 64


def is_unsigned(t: Type) -> bool:
    """`u64`: arithmetic on narrow unsigned storage is that of `int`."""
    return isinstance(t, IntType) and t.bits == 64 and not t.signed


def is_number(t: Type) -> bool:
    """Held as an integer which computes modulo 2**64."""
    return isinstance(t, IntType | InstantType | DurationType | EnumType)


# ---------------------------------------------------------------- wrapping


def wrapped(t: Type, value: ast.expr) -> ast.expr:
    """The integer cut to its 64 bits."""
    return nodes.call("wrap_u64" if is_unsigned(t) else "wrap", value)


def loose(x: Expressions, e: ir.Expr) -> ast.expr:
    """The integer, perhaps off by a multiple of 2**64, for a caller that cuts it to 64 bits or fewer anyway."""
    match e:
        case ir.Binary(op=op, left=left, right=right) if op in MODULAR and is_number(e.type):
            return x.places.put(nodes.binary(loose(x, left), MODULAR[op](), loose(x, right)), e.span)
        case ir.Unary(op=UnaryOp.NEG, operand=operand) if is_number(e.type):
            return x.places.put(ast.UnaryOp(ast.USub(), loose(x, operand)), e.span)
        case _:
            return x.plain(e)


def narrowed(x: Expressions, t: IntType, e: ir.Expr) -> ast.expr:
    """The integer as stored in fewer bits."""
    if within(range_of(e), of_type(t)):
        return x.plain(e)
    if not t.signed:
        return nodes.binary(loose(x, e), ast.BitAnd(), nodes.constant(2**t.bits - 1))
    return nodes.call("narrow", loose(x, e), nodes.constant(t.bits), nodes.constant(True))


# ---------------------------------------------------------------- operators


def unary(x: Expressions, e: ir.Unary) -> ast.expr:
    match e.op:
        case UnaryOp.NOT:
            return _not(x, e.operand)
        case UnaryOp.NEG if isinstance(e.type, FloatType):
            return ast.UnaryOp(ast.USub(), x.plain(e.operand))
        case UnaryOp.NEG:
            return wrapped(e.type, ast.UnaryOp(ast.USub(), loose(x, e.operand)))
        case UnaryOp.INVERT if is_unsigned(e.type):
            return nodes.binary(x.plain(e.operand), ast.BitXor(), nodes.constant(U64_MAX))
        case UnaryOp.INVERT:
            return ast.UnaryOp(ast.Invert(), x.plain(e.operand))
        case _:
            assert_never(e.op)


NEGATED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
}
REVERSED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.GtE,
    ast.LtE: ast.Gt,
    ast.Gt: ast.LtE,
    ast.GtE: ast.Lt,
}


def _not(x: Expressions, operand: ir.Expr) -> ast.expr:
    """`not x`, as `is None`, `not in`, `<=` where Python has a word for it; with NaN, `not a < b` is not `a >= b`."""
    value = x.plain(operand)
    if isinstance(value, ast.Compare) and len(value.ops) == 1:
        ordered = isinstance(operand, ir.Compare) and not has_float(operand.left.type)
        words = {**NEGATED, **REVERSED} if ordered else NEGATED
        if type(value.ops[0]) in words:
            value.ops = [words[type(value.ops[0])]()]
            return value
    return nodes.negate(value)


def binary(x: Expressions, e: ir.Binary) -> ast.expr:
    match widened(e.type):
        case FloatType():
            return _float(x, e)
        case SetType() if e.op is not BinaryOp.OR:
            return nodes.call(SETS[e.op], x.plain(e.left), x.plain(e.right))
        case SetType():
            return nodes.binary(x.plain(e.left), ast.BitOr(), x.plain(e.right))
        case BoolType() if e.op in BITS:
            return nodes.binary(x.plain(e.left), BITS[e.op](), x.plain(e.right))
        case IntType() | InstantType() | DurationType() | EnumType():
            return _integer(x, e)
        case _:
            return _extreme(x, e)


def _extreme(x: Expressions, e: ir.Binary) -> ast.expr:
    """`min(a, b)`, `max(a, b)`; one call for a chain of them."""
    assert e.op in (BinaryOp.MIN, BinaryOp.MAX), f"{e.op} gives no {e.type}"
    smallest = e.op is BinaryOp.MIN
    if isinstance(e.type, FloatType):
        return nodes.call("float_min" if smallest else "float_max", x.owned(e.left), x.owned(e.right))
    if has_float(e.type) or is_mutable(e.type):
        return nodes.call("minimum" if smallest else "maximum", x.owned(e.left), x.owned(e.right))
    operands: list[ir.Expr] = [e.right]
    left = e.left
    while isinstance(left, ir.Binary) and left.op is e.op and left.type == e.type:
        operands.append(left.right)
        left = left.left
    return nodes.call("min" if smallest else "max", *(x.plain(o) for o in (left, *reversed(operands))))


def _float(x: Expressions, e: ir.Binary) -> ast.expr:
    match e.op:
        case BinaryOp.ADD | BinaryOp.SUB | BinaryOp.MUL:
            return nodes.binary(x.plain(e.left), MODULAR[e.op](), x.plain(e.right))
        case BinaryOp.DIV if isinstance(e.right, ir.Const) and e.right.value:
            return nodes.binary(x.plain(e.left), ast.Div(), x.plain(e.right))
        case BinaryOp.DIV:
            return nodes.call("float_div", x.plain(e.left), x.plain(e.right))
        case _:
            return _extreme(x, e)


def _integer(x: Expressions, e: ir.Binary) -> ast.expr:
    unsigned = is_unsigned(e.type)
    possible = exact(e)
    safe = possible is not None and within(possible, of_type(widened(e.type)))
    match e.op:
        case BinaryOp.ADD | BinaryOp.SUB | BinaryOp.MUL if safe:
            return nodes.binary(x.plain(e.left), MODULAR[e.op](), x.plain(e.right))
        case BinaryOp.ADD | BinaryOp.SUB | BinaryOp.MUL:
            return wrapped(e.type, nodes.binary(loose(x, e.left), MODULAR[e.op](), loose(x, e.right)))
        case BinaryOp.FLOORDIV if _divides(e.right):
            return nodes.binary(x.plain(e.left), ast.FloorDiv(), x.plain(e.right))
        case BinaryOp.FLOORDIV:
            return nodes.call("floordiv_u64" if unsigned else "floordiv", x.plain(e.left), x.plain(e.right))
        case BinaryOp.MOD if _divides(e.right):
            return nodes.binary(x.plain(e.left), ast.Mod(), x.plain(e.right))
        case BinaryOp.MOD:
            return nodes.call("modulo", x.plain(e.left), x.plain(e.right))
        case BinaryOp.AND | BinaryOp.OR | BinaryOp.XOR:
            return nodes.binary(x.plain(e.left), BITS[e.op](), x.plain(e.right))
        case BinaryOp.SHR if isinstance(e.right, ir.Const) and isinstance(e.right.value, int):
            return nodes.binary(x.plain(e.left), ast.RShift(), nodes.constant(e.right.value & 63))
        case BinaryOp.SHR:
            return nodes.call("shift_right", x.plain(e.left), x.plain(e.right))
        case BinaryOp.SHL:
            name = "shift_left_u64" if unsigned else "shift_left"
            return nodes.call(name, x.plain(e.left), x.plain(e.right))
        case BinaryOp.MIN | BinaryOp.MAX:
            return _extreme(x, e)
        case BinaryOp.DIV:
            raise AssertionError("`/` of integers")
        case _:
            assert_never(e.op)


def _divides(divisor: ir.Expr) -> bool:
    """Whether Python's own division does: never by 0, and never by -1, which may overflow."""
    low, high = range_of(divisor)
    return low > 0 or high < -1


# ---------------------------------------------------------------- comparing, casting


def compare(x: Expressions, e: ir.Compare) -> ast.expr:
    """Python's own comparison, but for structs, and tuples with floats, whose NaN it would take for equal."""
    t = e.left.type
    if not is_mutable(t) and (isinstance(t, FloatType) or not has_float(t)):
        return nodes.compare(x.plain(e.left), COMPARISONS[e.op](), x.plain(e.right))
    if e.op in (CompareOp.EQ, CompareOp.NE):
        same = nodes.call("equal", x.owned(e.left), x.owned(e.right))
        return same if e.op is CompareOp.EQ else nodes.negate(same)
    return nodes.call("compare", nodes.constant(e.op.value), x.owned(e.left), x.owned(e.right))


def cast(x: Expressions, e: ir.Cast) -> ast.expr:
    source, t = e.value.type, e.type
    if isinstance(t, IntType | InstantType | DurationType | EnumType):
        return _to_integer(x, t, e.value)
    if isinstance(t, FloatType):
        return x.plain(e.value) if isinstance(source, FloatType) else nodes.call("float", x.plain(e.value))
    return x.plain(e.value) if is_mutable(t) or storer(t, check=False) is None else x.made(t, e.value)


def _to_integer(x: Expressions, t: Type, value: ir.Expr) -> ast.expr:
    if isinstance(value.type, FloatType):
        whole = nodes.call(
            "saturate_u64" if isinstance(t, IntType) and not t.signed else "saturate", x.plain(value)
        )
        if is_narrow(t):
            return nodes.call("narrow", whole, nodes.constant(t.bits), nodes.constant(t.signed))
        return whole
    if isinstance(value.type, BoolType | EnumType) and not isinstance(t, EnumType):
        return nodes.call("int", x.plain(value))
    if within(range_of(value), of_type(t)):
        return x.plain(value)
    if is_narrow(t):
        return narrowed(x, t, value)
    return wrapped(t, loose(x, value))
