# SPDX-License-Identifier: Apache-2.0
"""Which (node, type) pairs a program has: an IR node with its operator, and the kinds of type that it works on."""

from __future__ import annotations

import re
from collections.abc import Iterator

from transect.core import ir
from transect.core.ir import Function, Program, Source
from transect.core.types import (
    ArrayType,
    DictType,
    IntType,
    OptionType,
    SeqType,
    SetType,
    StructType,
    TableType,
    TupleType,
    Type,
)
from transect.core.walk import Node, children


def kind(t: Type) -> str:
    """The kind of type: what decides which code is emitted for it."""
    match t:
        case IntType(bits=64, signed=signed):
            return "int" if signed else "u64"
        case IntType():
            return "narrow"
        case TableType(kind=of):
            return str(of)
        case _:
            return re.sub("Type$", "", type(t).__name__).lower()


class Pairs:
    """The pairs of one program."""

    def __init__(self, program: Program) -> None:
        self.fields = {f.name: f for f in program.state}
        self.found: set[str] = set()
        for function in (*program.functions, *program.handlers):
            if not getattr(function, "default", False):
                self.function(function)

    def add(self, *parts: object) -> None:
        self.found.add(" ".join(map(str, parts)))

    def function(self, function: Function) -> None:
        for s in function.body:
            self.node(s)

    def node(self, node: Node) -> None:
        for key in self.keys(node):
            self.add(*key)
        if isinstance(node, ir.Switch):
            self.node(node.subject)
            for case in node.cases:
                self.pattern(case.pattern, node.subject.type)
                for inner in (*((case.guard,) if case.guard else ()), *case.body):
                    self.node(inner)
            return
        for child in children(node):
            self.node(child)

    def pattern(self, p: ir.Pattern, t: Type) -> None:
        match p, t:
            case ir.MatchAny(name=name), _:
                self.add("MatchAny", "binds" if name else "_", kind(t))
            case ir.MatchConst(value=ir.Const(value=None)), OptionType():
                self.add("MatchConst None")
            case ir.MatchConst(), _:
                self.add("MatchConst", kind(t))
            case ir.MatchSome(inner=inner), OptionType(item=item):
                self.add("MatchSome", kind(item))
                self.pattern(inner, item)
            case ir.MatchTuple(items=items), TupleType(items=types):
                self.add("MatchTuple")
                for inner, item in zip(items, types, strict=True):
                    self.pattern(inner, item)
            case ir.MatchStruct(type=struct, fields=fields), _:
                self.add("MatchStruct", kind(t))
                types_ = {f.name: f.type for f in struct.fields}
                for name, inner in fields:
                    self.pattern(inner, types_[name])
            case ir.MatchOr(options=options), _:
                self.add("MatchOr", kind(t))
                for inner in options:
                    self.pattern(inner, t)
            case _:
                raise AssertionError(f"{p} on {t}")

    # ---------------------------------------------------------------- keys of a node

    def keys(self, node: Node) -> Iterator[tuple[object, ...]]:
        name = type(node).__name__
        match node:
            case ir.Lookup(op=op, field=field, type=t):
                of = self.fields[field].type
                yield name, op, kind(of)
                if isinstance(of, TableType):
                    yield name, kind(of), "key", kind(of.key)
                yield name, op, "gives", kind(t.item if isinstance(t, OptionType) else t)
            case ir.State(field=field, type=t):
                yield name, self.fields[field].kind, kind(t)
            case ir.Unary(op=op, type=t):
                yield name, op, kind(t)
            case ir.Binary(op=op, left=left, right=right):
                yield name, op, kind(left.type), kind(right.type)
            case ir.Compare(op=op, left=left):
                yield name, op, kind(left.type)
            case ir.Logic(conjunction=conjunction):
                yield name, "and" if conjunction else "or"
            case ir.LetIn(value=value) | ir.IsSome(value=value):
                inner = value.type.item if isinstance(value.type, OptionType) else value.type
                yield name, kind(inner)
            case ir.Some(value=value):
                yield name, kind(value.type)
            case ir.Cast(value=value, type=t):
                yield name, kind(value.type), kind(t)
            case ir.Contains(container=container):
                assert isinstance(container.type, SetType | SeqType | DictType)
                yield name, kind(container.type)
            case ir.Intrinsic(name=which, args=args):
                yield name, which, *(kind(a.type) for a in args[:1])
            case ir.Reduce(op=op, value=value, source=source, default=default, type=t):
                yield name, op, kind(value.type)
                yield name, op, "over", self.source(source)
                if default is not None:
                    yield name, op, "default", kind(t)
            case ir.MakeSet(item=item, source=source):
                yield name, kind(item.type)
                yield name, "over", self.source(source)
            case ir.Format(parts=parts):
                for part in parts:
                    yield name, kind(part.type)
            case ir.Store(place=place):
                yield name, *self.place(place)
            case ir.Update(place=place, op=op):
                yield name, *self.place(place)
                yield name, op, kind(place.type)
            case ir.Remove(field=field):
                yield name, kind(self.fields[field].type)
            case ir.Do(value=value):
                yield name, type(value).__name__
            case ir.For(source=source):
                yield name, self.source(source)
            case ir.Let(value=value):
                yield name, kind(value.type)
            case ir.Return(value=returned):
                yield name, "nothing" if returned is None else kind(returned.type)
            case ir.Switch(subject=subject):
                yield name, kind(subject.type)
            case ir.StatePlace() | ir.EntryPlace() | ir.LocalPlace() | ir.ViewPlace() | ir.Case():
                pass  # counted with who writes, and by their patterns
            case ir.OverRange() | ir.OverState() | ir.OverValue():
                pass  # counted with what goes over them
            case ir.If() | ir.Break() | ir.Continue() | ir.Pass():
                yield (name,)
            case _:
                yield name, kind(getattr(node, "type"))  # noqa: B009 - the other expressions

    def source(self, source: Source) -> str:
        match source:
            case ir.OverRange(step=step):
                return "range" if step > 0 else "range down"
            case ir.OverState(field=field, part=part):
                return f"{kind(self.fields[field].type)} {part}"
            case ir.OverValue(value=value, part=part):
                return f"{kind(value.type)} {part if isinstance(value.type, DictType) else ''}".strip()

    def place(self, place: ir.Place) -> tuple[object, ...]:
        match place:
            case ir.StatePlace(field=field, path=path, type=t):
                depth = f"path {min(len(path), 2)}" if path else ""
                return "state", self.fields[field].kind, depth, kind(t)
            case ir.EntryPlace(field=field, path=path, type=t):
                of = self.fields[field].type
                return "entry", kind(of), "path" if path else "", kind(t)
            case ir.LocalPlace(path=path, type=t):
                return "local", f"path {min(len(path), 2)}", kind(t)
            case ir.ViewPlace(type=t):
                return "view", kind(t)


def pairs(program: Program) -> set[str]:
    """All pairs that the program has."""
    return Pairs(program).found


__all__ = ["ArrayType", "StructType", "kind", "pairs"]
