# SPDX-License-Identifier: Apache-2.0
"""Values known when compiling: literals of a type, and integer expressions for sizes and bounds."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TypeAlias

from transect.base.span import Span
from transect.core import ir
from transect.core.types import (
    BoolType,
    BytesType,
    DurationType,
    EnumType,
    FloatType,
    InstantType,
    IntType,
    OptionType,
    StructType,
    TextType,
    TupleType,
    Type,
)

Scalar: TypeAlias = int | bool | float | str | bytes | None
Plain: TypeAlias = "Scalar | tuple[Plain, ...]"
"""A value that can be written down: a tuple's items, and a struct's fields in their order, as a tuple."""


def literal(node: ast.expr | None, t: Type) -> tuple[bool, Scalar]:
    """Whether the node is a literal that fits the type, and its value."""
    match node:
        case ast.Constant(value=value):
            return fit(value, t)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)) if (
            not isinstance(value, bool)
        ):
            return fit(-value, t)
        case _:
            return False, None


def fit(value: object, t: Type) -> tuple[bool, Scalar]:
    """Whether a plain value is one of the type, and the value as the type has it."""
    match t, value:
        case OptionType(), None:
            return True, None
        case OptionType(item=item), _:
            return fit(value, item)
        case BoolType(), bool():
            return True, value
        case _, bool():
            return False, None
        case IntType(bits=bits, signed=signed), int():
            low, high = int_range(bits, signed)
            return low <= value <= high, value
        case EnumType(members=members, open=False), int():
            return any(value == number for _, number in members), value
        case InstantType() | DurationType() | EnumType(), int():
            return -(2**63) <= value < 2**63, value
        case FloatType(), int() | float():
            return _as_float(value)
        case TextType(bound=bound), str():
            return _encodable(value) and (bound is None or len(value.encode()) <= bound), value
        case BytesType(bound=bound), bytes():
            return bound is None or len(value) <= bound, value
        case _:
            return False, None


def constant_of(value: Plain, t: Type, span: Span) -> ir.Expr:
    """A plain value of the type as a node: a present option is `Some` of a constant, a struct is made of constants."""
    if isinstance(t, OptionType) and value is not None:
        return ir.Some(constant_of(value, t.item, span), type=t, span=span)
    match t, value:
        case StructType(fields=fields), tuple():
            parts = tuple(constant_of(v, f.type, span) for v, f in zip(value, fields, strict=True))
            return ir.MakeStruct(parts, type=t, span=span)
        case TupleType(items=items), tuple():
            parts = tuple(constant_of(v, item, span) for v, item in zip(value, items, strict=True))
            return ir.MakeTuple(parts, type=t, span=span)
        case _:
            assert not isinstance(value, tuple), f"no value of {t}: {value}"
            return ir.Const(value, type=t, span=span)


def int_range(bits: int, signed: bool) -> tuple[int, int]:
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


def _as_float(value: int | float) -> tuple[bool, Scalar]:
    try:
        return True, float(value)
    except OverflowError:
        return False, None


def _encodable(value: str) -> bool:
    return not any("\ud800" <= c <= "\udfff" for c in value)


def constant_int(node: ast.expr, named: Callable[[ast.expr], int | None]) -> int | None:
    """The value of an integer expression of literals and named constants, or None."""
    match node:
        case ast.Constant(value=int(value)) if not isinstance(value, bool):
            return value if abs(value) < 2**64 else None
        case ast.Name() | ast.Attribute():
            return named(node)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = constant_int(operand, named)
            return None if inner is None else -inner
        case ast.BinOp(left=left, op=op, right=right):
            a, b = constant_int(left, named), constant_int(right, named)
            return None if a is None or b is None else _fold(op, a, b)
        case _:
            return None


def _fold(op: ast.operator, a: int, b: int) -> int | None:
    match op:
        case ast.Add():
            value = a + b
        case ast.Sub():
            value = a - b
        case ast.Mult():
            value = a * b
        case ast.FloorDiv() if b != 0:
            value = a // b
        case ast.Mod() if b != 0:
            value = a % b
        case ast.LShift() if 0 <= b < 64:
            value = a << b
        case ast.RShift() if 0 <= b < 64:
            value = a >> b
        case _:
            return None
    return value if abs(value) < 2**64 else None
