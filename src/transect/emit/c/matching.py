# SPDX-License-Identifier: Apache-2.0
"""Patterns as C conditions on a value that has a name, and what they bind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from transect.core import ir
from transect.core.ir import Pattern
from transect.core.types import OptionType, StructType, TupleType, Type, UnionType
from transect.emit.c import tree as c
from transect.emit.c.expressions import constant
from transect.emit.c.forms import case_member, member_of
from transect.emit.c.layout import equal
from transect.emit.c.unit import Unit


@dataclass(frozen=True, slots=True)
class Matched:
    cond: c.Expr | None  # None: always
    bound: tuple[tuple[str, c.Expr], ...] = ()  # what the names take when the condition holds


def matched(unit: Unit, pattern: Pattern, t: Type, value: c.Expr) -> Matched:
    """When the value, free of side effects, matches."""
    match pattern:
        case ir.MatchAny(name=name):
            return Matched(None, () if name is None else ((name, value),))
        case ir.MatchConst(value=const):
            return Matched(_is_constant(unit, const, t, value))
        case ir.MatchSome(inner=inner):
            assert isinstance(t, OptionType), f"not an Option: {t}"
            within = matched(unit, inner, t.item, c.dot(value, "value"))
            return Matched(_both(c.dot(value, "some"), within.cond), within.bound)
        case ir.MatchTuple(items=items):
            assert isinstance(t, TupleType), f"not a tuple: {t}"
            parts = zip(items, t.items, strict=True)
            return _all(matched(unit, p, kind, c.dot(value, f"item{i}")) for i, (p, kind) in enumerate(parts))
        case ir.MatchStruct():
            return _struct(unit, pattern, t, value)
        case ir.MatchOr(options=options):
            return _any([matched(unit, p, t, value) for p in options])
        case _:
            assert_never(pattern)


def _is_constant(unit: Unit, const: ir.Const, t: Type, value: c.Expr) -> c.Expr:
    if not isinstance(t, OptionType):
        return equal(unit, t, value, constant(unit, const.type, const.value))
    if const.value is None:
        return c.negated(c.dot(value, "some"))
    inner = equal(unit, t.item, c.dot(value, "value"), constant(unit, t.item, const.value))
    return c.Binary("&&", c.dot(value, "some"), inner)


def _struct(unit: Unit, pattern: ir.MatchStruct, t: Type, value: c.Expr) -> Matched:
    kind = pattern.type
    cond: c.Expr | None = None
    match t:
        case UnionType(cases=cases):
            index = cases.index(kind)
            cond = c.Binary("==", c.dot(value, "kind"), c.Integer(index, "u"))
            value = c.dot(c.dot(value, "as"), case_member(t, index))
        case OptionType():
            cond, value = c.dot(value, "some"), c.dot(value, "value")
        case StructType():
            pass
        case _:
            raise AssertionError(f"not a struct: {t}")
    types = {f.name: f.type for f in kind.fields}
    fields = _all(
        matched(unit, p, types[name], c.dot(value, member_of(kind, name))) for name, p in pattern.fields
    )
    return Matched(_both(cond, fields.cond), fields.bound)


def _both(a: c.Expr | None, b: c.Expr | None) -> c.Expr | None:
    if a is None or b is None:
        return a or b
    return c.Binary("&&", a, b)


def _all(parts: object) -> Matched:
    cond: c.Expr | None = None
    bound: list[tuple[str, c.Expr]] = []
    for part in parts:  # type: ignore[attr-defined]
        cond = _both(cond, part.cond)
        bound.extend(part.bound)
    return Matched(cond, tuple(bound))


def _any(options: list[Matched]) -> Matched:
    """Alternatives: each name takes what the first that matches gives it."""
    *rest, last = options
    cond, bound = last.cond, dict(last.bound)
    for option in reversed(rest):
        if option.cond is None:
            cond, bound = None, dict(option.bound)
            continue
        cond = None if cond is None else c.Binary("||", option.cond, cond)
        for name, value in option.bound:
            bound[name] = c.Ternary(option.cond, value, bound[name])
    return Matched(cond, tuple(bound.items()))
