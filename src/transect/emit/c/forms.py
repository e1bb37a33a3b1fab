# SPDX-License-Identifier: Apache-2.0
"""The two forms of a value in C, and how its type is spelled there.

*Value form*, for locals, parameters and results: every integer kind has 64 bits, a text is a slice, a set a pointer.
*Storage form*, for state and the keys of tables: integers have their width, a text lies in place within its bound.
Where a type has neither narrow integers nor texts, both forms are the same C type.
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
from transect.emit.c.names import Names, snake

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


# ---------------------------------------------------------------- what is in a type


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


def case_member(t: UnionType, index: int) -> str:
    """The member of a union that holds its n-th case."""
    names = Names()
    return [names.of(case.name, snake(case.name)) for case in t.cases][index]
