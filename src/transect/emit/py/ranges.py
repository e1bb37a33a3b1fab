# SPDX-License-Identifier: Apache-2.0
"""In what range an integer expression lies, as far as its text alone shows: where no wrap is needed."""

from __future__ import annotations

from transect.core import ir
from transect.core.ir import BinaryOp, TableRead
from transect.core.types import BoolType, IntType, Type
from transect.core.values import INT_MAX, INT_MIN, U64_MAX

Range = tuple[int, int]  # least and greatest value, both included

LENGTH: Range = (0, 2**40)  # bytes of a text, members of a table: no machine holds more


def of_type(t: Type) -> Range:
    match t:
        case IntType(bits=64, signed=False):
            return (0, U64_MAX)
        case IntType(bits=bits, signed=True):
            return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        case IntType(bits=bits):
            return (0, 2**bits - 1)
        case BoolType():
            return (0, 1)
        case _:
            return (INT_MIN, INT_MAX)


def within(inner: Range, outer: Range) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1]


def range_of(e: ir.Expr) -> Range:
    """Bounds of an integer expression whose operands do not wrap; of its type where nothing better is known."""
    whole = of_type(e.type)
    found = _found(e)
    return found if found is not None and within(found, whole) else whole


def exact(e: ir.Binary) -> Range | None:
    """Bounds of what the operator gives before it is wrapped."""
    a, b = range_of(e.left), range_of(e.right)
    match e.op:
        case BinaryOp.ADD:
            return (a[0] + b[0], a[1] + b[1])
        case BinaryOp.SUB:
            return (a[0] - b[1], a[1] - b[0])
        case BinaryOp.MUL:
            corners = [x * y for x in a for y in b]
            return (min(corners), max(corners))
        case BinaryOp.FLOORDIV if b[0] > 0:
            return (min(a[0] // b[0], a[0] // b[1]), max(a[1] // b[0], a[1] // b[1]))
        case BinaryOp.MOD if b[0] > 0:
            return (0, b[1] - 1)
        case BinaryOp.AND if a[0] >= 0 or b[0] >= 0:
            return (0, min(x[1] for x in (a, b) if x[0] >= 0))
        case BinaryOp.MIN:
            return (min(a[0], b[0]), min(a[1], b[1]))
        case BinaryOp.MAX:
            return (max(a[0], b[0]), max(a[1], b[1]))
        case _:
            return None


def _found(e: ir.Expr) -> Range | None:
    match e:
        case ir.Const(value=int(value)):
            return (value, value)
        case ir.Binary():
            return exact(e)
        case ir.Choose(then=then, orelse=orelse):
            a, b = range_of(then), range_of(orelse)
            return (min(a[0], b[0]), max(a[1], b[1]))
        case ir.Cast(value=value) if isinstance(value.type, IntType | BoolType):
            return range_of(value)
        case ir.Lookup(op=TableRead.LEN) | ir.Intrinsic(name="len"):
            return LENGTH
        case _:
            return None
