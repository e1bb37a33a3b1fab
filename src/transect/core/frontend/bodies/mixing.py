# SPDX-License-Identifier: Apache-2.0
"""Advice for operands of mixed number kinds: the smallest conversion that makes the operation legal."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

from transect.core.types import (
    DURATION,
    FLOAT,
    INT,
    U64,
    BoolType,
    DurationType,
    FloatType,
    InstantType,
    Type,
)

Exists = Callable[[Type, Type], bool]
Way = tuple[str, str]  # functions that convert the left and the right side; "" for none

_OTHER_UNITS = ", or `us`, `ms` or `seconds` for `ns`"
_FALLBACK = "kinds of numbers do not mix: `as_int(…)` makes an integer of each"


def conversion_help(node: ast.AST, a: Type, b: Type, exists: Exists) -> str:
    """`node` is the operation, `exists` whether there is one of two types."""
    way = next(_ways(a, b, exists, left=not isinstance(node, ast.AugAssign)), None)
    if way is None:
        return _FALLBACK
    text = _written(node, *way)
    if text is None:
        return f"convert one side by {' or '.join(f'`{name}(…)`' for name in dict.fromkeys(way) if name)}"
    return f"write `{text}`{_OTHER_UNITS if 'ns' in way else ''}"


def _ways(a: Type, b: Type, exists: Exists, *, left: bool) -> Iterator[Way]:
    """Ways to convert them, the best first; `left`: also what stands on the left."""
    functions = [(name, result) for name, result in _functions(a, b) if name]
    for name, result in functions:
        if _takes(name, result, b) and exists(a, result):
            yield "", name
        if left and _takes(name, result, a) and exists(result, b):
            yield name, ""
    for name, result in functions:
        if left and _takes(name, result, a) and _takes(name, result, b) and exists(result, result):
            yield name, name


def _functions(a: Type, b: Type) -> Iterator[tuple[str, Type]]:
    """What may convert them, and to which type; what loses nothing of either first."""
    if any(isinstance(t, FloatType) for t in (a, b)):
        yield "as_float", FLOAT
    if any(isinstance(t, InstantType | DurationType) for t in (a, b)):
        yield "ns", DURATION
    yield "as_int", INT
    yield "as_u64", U64
    yield "as_float", FLOAT  # for a fraction of integers


def _takes(name: str, result: Type, t: Type) -> bool:
    """Whether the function converts a value of type `t` to another type."""
    return t == INT if name == "ns" else t != result and not isinstance(t, BoolType)


def _written(node: ast.AST, left: str, right: str) -> str | None:
    """The operation with its sides converted; None for a chain of more than two operands."""
    match node:
        case ast.BinOp(left=a, op=op, right=b):
            return ast.unparse(ast.BinOp(_call(left, a), op, _call(right, b)))
        case ast.AugAssign(target=a, op=op, value=b):
            return ast.unparse(ast.AugAssign(a, op, _call(right, b)))
        case ast.Compare(left=a, ops=[op], comparators=[b]):
            return ast.unparse(ast.Compare(_call(left, a), [op], [_call(right, b)]))
        case ast.Call(func=function, args=[a, b]):
            return ast.unparse(ast.Call(function, [_call(left, a), _call(right, b)], []))
        case _:
            return None


def _call(name: str, value: ast.expr) -> ast.expr:
    return ast.Call(ast.Name(name, ast.Load()), [value], []) if name else value
