# SPDX-License-Identifier: Apache-2.0
"""Operators by the type of their operands, on plain values: for the interpreter and for folding constants."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, assert_never

from transect.core import values
from transect.core.ir import BinaryOp, CompareOp, UnaryOp
from transect.core.rules import widened
from transect.core.types import (
    INT,
    BoolType,
    DurationType,
    EnumType,
    FloatType,
    InstantType,
    IntType,
    SetType,
    Type,
)

Operation = Callable[[Any, Any], Any]


def minimum(a: Any, b: Any) -> Any:
    """`min(a, b)`: the first of equals; NaN never wins against a number."""
    return b if values.smaller(a, b) else a


def maximum(a: Any, b: Any) -> Any:
    """`max(a, b)`: the first of equals; NaN never wins against a number."""
    return b if values.larger(a, b) else a


_ANY: Mapping[BinaryOp, Operation] = {BinaryOp.MIN: minimum, BinaryOp.MAX: maximum}

_BITS: Mapping[BinaryOp, Operation] = {
    **_ANY,
    BinaryOp.AND: operator.and_,
    BinaryOp.OR: operator.or_,
    BinaryOp.XOR: operator.xor,
}

_INT: Mapping[BinaryOp, Operation] = {
    **_BITS,
    BinaryOp.ADD: lambda a, b: values.wrap(a + b),
    BinaryOp.SUB: lambda a, b: values.wrap(a - b),
    BinaryOp.MUL: lambda a, b: values.wrap(a * b),
    BinaryOp.FLOORDIV: values.floordiv,
    BinaryOp.MOD: values.modulo,
    BinaryOp.SHL: values.shift_left,
    BinaryOp.SHR: values.shift_right,
}

_U64: Mapping[BinaryOp, Operation] = {
    **_BITS,
    BinaryOp.ADD: lambda a, b: values.wrap_u64(a + b),
    BinaryOp.SUB: lambda a, b: values.wrap_u64(a - b),
    BinaryOp.MUL: lambda a, b: values.wrap_u64(a * b),
    BinaryOp.FLOORDIV: values.floordiv_u64,
    BinaryOp.MOD: values.modulo,
    BinaryOp.SHL: values.shift_left_u64,
    BinaryOp.SHR: values.shift_right,
}

_FLOAT: Mapping[BinaryOp, Operation] = {
    **_ANY,
    BinaryOp.ADD: operator.add,
    BinaryOp.SUB: operator.sub,
    BinaryOp.MUL: operator.mul,
    BinaryOp.DIV: values.float_div,
}

_SET: Mapping[BinaryOp, Operation] = {
    BinaryOp.AND: values.set_and,
    BinaryOp.OR: values.set_or,
    BinaryOp.SUB: values.set_sub,
    BinaryOp.XOR: values.set_xor,
}


def binary_operations(t: Type) -> Mapping[BinaryOp, Operation]:
    """The operators that have a result of this type."""
    match widened(t):
        case IntType(signed=False):
            return _U64
        case IntType() | InstantType() | DurationType() | EnumType():
            return _INT
        case FloatType():
            return _FLOAT
        case BoolType():
            return _BITS
        case SetType():
            return _SET
        case _:
            return _ANY


def binary(op: BinaryOp, t: Type, a: Any, b: Any) -> Any:
    """`a op b` with a result of type t."""
    return binary_operations(t)[op](a, b)


def unary(op: UnaryOp, t: Type, x: Any) -> Any:
    """`op x` with a result of type t."""
    match op:
        case UnaryOp.NOT:
            return not x
        case UnaryOp.NEG if isinstance(t, FloatType):
            return -x
        case UnaryOp.NEG:
            return integer(widened(t), -x)
        case UnaryOp.INVERT:
            return integer(widened(t), ~x)
        case _:
            assert_never(op)


def compare(op: CompareOp, a: Any, b: Any) -> bool:
    """`a op b` of two values of one kind."""
    match op:
        case CompareOp.EQ:
            return values.equal(a, b)
        case CompareOp.NE:
            return not values.equal(a, b)
        case CompareOp.LT:
            return values.less(a, b)
        case CompareOp.LE:
            return values.less(a, b) or values.equal(a, b)
        case CompareOp.GT:
            return values.less(b, a)
        case CompareOp.GE:
            return values.less(b, a) or values.equal(a, b)
        case _:
            assert_never(op)


def integer(t: Type, x: int) -> int:
    """The integer as one of type t: modulo two to its width."""
    if isinstance(t, IntType):
        return values.wrap(x) if t == INT else values.narrow(x, t.bits, t.signed)
    return values.wrap(x)


def cast(t: Type, x: Any) -> Any:
    """A value as one of type t: `ir.Cast`."""
    match t:
        case IntType() if isinstance(x, float):
            return integer(t, values.saturate(x) if t.signed else values.saturate_u64(x))
        case InstantType() | DurationType() | EnumType() if isinstance(x, float):
            return values.saturate(x)
        case IntType() | InstantType() | DurationType() | EnumType():
            return integer(t, int(x))
        case FloatType():
            return float(x)
        case _:
            store = values.storer(t, check=False)
            return store(x) if store else x
