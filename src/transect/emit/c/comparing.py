# SPDX-License-Identifier: Apache-2.0
"""Equality, order and hashes of values in C, by the rules of core/values.py."""

from __future__ import annotations

from transect.core.types import (
    BoolType,
    FloatType,
    IntType,
    KeyType,
    OptionType,
    SetType,
    StructType,
    TextType,
    TupleType,
    Type,
)
from transect.emit.c import layout
from transect.emit.c import tree as c
from transect.emit.c.layout import (
    inline,
    load,
    members,
    plain,
    pointer_to_const,
    stored_type,
    tag,
    value_type,
)
from transect.emit.c.unit import Unit


def equal(unit: Unit, t: Type, a: c.Expr, b: c.Expr) -> c.Expr:
    """Whether two values are equal: item by item, NaN to nothing."""
    t = plain(t)
    match t:
        case TextType():
            return c.call("ts_text_equal", a, b)
        case SetType():
            return c.call(f"{layout.set_name(unit, t)}_equal", a, b)
        case OptionType() | TupleType() | StructType():
            return c.call(equal_function(unit, t), a, b)
        case _:
            return c.Binary("==", a, b)


def equal_function(unit: Unit, t: Type) -> str:
    """The name of a function or macro that says whether two values are equal."""
    t = plain(t)
    match t:
        case TextType():
            return "ts_text_equal"
        case OptionType() | TupleType() | StructType():
            return unit.once(f"equal_{tag(t)}", lambda name: [_equal(unit, t, name)])
        case _:
            return "TS_EQUAL"


def _pair(unit: Unit, t: Type) -> tuple[c.Var, c.Var]:
    return c.Var("a", value_type(unit, t)), c.Var("b", value_type(unit, t))


def _both(member: str) -> tuple[c.Expr, c.Expr]:
    return c.dot(c.Name("a"), member), c.dot(c.Name("b"), member)


def _equal(unit: Unit, t: Type, name: str) -> c.Function:
    result: c.Expr = c.TRUE
    if isinstance(t, OptionType):
        (a_some, b_some), inner = _both("some"), equal(unit, t.item, *_both("value"))
        result = c.Binary("&&", c.Binary("==", a_some, b_some), c.Binary("||", c.negated(a_some), inner))
    else:
        for index, (member, item) in enumerate(members(t)):
            one = equal(unit, item, *_both(member))
            result = one if index == 0 else c.Binary("&&", result, one)
    return inline(name, c.BOOL, _pair(unit, t), c.Return(result))


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
        a, b = _both(member)
        body.append(c.If(c.negated(equal(unit, item, a, b)), c.Block((c.Return(less(unit, item, a, b)),))))
    return inline(name, c.BOOL, _pair(unit, t), *body, c.Return(c.FALSE))


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
    return inline(name, value_type(unit, t), _pair(unit, t), c.Return(c.Ternary(wins, b, a)))


# ---------------------------------------------------------------- hashes, and keys in storage


def hash_function(unit: Unit, t: Type) -> str:
    """The name of a function of (value, seed) that hashes a key."""
    if isinstance(t, KeyType):
        return "ts_hash_handle"
    t = plain(t)
    match t:
        case TextType():
            return "ts_hash_text"
        case TupleType():
            return unit.once(f"hash_{tag(t)}", lambda name: [_hash(unit, t, name)])
        case _:
            return "ts_hash_u64"


def _hash(unit: Unit, t: TupleType, name: str) -> c.Function:
    params = (c.Var("value", value_type(unit, t)), c.Var("seed", c.U64))
    seed = c.Name("seed")
    body: list[c.Stmt] = []
    for member, item in members(t):
        part = c.dot(c.Name("value"), member)
        # Strangers may choose a client within a tuple, too.
        function = "ts_hash_u64" if isinstance(item, KeyType) else hash_function(unit, item)
        body.append(c.assign(seed, c.call(function, part, seed)))
    return inline(name, c.U64, params, *body, c.Return(seed))


def same_function(unit: Unit, t: Type) -> str:
    """The name of a function of (stored key, key asked for): whether they are equal."""
    match layout.dense(t):
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
    match layout.dense(t):
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
    match layout.dense(t):
        case TextType(bound=int(bound)):
            return f"{layout.bounded(unit, bound)}_store"
        case TupleType() as inner if not layout.same_forms(inner):
            return layout.store_function(unit, inner)
        case _:
            return "TS_KEEP"


def recall_function(unit: Unit, t: Type) -> str:
    """The name of a function of a stored key: the key as it is asked for."""
    match layout.dense(t):
        case TextType(bound=int(bound)):
            return f"{layout.bounded(unit, bound)}_load"
        case TupleType() as inner if not layout.same_forms(inner):
            return layout.load_function(unit, inner)
        case _:
            return "TS_RECALL"
