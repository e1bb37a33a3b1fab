# SPDX-License-Identifier: Apache-2.0
"""Constants, types and zero values as expressions of Python, and which classes a program names."""

from __future__ import annotations

import ast
import dataclasses
import enum
from collections.abc import Iterator, Mapping

from transect.core import ir
from transect.core.types import (
    ArrayType,
    DictType,
    EnumType,
    FloatType,
    OptionType,
    SeqType,
    SetType,
    StructType,
    TableType,
    TupleType,
    Type,
    UnionType,
    ViewType,
)
from transect.core.values import zero
from transect.core.walk import walk
from transect.emit.py import nodes

Named = StructType | EnumType


def inner_types(t: Type) -> tuple[Type, ...]:
    """The types directly within a type."""
    match t:
        case StructType(fields=fields):
            return tuple(f.type for f in fields)
        case UnionType(cases=cases):
            return cases
        case TupleType(items=items):
            return items
        case OptionType(item=item) | SetType(item=item) | SeqType(item=item) | ArrayType(item=item):
            return (item,)
        case DictType(key=key, value=value) | TableType(key=key, value=value):
            return (key, value)
        case ViewType(arguments=arguments):
            return arguments
        case _:
            return ()


def named_within(t: Type) -> Iterator[Named]:
    """The structs and enums in a type, inner ones first."""
    for inner in inner_types(t):
        yield from named_within(inner)
    if isinstance(t, StructType | EnumType):
        yield t


def has_float(t: Type) -> bool:
    """Whether comparing two values must mind NaN."""
    return isinstance(t, FloatType) or any(map(has_float, inner_types(t)))


def _types_of_nodes(program: ir.Program) -> Iterator[Type]:
    for function in (*program.functions, *program.handlers):
        yield from (p.type for p in function.params)
        yield function.returns
        for statement in function.body:
            for node in walk(statement):
                match node:
                    case ir.MatchStruct(type=t):
                        yield t
                    case ir.MatchConst(value=value):
                        yield value.type
                    case _ if hasattr(node, "type"):
                        yield node.type


def named_of(program: ir.Program) -> dict[str, Named]:
    """Every struct and enum that the program's text can name, inner ones first."""
    types = [f.type for f in program.state]
    types += [f.default.type for f in program.state if f.default is not None]
    types += [*program.structs, *program.unions, *_types_of_nodes(program)]
    return {t.name: t for whole in types for t in named_within(whole)}


def named_of_stratum(program: ir.Program) -> frozenset[str]:
    """The names of structs and enums that the stratum defines, not the policy: what its hooks give and return."""
    types: list[Type] = list(program.unions)
    types += [
        t
        for h in program.handlers
        for t in (h.returns, *(p.type for p in h.params))
        if not isinstance(t, ViewType)
    ]
    types += [m.type for v in program.views if not v.base for m in v.members]
    types += [t for d in program.intrinsics for t in (d.returns, *(p.type for p in d.params))]
    return (
        frozenset(t.name for whole in types for t in named_within(whole)) if program.stratum else frozenset()
    )


# ---------------------------------------------------------------- values


def literal(t: Type, value: object, names: dict[str, str]) -> ast.expr:
    """A plain value; an enum's by the name of its member.  `names`: how structs and enums are written."""
    if isinstance(t, TupleType) and isinstance(value, tuple):
        return nodes.tuple_of(literal(item, v, names) for item, v in zip(t.items, value, strict=True))
    if isinstance(t, StructType) and isinstance(value, tuple):
        return nodes.call(
            names[t.name], *(literal(f.type, v, names) for f, v in zip(t.fields, value, strict=True))
        )
    if isinstance(t, OptionType):
        return nodes.constant(None) if value is None else literal(t.item, value, names)
    if isinstance(t, EnumType):
        member = next((m for m, number in t.members if number == value), None)
        if member is not None:
            return nodes.member(names[t.name], member)
    return nodes.constant(value)


def zero_of(t: Type, names: dict[str, str]) -> ast.expr:
    """The type's zero."""
    match t:
        case StructType(name=name, fields=fields):
            return nodes.call(names[name], *(zero_of(f.type, names) for f in fields))
        case TupleType(items=items):
            return nodes.tuple_of(zero_of(item, names) for item in items)
        case _:
            return literal(t, zero(t), names)


def has_defaults(t: StructType) -> bool:
    """Whether the class can have defaults: Python wants those with one after those without."""
    wants = [f.required for f in t.fields]
    return wants == sorted(wants, reverse=True)


# ---------------------------------------------------------------- types


def type_literal(t: object, known: Mapping[str, str]) -> ast.expr:
    """A type, or a part of one, as the call which makes it: `types.IntType(8, False)`.

    `known`: structs and enums that have been made already, and under which name.
    """
    if isinstance(t, StructType | EnumType) and t.name in known:
        return nodes.name(known[t.name])
    if isinstance(t, enum.Enum):
        return nodes.attribute(nodes.member("types", type(t).__name__), t.name)
    if isinstance(t, tuple):
        return nodes.tuple_of(type_literal(part, known) for part in t)
    if not dataclasses.is_dataclass(t):
        return nodes.constant(t)
    values = [(f, getattr(t, f.name)) for f in dataclasses.fields(t)]
    while values and values[-1][1] == values[-1][0].default:
        values.pop()
    return nodes.call(nodes.member("types", type(t).__name__), *(type_literal(v, known) for _, v in values))
