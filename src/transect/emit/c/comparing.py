# SPDX-License-Identifier: Apache-2.0
"""The order of values in C, by the rules of core/values.py, and how keys in storage compare with those asked for."""

from __future__ import annotations

from transect.core.types import (
    BoolType,
    FloatType,
    IntType,
    TextType,
    TupleType,
    Type,
)
from transect.emit.c import forms, layout
from transect.emit.c import tree as c
from transect.emit.c.forms import members, plain, tag
from transect.emit.c.layout import both, equal, inline, load, pair, pointer_to_const, stored_type, value_type
from transect.emit.c.unit import Unit


def less(unit: Unit, t: Type, a: c.Expr, b: c.Expr) -> c.Expr:
    """Whether `a < b`: tuples by the first items that are not equal, texts by bytes."""
    t = plain(t)
    match t:
        case TextType():
            return c.Binary("<", c.call("ts_text_order", a, b), c.ZERO)
        case BoolType():
            return c.call("ts_less_bool", a, b)
        case TupleType():
            return c.call(unit.once(f"less_{tag(t)}", lambda name: [_less(unit, t, name)]), a, b)
        case _:
            return c.Binary("<", a, b)


def _less(unit: Unit, t: TupleType, name: str) -> c.Function:
    body: list[c.Stmt] = []
    for member, item in members(t):
        a, b = both(member)
        body.append(c.If(c.negated(equal(unit, item, a, b)), c.Block((c.Return(less(unit, item, a, b)),))))
    return inline(name, c.BOOL, pair(unit, t), *body, c.Return(c.FALSE))


def best(unit: Unit, t: Type, *, smallest: bool, a: c.Expr, b: c.Expr) -> c.Expr:
    """`min(a, b)` or `max(a, b)`: the first of equals, NaN never against a number."""
    t, word = plain(t), "min" if smallest else "max"
    match t:
        case IntType(signed=signed):
            return c.call(f"ts_{word}" if signed else f"ts_{word}_u64", a, b)
        case BoolType():
            return c.Binary("&&" if smallest else "||", a, b)
        case FloatType():
            return c.call(f"ts_{word}_float", a, b)
        case TextType():
            return c.call(f"ts_{word}_text", a, b)
        case _:
            return c.call(unit.once(f"{word}_{tag(t)}", lambda name: [_best(unit, t, name, smallest)]), a, b)


def _best(unit: Unit, t: Type, name: str, smallest: bool) -> c.Function:
    a, b = c.Name("a"), c.Name("b")
    wins = less(unit, t, b, a) if smallest else less(unit, t, a, b)
    return inline(name, value_type(unit, t), pair(unit, t), c.Return(c.Ternary(wins, b, a)))


# ---------------------------------------------------------------- keys in storage


def same_function(unit: Unit, t: Type) -> str:
    """The name of a function of (stored key, key asked for): whether they are equal."""
    match forms.dense(t):
        case TextType(bound=int(bound)):
            return f"{layout.bounded(unit, bound)}_same"
        case TupleType() as inner:
            return unit.once(f"same_{tag(inner)}", lambda name: [_same(unit, inner, name)])
        case _:
            return "TS_SAME"


def _stored_and_asked(unit: Unit, t: Type) -> tuple[c.Var, c.Var]:
    return c.Var("stored", pointer_to_const(stored_type(unit, t))), c.Var("asked", value_type(unit, t))


def _loaded(unit: Unit, t: Type) -> c.Expr:
    return load(unit, t, c.deref(c.Name("stored")))


def _same(unit: Unit, t: Type, name: str) -> c.Function:
    result = equal(unit, t, _loaded(unit, t), c.Name("asked"))
    return inline(name, c.BOOL, _stored_and_asked(unit, t), c.Return(result))


def order_function(unit: Unit, t: Type) -> str:
    """The name of a function of (stored key, key asked for): negative, 0 or positive."""
    match forms.dense(t):
        case TextType(bound=int(bound)):
            return f"{layout.bounded(unit, bound)}_order"
        case TupleType() as inner:
            return unit.once(f"order_{tag(inner)}", lambda name: [_order(unit, inner, name)])
        case _:
            return "TS_ORDER"


def _order(unit: Unit, t: Type, name: str) -> c.Function:
    held = c.Var("held", value_type(unit, t), _loaded(unit, t))
    after, before = (
        less(unit, t, c.Name("asked"), c.Name("held")),
        less(unit, t, c.Name("held"), c.Name("asked")),
    )
    result = c.Binary("-", after, before)
    return inline(name, c.INT, _stored_and_asked(unit, t), held, c.Return(result))


def keep_function(unit: Unit, t: Type) -> str:
    """The name of a function of (place, key asked for) that stores a key."""
    match forms.dense(t):
        case TextType(bound=int(bound)):
            return f"{layout.bounded(unit, bound)}_store"
        case TupleType() as inner if not forms.same_forms(inner):
            return layout.store_function(unit, inner)
        case _:
            return "TS_KEEP"


def recall_function(unit: Unit, t: Type) -> str:
    """The name of a function of a stored key: the key as it is asked for."""
    match forms.dense(t):
        case TextType(bound=int(bound)):
            return f"{layout.bounded(unit, bound)}_load"
        case TupleType() as inner if not forms.same_forms(inner):
            return layout.load_function(unit, inner)
        case _:
            return "TS_RECALL"
