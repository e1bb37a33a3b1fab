# SPDX-License-Identifier: Apache-2.0
"""The C types of values, their equality and hashes, and their way from one form (forms.py) to the other.

A slice that is loaded from storage changes when the storage does: `keep` copies it into the memory of the call.
"""

from __future__ import annotations

from dataclasses import replace

from transect.core.types import (
    BoolType,
    DictType,
    FloatType,
    IntType,
    KeyType,
    OptionType,
    SeqType,
    SetType,
    StructType,
    TextType,
    TupleType,
    Type,
    UnionType,
    UnitType,
    ViewType,
)
from transect.emit.c import tree as c
from transect.emit.c.forms import case_member, dense, has_narrow, has_text, members, plain, same_forms, tag
from transect.emit.c.unit import Unit
from transect.emit.c.unused import used

# ---------------------------------------------------------------- value form


def value_type(unit: Unit, t: Type) -> c.CType:
    """The C type of a value."""
    t = plain(t)
    match t:
        case IntType(signed=signed):
            return c.I64 if signed else c.U64
        case BoolType():
            return c.BOOL
        case FloatType():
            return c.DOUBLE
        case TextType():
            return c.SLICE
        case UnitType():
            return c.VOID
        case OptionType() | TupleType() | StructType():
            return c.StructType(_record(unit, t, stored=False))
        case UnionType():
            return c.StructType(_union(unit, t))
        case SetType():
            return c.pointer(set_name(unit, t))
        case ViewType() | SeqType() | DictType():
            return unit.views.type(unit, t)
        case _:
            raise AssertionError(f"no value form: {t}")


def _record(unit: Unit, t: Type, *, stored: bool) -> str:
    form = stored_type if stored else value_type

    def make(name: str) -> list[c.Decl]:
        inside = [c.Var(member, form(unit, item)) for member, item in members(t)]
        return [c.Struct(name, tuple(inside) or (c.Var("nothing", c.U8),))]

    return unit.once(f"stored_{tag(t)}" if stored else tag(t), make)


def _union(unit: Unit, t: UnionType) -> str:
    def make(name: str) -> list[c.Decl]:
        cases = [c.Var(case_member(t, i), value_type(unit, case)) for i, case in enumerate(t.cases)]
        kind, payload = c.Var("kind", c.U32), c.Var("as", c.StructType(f"{name}_case", union=True))
        return [c.Struct(f"{name}_case", tuple(cases), union=True), c.Struct(name, (kind, payload))]

    return unit.once(tag(t), make)


def set_name(unit: Unit, t: SetType) -> str:
    """The tag of a set's struct."""
    item_type = plain(t.item)

    def make(name: str) -> list[c.Decl]:
        item = value_type(unit, item_type)
        functions = (c.Name(hash_function(unit, item_type)), c.Name(equal_function(unit, item_type)))
        return [c.Macro("TS_SET", (c.Name(name), item, *functions))]

    return unit.once(tag(SetType(item_type)), make)


# ---------------------------------------------------------------- equality and hashes, which a set takes along


def equal(unit: Unit, t: Type, a: c.Expr, b: c.Expr) -> c.Expr:
    """Whether two values are equal: item by item, NaN to nothing."""
    t = plain(t)
    match t:
        case TextType():
            return c.call("ts_text_equal", a, b)
        case SetType():
            return c.call(f"{set_name(unit, t)}_equal", a, b)
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


def pair(unit: Unit, t: Type) -> tuple[c.Var, c.Var]:
    return c.Var("a", value_type(unit, t)), c.Var("b", value_type(unit, t))


def both(member: str) -> tuple[c.Expr, c.Expr]:
    return c.dot(c.Name("a"), member), c.dot(c.Name("b"), member)


def _equal(unit: Unit, t: Type, name: str) -> c.Function:
    result: c.Expr = c.TRUE
    if isinstance(t, OptionType):
        (a_some, b_some), inner = both("some"), equal(unit, t.item, *both("value"))
        result = c.Binary("&&", c.Binary("==", a_some, b_some), c.Binary("||", c.negated(a_some), inner))
    else:
        for index, (member, item) in enumerate(members(t)):
            one = equal(unit, item, *both(member))
            result = one if index == 0 else c.Binary("&&", result, one)
    return inline(name, c.BOOL, pair(unit, t), c.Return(result))


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


# ---------------------------------------------------------------- storage form


def stored_type(unit: Unit, t: Type) -> c.CType:
    """The C type of a value in state."""
    t = dense(t)
    match t:
        case IntType(bits=bits, signed=signed) if bits < 64:
            return c.Named(f"{'int' if signed else 'uint'}{bits}_t")
        case TextType(bound=bound):
            assert bound is not None, "stored texts have a bound"
            return c.StructType(bounded(unit, bound))
        case OptionType() | TupleType() | StructType() if not same_forms(t):
            return c.StructType(_record(unit, t, stored=True))
        case _:
            return value_type(unit, t)


def bounded(unit: Unit, bound: int) -> str:
    name = f"text{bound}"
    return unit.once(name, lambda n: [c.Macro("TS_BOUNDED", (c.Name(n), c.Integer(bound)))])


def load(unit: Unit, t: Type, place: c.Expr) -> c.Expr:
    """The value that storage holds; its texts are slices of the storage."""
    t = dense(t)
    match t:
        case IntType(bits=bits) if bits < 64:
            return c.Cast(c.I64, place)
        case TextType(bound=int(bound)):
            return c.call(f"{bounded(unit, bound)}_load", c.address(place))
        case OptionType() | TupleType() | StructType() if not same_forms(t):
            return c.call(load_function(unit, t), c.address(place))
        case _:
            return place


def load_function(unit: Unit, t: Type) -> str:
    def make(name: str) -> list[c.Decl]:
        source = c.Var("from", pointer_to_const(stored_type(unit, t)))
        parts = [load(unit, item, c.arrow("from", member)) for member, item in members(t)]
        result = c.Compound(value_type(unit, t), c.braces(*parts))
        return [inline(name, value_type(unit, t), (source,), c.Return(result))]

    return unit.once(f"load_{tag(t)}", make)


def store(unit: Unit, t: Type, place: c.Expr, value: c.Expr) -> c.Stmt:
    """Put a value that fits into storage."""
    t = dense(t)
    match t:
        case IntType(bits=bits) if bits < 64:
            return c.assign(place, c.Cast(stored_type(unit, t), value))
        case TextType(bound=int(bound)):
            return c.Do(c.call(f"{bounded(unit, bound)}_store", c.address(place), value))
        case OptionType() | TupleType() | StructType() if not same_forms(t):
            return c.Do(c.call(store_function(unit, t), c.address(place), value))
        case _:
            return c.assign(place, value)


def store_function(unit: Unit, t: Type) -> str:
    def make(name: str) -> list[c.Decl]:
        to, value = c.Var("to", c.Pointer(stored_type(unit, t))), c.Var("value", value_type(unit, t))
        body = [
            store(unit, item, c.arrow("to", member), c.dot(c.Name("value"), member))
            for member, item in members(t)
        ]
        return [inline(name, c.VOID, (to, value), *body)]

    return unit.once(f"store_{tag(t)}", make)


def fits(unit: Unit, t: Type, value: c.Expr) -> c.Expr | None:
    """Whether every text in the value is within its bound; None when it always is."""
    t = dense(t)
    match t:
        case TextType(bound=int(bound)):
            return c.Binary("<=", c.dot(value, "size"), c.Integer(bound, "u"))
        case OptionType() | TupleType() | StructType() if has_text(t):
            return c.call(_fits_function(unit, t), value)
        case _:
            return None


def _fits_function(unit: Unit, t: Type) -> str:
    def make(name: str) -> list[c.Decl]:
        value = c.Var("value", value_type(unit, t))
        result: c.Expr | None = None
        for member, item in members(t):
            one = fits(unit, item, c.dot(c.Name("value"), member))
            if one is not None:
                result = one if result is None else c.Binary("&&", result, one)
        assert result is not None, "there is a text in it"
        if isinstance(t, OptionType):  # an empty one holds an empty slice
            result = c.Binary("||", c.negated(c.dot(c.Name("value"), "some")), result)
        return [inline(name, c.BOOL, (value,), c.Return(result))]

    return unit.once(f"fits_{tag(t)}", make)


# ---------------------------------------------------------------- values that last, values that are cut


def keep(unit: Unit, t: Type, value: c.Expr) -> c.Expr:
    """The value with its texts in the memory of the call."""
    t = plain(t)
    match t:
        case TextType():
            return c.call("ts_copy", c.Name("call"), value)
        case OptionType() | TupleType() | StructType() | UnionType() if has_text(t):
            return c.call(_keep_function(unit, t), c.Name("call"), value)
        case _:
            return value


def _keep_function(unit: Unit, t: Type) -> str:
    def make(name: str) -> list[c.Decl]:
        value = c.Name("value")
        body: list[c.Stmt] = []
        match t:
            case UnionType(cases=cases):
                for index, case in enumerate(cases):
                    if has_text(case):
                        place = c.dot(c.dot(value, "as"), case_member(t, index))
                        test = c.Binary("==", c.dot(value, "kind"), c.Integer(index, "u"))
                        body.append(c.If(test, c.Block((c.assign(place, keep(unit, case, place)),))))
            case _:
                for member, item in members(t):
                    if has_text(item):
                        place = c.dot(value, member)
                        body.append(c.assign(place, keep(unit, item, place)))
        params = (c.Var("call", c.pointer("ts_call")), c.Var("value", value_type(unit, t)))
        return [inline(name, value_type(unit, t), params, *body, c.Return(value))]

    return unit.once(f"keep_{tag(t)}", make)


def narrowed(unit: Unit, t: Type, value: c.Expr) -> c.Expr:
    """The value as one of type t: narrow integers within it truncate."""
    match t:
        case IntType(bits=bits) if bits < 64:
            return c.Cast(c.I64, c.Cast(stored_type(unit, t), value))
        case OptionType() | TupleType() | StructType() if has_narrow(t):
            return c.call(_narrow_function(unit, t), value)
        case _:
            return value


def _narrow_function(unit: Unit, t: Type) -> str:
    def make(name: str) -> list[c.Decl]:
        value = c.Name("value")
        places = [(c.dot(value, member), item) for member, item in members(t) if has_narrow(item)]
        body = [c.assign(place, narrowed(unit, item, place)) for place, item in places]
        params = (c.Var("value", value_type(unit, t)),)
        return [inline(name, value_type(unit, t), params, *body, c.Return(value))]

    return unit.once(f"narrow_{tag(dense(t))}", make)


# ---------------------------------------------------------------- functions


def pointer_to_const(t: c.CType) -> c.CType:
    """A pointer to a constant of that type."""
    return c.Pointer(replace(t, const=True)) if isinstance(t, c.Named | c.StructType) else c.Pointer(t)


def inline(name: str, returns: c.CType, params: tuple[c.Var, ...], *body: c.Stmt) -> c.Function:
    return c.Function(name, returns, params, c.Block(used(params, body)), prefix="TS_INLINE")
