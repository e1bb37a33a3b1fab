# SPDX-License-Identifier: Apache-2.0
"""Reductions and set comprehensions as loops: what happens before the loop, in each round, and what comes out.

`smallest` and its like are held as an Option: empty until the first item has passed.  A set grows by `|` with a set of
one member, which the emitters for C recognise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from transect.core import ir
from transect.core.ir import BinaryOp, CompareOp, Expr, ReduceOp, Stmt
from transect.core.passes.build import Build
from transect.core.types import BOOL, INT, FloatType, OptionType, SetType, Type

Fresh = Callable[[Type], str]
"""Makes a new local of that type."""


@dataclass(frozen=True, slots=True)
class Folding:
    before: tuple[Stmt, ...]
    # What to do with the value of one item that the condition let through
    round: Callable[[Expr], tuple[Stmt, ...]]
    result: Expr


def folding(e: ir.Reduce | ir.MakeSet, default: Expr | None, fresh: Fresh) -> Folding:
    """The loop form of a reduction; `default` is pure, and is evaluated after the loop."""
    build = Build(e.span)
    if isinstance(e, ir.MakeSet):
        return _set(e.type, build, fresh)
    match e.op:
        case ReduceOp.SUM:
            return _sum(e, build, fresh)
        case ReduceOp.ANY | ReduceOp.ALL:
            return _decided(e.op is ReduceOp.ANY, build, fresh)
        case ReduceOp.MIN | ReduceOp.MAX:
            return _best(e, default, build, fresh)
        case ReduceOp.ARGMIN | ReduceOp.ARGMAX:
            return _best_item(e, default, build, fresh)
        case _:
            assert_never(e.op)


def _set(t: Type, build: Build, fresh: Fresh) -> Folding:
    assert isinstance(t, SetType), f"not a set: {t}"
    name, member, index = fresh(t), fresh(t.item), fresh(INT)
    whole, one = build.local(name, t), build.local(member, t.item)

    def grow(value: Expr) -> tuple[Stmt, ...]:
        more = ir.Binary(
            op=BinaryOp.OR, left=whole, right=build.members(index, one, 1), type=t, span=build.span
        )
        return build.let(member, value), build.let(name, more)

    return Folding((build.let(name, build.members(index, one, 0)),), grow, whole)


def _sum(e: ir.Reduce, build: Build, fresh: Fresh) -> Folding:
    name = fresh(e.type)
    total = build.local(name, e.type)
    return Folding(
        (build.let(name, build.zero(e.type)),),
        lambda value: (build.let(name, build.add(total, value)),),
        total,
    )


def _decided(any_: bool, build: Build, fresh: Fresh) -> Folding:
    name = fresh(BOOL)

    def test(value: Expr) -> tuple[Stmt, ...]:
        found = build.let(name, build.const(any_, BOOL))
        return (build.when(value if any_ else build.negate(value), (found, ir.Break(build.span))),)

    return Folding((build.let(name, build.const(not any_, BOOL)),), test, build.local(name, BOOL))


def _wins(op: ReduceOp, new: Expr, best: Expr, build: Build) -> Expr:
    """Whether a value replaces the best one so far; an equal one does not, and NaN does not."""
    smaller = op in (ReduceOp.MIN, ReduceOp.ARGMIN)
    better = build.compare(CompareOp.LT if smaller else CompareOp.GT, new, best)
    if not isinstance(new.type, FloatType):
        return better
    is_nan, is_number = build.compare(CompareOp.NE, best, best), build.compare(CompareOp.EQ, new, new)
    return build.either(better, build.both(is_nan, is_number))


def _taken(best: Expr, default: Expr | None, build: Build) -> Expr:
    value = build.unwrap(best)
    return value if default is None else build.choose(build.is_some(best), value, default)


def _best(e: ir.Reduce, default: Expr | None, build: Build, fresh: Fresh) -> Folding:
    kind = e.value.type
    name, new = fresh(OptionType(kind)), fresh(kind)
    best, value = build.local(name, OptionType(kind)), build.local(new, kind)

    def compare(item: Expr) -> tuple[Stmt, ...]:
        wins = build.either(build.negate(build.is_some(best)), _wins(e.op, value, build.unwrap(best), build))
        return build.let(new, item), build.when(wins, (build.let(name, build.some(value)),))

    return Folding((build.let(name, build.none(kind)),), compare, _taken(best, default, build))


def _best_item(e: ir.Reduce, default: Expr | None, build: Build, fresh: Fresh) -> Folding:
    kind, item_type = e.value.type, e.type
    name, new, chosen = fresh(OptionType(kind)), fresh(kind), fresh(OptionType(item_type))
    best, value = build.local(name, OptionType(kind)), build.local(new, kind)
    item = build.local(e.targets[0], item_type)

    def compare(key: Expr) -> tuple[Stmt, ...]:
        wins = build.either(build.negate(build.is_some(best)), _wins(e.op, value, build.unwrap(best), build))
        take = (build.let(name, build.some(value)), build.let(chosen, build.some(item)))
        return build.let(new, key), build.when(wins, take)

    before = (build.let(name, build.none(kind)), build.let(chosen, build.none(item_type)))
    return Folding(before, compare, _taken(build.local(chosen, OptionType(item_type)), default, build))
