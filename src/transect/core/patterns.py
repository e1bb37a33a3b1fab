# SPDX-License-Identifier: Apache-2.0
"""Whether the cases of a `match` leave nothing out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from transect.core import ir
from transect.core.ir import Pattern
from transect.core.types import BoolType, EnumType, OptionType, StructType, TupleType, Type, UnionType

Row: TypeAlias = tuple[Pattern, ...]
Shape: TypeAlias = tuple[object, tuple[Type, ...]]
"""One way in which a value can be built (a constant, a present Option, a struct's name) and what it is built from."""

ANY = ir.MatchAny(None)


def exhaustive(patterns: Iterable[Pattern], t: Type) -> bool:
    """Whether every value of the type matches one of the patterns."""
    return _covered([(p,) for p in patterns], (t,))


def _covered(rows: Sequence[Row], types: tuple[Type, ...]) -> bool:
    if not types:
        return bool(rows)
    rows = [(option, *row[1:]) for row in rows for option in _options(row[0])]
    shapes = _shapes(types[0])
    if shapes is None:  # too many values to name them all
        return _covered([row[1:] for row in rows if isinstance(row[0], ir.MatchAny)], types[1:])
    return all(
        _covered(
            [inner for row in rows if (inner := _within(row, shape)) is not None], (*shape[1], *types[1:])
        )
        for shape in shapes
    )


def _options(pattern: Pattern) -> Iterable[Pattern]:
    if isinstance(pattern, ir.MatchOr):
        return [option for p in pattern.options for option in _options(p)]
    return [pattern]


def _shapes(t: Type) -> list[Shape] | None:
    match t:
        case BoolType():
            return [(False, ()), (True, ())]
        case EnumType(members=members, open=False):
            return [(number, ()) for _, number in members]
        case OptionType(item=item):
            return [(None, ()), ("some", (item,))]
        case TupleType(items=items):
            return [("tuple", items)]
        case StructType(name=name, fields=fields):
            return [(name, tuple(f.type for f in fields))]
        case UnionType(cases=cases):
            return [(case.name, tuple(f.type for f in case.fields)) for case in cases]
        case _:
            return None


def _within(row: Row, shape: Shape) -> Row | None:
    """What is left to be matched when the first value has that shape; None when the row does not match it."""
    built, types = shape
    match row[0]:
        case ir.MatchAny():
            return (ANY,) * len(types) + row[1:]
        case ir.MatchConst(value=constant):
            same = constant.value == built and (constant.value is None) == (built is None)
            return row[1:] if same and not types else None
        case ir.MatchSome(inner=inner):
            return (inner, *row[1:]) if built == "some" else None
        case ir.MatchTuple(items=items):
            return items + row[1:] if len(items) == len(types) else None
        case ir.MatchStruct(type=t, fields=fields):
            named = dict(fields)
            return tuple(named.get(f.name, ANY) for f in t.fields) + row[1:] if t.name == built else None
        case _:
            raise AssertionError("alternatives were taken apart before")
