# SPDX-License-Identifier: Apache-2.0
"""Values of a policy's types when inputs are unknown: terms, and structs, tuples, options, verdicts and views made of
terms.

A value of a type is taken apart into *leaves* (a path and a term each) and put together again, so that joining two
branches, comparing, and storing in tables are done once, on leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from transect.analysis import fold
from transect.analysis.terms import FALSE, TRUE, Sort, Term, boolean, integer, number, text, zero
from transect.base.span import Span
from transect.core import values
from transect.core.types import (
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
    TextType,
    TupleType,
    Type,
    UnionType,
    UnitType,
    ViewType,
)


class Unsupported(Exception):
    """Something that cannot be evaluated symbolically; the answer is then "unknown", and the text says why."""

    span: Span | None = None  # of the statement that it stands in


@dataclass(frozen=True, slots=True)
class Struct:
    name: str
    fields: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Tuple:
    items: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Option:
    present: Term
    value: Value | None  # None: never there


@dataclass(frozen=True, slots=True)
class Union:
    """One of several structs: at most one guard holds."""

    cases: Mapping[str, tuple[Term, Struct]]

    def guard(self, name: str) -> Term:
        return self.cases[name][0] if name in self.cases else FALSE


@dataclass(frozen=True, slots=True)
class View:
    """Outside data, by the way that leads to it: `rpc.msg`."""

    path: str


@dataclass(frozen=True, slots=True)
class Many:
    """A small set or sequence: members, each with the condition under which it is one; several may be equal."""

    members: tuple[tuple[Term, Value], ...]


Value: TypeAlias = Term | Struct | Tuple | Option | Union | View | Many | None


# ---------------------------------------------------------------- sorts and leaves


def sort_of(t: Type) -> Sort:
    """The sort of a type which is one term."""
    match t:
        case BoolType():
            return Sort.BOOL
        case IntType() | InstantType() | DurationType() | EnumType() | KeyType() | CounterType():
            return Sort.INT
        case FloatType():
            return Sort.FLOAT
        case TextType() | BytesType():
            return Sort.TEXT
        case HistogramType() | SeqType() | SetType() | DictType() | ViewType():
            return Sort.OPAQUE
        case _:
            raise Unsupported(f"a value of {t}")


def build(t: Type, leaf: Callable[[str, Type, Sort], Term], path: str = "") -> Value:
    """A value of the type, whose leaves are asked for one by one."""
    match t:
        case StructType(name=name, fields=fields):
            return Struct(name, {f.name: build(f.type, leaf, f"{path}.{f.name}") for f in fields})
        case TupleType(items=items):
            return Tuple(tuple(build(item, leaf, f"{path}.{i}") for i, item in enumerate(items)))
        case OptionType(item=item):
            return Option(leaf(f"{path}?", BoolType(), Sort.BOOL), build(item, leaf, path))
        case UnionType(cases=cases):
            return _any_case(cases, leaf, path)
        case UnitType():
            return None
        case _:
            return leaf(path, t, sort_of(t))


def _any_case(cases: Sequence[StructType], leaf: Callable[[str, Type, Sort], Term], path: str) -> Union:
    left, found = TRUE, {}
    for case in cases:
        is_it = leaf(f"{path}:{case.name}", BoolType(), Sort.BOOL) if case is not cases[-1] else TRUE
        made = build(case, leaf, f"{path}:{case.name}")
        assert isinstance(made, Struct), "a case of a union is a struct"
        found[case.name] = (fold.both(left, is_it), made)
        left = fold.both(left, fold.negate(is_it))
    return Union(found)


def leaves(value: Value, path: str = "") -> list[tuple[str, Term]]:
    """Every term within, with its path; an option that is never present has none."""
    match value:
        case None:
            return []
        case Term():
            return [(path, value)]
        case Struct(fields=fields):
            return [leaf for name, inner in fields.items() for leaf in leaves(inner, f"{path}.{name}")]
        case Tuple(items=items):
            return [leaf for i, inner in enumerate(items) for leaf in leaves(inner, f"{path}.{i}")]
        case Option(present=present, value=inner):
            return [(f"{path}?", present), *leaves(inner, path)]
        case Union(cases=cases):
            found = []
            for name, (guard, inner) in cases.items():
                found += [(f"{path}:{name}?", guard), *leaves(inner, f"{path}:{name}")]
            return found
        case View() | Many():
            raise Unsupported("outside data or a set where a plain value is needed")


def constant(t: Type, value: object) -> Value:
    """A plain value of the type, in the interpreter's form."""
    match t:
        case OptionType(item=item):
            return Option(FALSE, None) if value is None else Option(TRUE, constant(item, value))
        case TupleType(items=items) if isinstance(value, tuple):
            return Tuple(tuple(map(constant, items, value)))
        case StructType(name=name, fields=fields):
            given = values.struct_fields(value)
            return Struct(name, {f.name: constant(f.type, given[f.name]) for f in fields})
        case UnitType():
            return None
        case _:
            return _constant_term(sort_of(t), value)


def _constant_term(sort: Sort, value: object) -> Term:
    match value:
        case bool():
            return boolean(value)
        case int() if sort is Sort.INT:
            return integer(value)
        case int() | float():
            return number(float(value))
        case str():
            return text(value.encode())
        case bytes():
            return text(value)
        case _:
            raise Unsupported(f"the constant {value!r}")


def anything(t: Type) -> Value:
    """An arbitrary value of the type, for places where it is never read."""
    return build(t, lambda path, leaf_type, sort: zero(sort))


# ---------------------------------------------------------------- joining and comparing


def join(cond: Term, then: Value, orelse: Value) -> Value:
    """`then` where the condition holds."""
    match then, orelse:
        case _ if then is orelse:
            return then
        case (None, other) | (other, None):
            return other
        case Term(), Term():
            return fold.ite(cond, then, orelse)
        case Struct(name=name, fields=a), Struct(fields=b):
            return Struct(name, {key: join(cond, a[key], b[key]) for key in a})
        case Tuple(items=a_items), Tuple(items=b_items):
            return Tuple(tuple(join(cond, x, y) for x, y in zip(a_items, b_items, strict=True)))
        case Option(present=p, value=a_value), Option(present=q, value=b_value):
            return Option(fold.ite(cond, p, q), join(cond, a_value, b_value))
        case Union(cases=a_cases), Union(cases=b_cases):
            return Union({name: _join_case(cond, name, a_cases, b_cases) for name in {**a_cases, **b_cases}})
        case Many(members=a_members), Many(members=b_members):
            unless = fold.negate(cond)
            return Many(
                (
                    *((fold.both(cond, g), v) for g, v in a_members),
                    *((fold.both(unless, g), v) for g, v in b_members),
                )
            )
        case View(), View() if then == orelse:
            return then
        case _:
            raise Unsupported("which piece of outside data is meant depends on the input")


Cases: TypeAlias = Mapping[str, tuple[Term, Struct]]


def _join_case(cond: Term, name: str, a: Cases, b: Cases) -> tuple[Term, Struct]:
    if name not in a:
        return fold.both(fold.negate(cond), b[name][0]), b[name][1]
    if name not in b:
        return fold.both(cond, a[name][0]), a[name][1]
    joined = join(cond, a[name][1], b[name][1])
    assert isinstance(joined, Struct), "a case is a struct"
    return fold.ite(cond, a[name][0], b[name][0]), joined


def same(a: Value, b: Value) -> Term:
    """Whether two values of one type are the same, bit by bit (NaN is itself)."""
    match a, b:
        case _ if a is b:
            return TRUE
        case Term(), Term():
            return fold.equal(a, b)
        case Struct(fields=x), Struct(fields=y):
            return fold.both(*(same(x[key], y[key]) for key in x))
        case Tuple(items=x_items), Tuple(items=y_items):
            return fold.both(*map(same, x_items, y_items))
        case Option(present=p, value=x_value), Option(present=q, value=y_value):
            within = TRUE if x_value is None or y_value is None else same(x_value, y_value)
            return fold.both(fold.equal(p, q), fold.implies(p, within))
        case Union(), Union():
            names = {**a.cases, **b.cases}
            return fold.both(*(_same_case(a, b, name) for name in names))
        case View(), View() if a == b:
            return TRUE
        case _:
            raise Unsupported("outside data or sets are compared")


def _same_case(a: Union, b: Union, name: str) -> Term:
    p, q = a.guard(name), b.guard(name)
    if name not in a.cases or name not in b.cases:
        return fold.equal(p, q)
    return fold.both(fold.equal(p, q), fold.implies(p, same(a.cases[name][1], b.cases[name][1])))


# ---------------------------------------------------------------- storing


def stored(t: Type, value: Value) -> tuple[Term, Value]:
    """What storing makes of a value: whether its texts fit, and the value with narrow integers cut."""
    match t, value:
        case IntType(bits=bits, signed=signed), Term() if bits < 64:
            return TRUE, fold.narrow(value, bits, signed)
        case ((TextType(bound=int(bound)) | BytesType(bound=int(bound))), Term()):
            return fold.fits(value, bound), value
        case OptionType(item=item), Option(present=present, value=inner) if inner is not None:
            fits, cut = stored(item, inner)
            return fold.implies(present, fits), Option(present, cut)
        case TupleType(items=items), Tuple(items=within):
            parts = list(map(stored, items, within))
            return fold.both(*(fits for fits, _ in parts)), Tuple(tuple(cut for _, cut in parts))
        case StructType(name=name, fields=fields), Struct(fields=given):
            found = {f.name: stored(f.type, given[f.name]) for f in fields}
            all_fit = fold.both(*(fits for fits, _ in found.values()))
            return all_fit, Struct(name, {key: cut for key, (_, cut) in found.items()})
        case _:
            return TRUE, value


def made(t: Type, value: Value) -> Value:
    """The value as one of the type: narrow integers within are cut; texts are checked only when they are stored."""
    return stored(t, value)[1]


def at_path(value: Value, path: tuple[str, ...]) -> Value:
    for name in path:
        assert isinstance(value, Struct), "a path leads through structs"
        value = value.fields[name]
    return value


def replaced(value: Value, path: tuple[str, ...], new: Value) -> Value:
    """The struct with another value at the end of the path."""
    if not path:
        return new
    assert isinstance(value, Struct), "a path leads through structs"
    inner = replaced(value.fields[path[0]], path[1:], new)
    return Struct(value.name, {**value.fields, path[0]: inner})
