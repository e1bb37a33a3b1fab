# SPDX-License-Identifier: Apache-2.0
"""How values look in C, in two forms.

*Value form*, for locals, parameters and results: every integer kind has 64 bits, a text is a slice, a set a pointer.
*Storage form*, for state and the keys of tables: integers have their width, a text lies in place within its bound.
Where a type has neither narrow integers nor texts, both forms are the same C type.  A slice that is loaded from storage
changes when the storage does: `keep` copies it into the memory of the call.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import assert_never

from transect.core.types import (
    INT,
    TEXT,
    U64,
    ArrayType,
    BoolType,
    BytesType,
    CounterType,
    DictType,
    DurationType,
    EnumType,
    FloatType,
    HistogramType,
    InstantType,
    IntType,
    KeyType,
    OptionType,
    SeqType,
    SetType,
    StructType,
    TableType,
    TextType,
    TupleType,
    Type,
    UnionType,
    UnitType,
    ViewType,
)
from transect.emit.c import tree as c
from transect.emit.c.names import Names, snake
from transect.emit.c.unit import Unit
from transect.emit.c.unused import used

MAX_NAME = 60  # characters; longer names of types are cut and numbered


# ---------------------------------------------------------------- which types look the same


def plain(t: Type) -> Type:
    """The type whose value form this one shares: kinds of numbers and bounds make no difference there."""
    match t:
        case IntType(bits=bits) if bits < 64:
            return INT
        case InstantType() | DurationType() | EnumType():
            return INT
        case KeyType():
            return U64
        case TextType() | BytesType():
            return TEXT
        case OptionType(item=item) | SeqType(item=item):
            return replace(t, item=plain(item))
        case SetType(item=item):
            return SetType(plain(item))
        case TupleType(items=items):
            return TupleType(tuple(map(plain, items)))
        case DictType(key=key, value=value):
            return DictType(plain(key), plain(value))
        case _:
            return t


def dense(t: Type) -> Type:
    """The type whose storage form this one shares."""
    match t:
        case InstantType() | DurationType() | EnumType():
            return INT
        case KeyType():
            return U64
        case BytesType(bound=bound):
            return TextType(bound)
        case OptionType(item=item):
            return OptionType(dense(item))
        case TupleType(items=items):
            return TupleType(tuple(map(dense, items)))
        case _:
            return t


def has_text(t: Type) -> bool:
    """Whether a value holds slices of something."""
    match t:
        case TextType() | BytesType():
            return True
        case OptionType(item=item):
            return has_text(item)
        case TupleType(items=items):
            return any(map(has_text, items))
        case StructType(fields=fields):
            return any(has_text(f.type) for f in fields)
        case UnionType(cases=cases):
            return any(map(has_text, cases))
        case _:
            return False


def has_narrow(t: Type) -> bool:
    """Whether something in it truncates what it takes."""
    match t:
        case IntType(bits=bits):
            return bits < 64
        case OptionType(item=item):
            return has_narrow(item)
        case TupleType(items=items):
            return any(map(has_narrow, items))
        case StructType(fields=fields):
            return any(has_narrow(f.type) for f in fields)
        case _:
            return False


def same_forms(t: Type) -> bool:
    return not has_text(t) and not has_narrow(t)


# ---------------------------------------------------------------- names of types


def spell(t: Type) -> str:
    """A type as part of an identifier."""
    match t:
        case IntType(bits=64, signed=signed):
            return "int" if signed else "u64"
        case IntType(bits=bits, signed=signed):
            return f"{'i' if signed else 'u'}{bits}"
        case BoolType():
            return "bool"
        case FloatType():
            return "float"
        case TextType(bound=bound) | BytesType(bound=bound):
            return "text" if bound is None else f"text{bound}"
        case InstantType() | DurationType() | EnumType():
            return "int"
        case KeyType():
            return "u64"
        case UnitType():
            return "none"
        case OptionType(item=item):
            return f"option_{spell(item)}"
        case TupleType(items=items):
            return "_".join((f"tuple{len(items)}", *map(spell, items)))
        case StructType(name=name) | UnionType(name=name):
            return _own(name)
        case ViewType(name=name, arguments=arguments):
            return "_".join((_own(name), *map(spell, arguments)))
        case SetType(item=item):
            return f"set_{spell(item)}"
        case SeqType(item=item):
            return f"seq_{spell(item)}"
        case DictType(key=key, value=value):
            return f"dict_{spell(key)}_{spell(value)}"
        case TableType() | ArrayType() | CounterType() | HistogramType():
            raise AssertionError(f"not a value: {t}")
        case _:
            assert_never(t)


# What other names of a unit begin with.
_TAKEN = re.compile(
    r"(state|local|text\d*)$"
    r"|(type|option|tuple\d+|set|seq|dict|stored|load|store|fits|keep|narrow|equal|less|min|max|hash|same|order)_"
    r"|.*_(table|heap|entry|heap_item)$"
)


def _own(name: str) -> str:
    """The name of a policy's own type."""
    text = snake(name)
    return f"type_{text}" if _TAKEN.match(text) else text  # which no other type has, nor what is made for one


def bounded_tag(t: Type) -> str:
    """Tells apart types which share a value form but not what is read for them."""
    return tag(t) if plain(t) == t else f"{tag(t)}_{checksum(repr(t)):08x}"


def checksum(text: str) -> int:
    """32 bits, the same in every run."""
    check = 0
    for byte in text.encode():
        check = (check * 131 + byte) % 2**32
    return check


def tag(t: Type) -> str:
    """The name of a type's struct within a unit."""
    name = spell(t)
    if len(name) <= MAX_NAME:
        return name
    return f"{name[: MAX_NAME - 9]}_{checksum(name):08x}"


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


def member_names(names: Iterable[str]) -> list[str]:
    """What the fields of a struct or view are called in C."""
    given = Names()
    return [given.of(name) for name in names]


def members(t: Type) -> list[tuple[str, Type]]:
    """The members of a record (Option, tuple, struct) in C, with the types of what they hold."""
    match t:
        case OptionType(item=item):
            return [("some", BoolType()), ("value", item)]
        case TupleType(items=items):
            return [(f"item{i}", item) for i, item in enumerate(items)]
        case StructType(fields=fields):
            names = member_names(f.name for f in fields)
            return list(zip(names, (f.type for f in fields), strict=True))
        case _:
            raise AssertionError(f"not a record: {t}")


def member_of(t: Type, name: str) -> str:
    """What a struct's field is called in C."""
    assert isinstance(t, StructType), f"not a struct: {t}"
    index = next(i for i, f in enumerate(t.fields) if f.name == name)
    return members(t)[index][0]


def field_type(t: Type, name: str) -> Type:
    """The type of a struct's field."""
    assert isinstance(t, StructType), f"not a struct: {t}"
    return next(f.type for f in t.fields if f.name == name)


def is_text(t: Type) -> bool:
    return isinstance(t, TextType | BytesType)


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


def case_member(t: UnionType, index: int) -> str:
    """The member of a union that holds its n-th case."""
    names = Names()
    return [names.of(case.name, snake(case.name)) for case in t.cases][index]


def set_name(unit: Unit, t: SetType) -> str:
    """The tag of a set's struct."""
    item_type = plain(t.item)
    from transect.emit.c.comparing import equal_function, hash_function

    def make(name: str) -> list[c.Decl]:
        item = value_type(unit, item_type)
        functions = (c.Name(hash_function(unit, item_type)), c.Name(equal_function(unit, item_type)))
        return [c.Macro("TS_SET", (c.Name(name), item, *functions))]

    return unit.once(tag(SetType(item_type)), make)


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
