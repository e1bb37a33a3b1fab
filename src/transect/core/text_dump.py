# SPDX-License-Identifier: Apache-2.0
"""From tree to text; `text.py` shows the form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from typing import assert_never

from transect.base.span import Span
from transect.core import ir
from transect.core.rules import Scope, place_type, result_type
from transect.core.text_lex import BUILT_IN, Files, literal, name, spans_text
from transect.core.types import (
    DEFAULT_OPTIONS,
    ArrayType,
    BytesType,
    DictType,
    EnumType,
    KeyType,
    Options,
    OptionType,
    SeqType,
    SetType,
    StructType,
    TableType,
    TextType,
    TupleType,
    Type,
    UnionType,
    ViewType,
    spell,
)

INDENT = "  "
Named = EnumType | StructType | UnionType


def dump(program: ir.Program) -> str:
    """The program as text."""
    return _Dump(program).text()


class _Types:
    """The types that have a name, each with a label of its own, in the order in which they can be declared."""

    def __init__(self) -> None:
        self.labels: dict[Named, str] = {}

    def text(self, t: Type) -> str:
        match t:
            case EnumType() | StructType() | UnionType():
                return name(self.label(t))
            case OptionType(item=item):
                return f"{self.text(item)}?"
            case TextType(bound=int(bound)):
                return f"str[{bound}]"
            case BytesType(bound=int(bound)):
                return f"bytes[{bound}]"
            case TupleType(items=items):
                return f"({', '.join(map(self.text, items))})"
            case SetType(item=item, bound=bound):
                return f"{{{self.text(item)}}}" if bound is None else f"{{{self.text(item)}, {bound}}}"
            case SeqType(item=item):
                return f"[{self.text(item)}]"
            case DictType(key=key, value=value):
                return f"{{{self.text(key)}: {self.text(value)}}}"
            case TableType(kind=kind, key=key, value=value, capacity=capacity):
                return f"{kind}<{self.text(key)}, {self.text(value)}, {capacity}>"
            case ArrayType(item=item, length=length):
                return f"array<{self.text(item)}, {length}>"
            case ViewType(name=view, arguments=arguments):
                inner = f"[{', '.join(map(self.text, arguments))}]" if arguments else ""
                return f"&{name(view)}{inner}"
            case KeyType(name=key_name):
                return f"#{name(key_name)}"
            case _:
                return spell(t)

    def label(self, t: Named) -> str:
        if t not in self.labels:
            for inner in _within(t):
                self.text(inner)
            taken = {*self.labels.values(), *BUILT_IN}
            candidates = (t.name if i == 1 else f"{t.name}~{i}" for i in range(1, len(taken) + 2))
            self.labels[t] = next(label for label in candidates if label not in taken)
        return self.labels[t]

    def declarations(self) -> Iterator[str]:
        for t, label in self.labels.items():
            named = "" if label == t.name else f" named {literal(t.name)}"
            match t:
                case EnumType(members=members, open=is_open):
                    items = "".join(f" {name(member)}={value}" for member, value in members)
                    yield f"enum {name(label)}{named} {'open' if is_open else 'closed'}{items}"
                case StructType(fields=inner):
                    items = ", ".join(
                        f"{name(f.name)}: {self.text(f.type)}{_default(f.default, f.required)}" for f in inner
                    )
                    yield f"struct {name(label)}{named} ({items})"
                case UnionType(cases=cases):
                    yield f"union {name(label)}{named} ({', '.join(map(self.text, cases))})"
                case _:
                    assert_never(t)


def _within(t: Named) -> Iterable[Type]:
    match t:
        case EnumType():
            return ()
        case StructType(fields=inner):
            return [f.type for f in inner]
        case UnionType(cases=cases):
            return cases
        case _:
            assert_never(t)


def _default(value: object, required: bool) -> str:
    if required:
        return "" if value is None else f" != {literal(value)}"
    return f" = {literal(value)}"


class _Dump:
    def __init__(self, program: ir.Program) -> None:
        self.program = program
        self.types = _Types()
        self.files = Files([program.path])
        self.scope = Scope(program)
        self.nothing = Scope(replace(program, state=(), functions=()))  # what a field's default may use
        self.lines: list[str] = []
        self.spans: list[Span] = []  # of the line under way

    def line(self, depth: int, text: str) -> None:
        self.lines.append(f"{INDENT * depth}{text}{spans_text(self.spans, self.files)}")
        self.spans = []

    def text(self) -> str:
        p = self.program
        structs = ", ".join(self.types.text(s) for s in p.structs)
        unions = ", ".join(self.types.text(u) for u in p.unions)
        for view in p.views:
            self.view(view)
        for intrinsic in p.intrinsics:
            self.intrinsic(intrinsic)
        for f in p.state:
            self.field(f, "")
        for f in p.old_state:
            self.field(f, "old ")
        for i, function in enumerate(p.functions):
            # As whoever reads knows them: those above.
            self.function("helper", function, Scope(replace(p, functions=p.functions[:i])))
        for function in p.handlers:
            self.function("handler", function, self.scope)
        head = [
            "transect-ir 1",
            f"policy {name(p.name)} stratum {literal(p.stratum)} base {literal(p.base)} stage {p.stage.name}",
            f"path {literal(p.path)} hash {literal(p.source_hash)}",
            *([f"doc {literal(p.doc)}"] if p.doc else []),
            *(f"file {literal(path)}" for path in self.files.paths[1:]),
            *self.types.declarations(),
            f"structs ({structs})",
            f"unions ({unions})",
        ]
        return "\n".join([*head, *self.lines, ""])

    # ---------------------------------------------------------------- declarations

    def view(self, v: ir.View) -> None:
        self.spans.append(v.span)
        params = f" [{', '.join(map(name, v.params))}]" if v.params else ""
        of = f" of {literal(v.of)}" if v.of else ""
        self.line(0, f"view {name(v.name)} {literal(v.base)}{params}{of}")
        for m in v.members:
            writable = " writable" if m.writable else ""
            self.spans.append(m.span)
            secret = " secret" if m.secret else ""
            layout = f" at {literal(m.layout)}" if m.layout else ""
            self.line(
                1, f"member {name(m.name)}: {self.types.text(m.type)}{writable}{secret}{layout}{_doc(m.doc)}"
            )

    def intrinsic(self, i: ir.IntrinsicDecl) -> None:
        head = f"intrinsic %{dotted(i.name)}({self.params(i.params)})"
        named = " named" if i.named else ""
        self.line(0, f"{head} -> {self.types.text(i.returns)} {literal(str(i.effect))}{named}")

    def params(self, params: Iterable[ir.Param]) -> str:
        parts = []
        for p in params:
            parts.append(f"{name(p.name)}: {self.types.text(p.type)}")
            self.spans.append(p.span)
        return ", ".join(parts)

    def field(self, f: ir.StateField, prefix: str) -> None:
        default = f" = {self.expr(f.default, self.nothing)}" if f.default is not None else ""
        self.spans.append(f.span)
        head = f"{prefix}{f.kind} {name(f.name)}: {self.types.text(f.type)}"
        self.line(0, f"{head}{default}{_options(f.options)}{_doc(f.doc)}")

    def function(self, kind: str, f: ir.Function, scope: Scope) -> None:
        scope = scope.within(f)
        head = f"{kind} {name(f.name)}({self.params(f.params)}) -> {self.types.text(f.returns)}"
        self.spans.append(f.span)
        self.line(0, f"{head}{' default' if f.default else ''}{_doc(f.doc)}")
        if f.locals:
            self.line(1, "locals " + ", ".join(f"{name(n)}: {self.types.text(t)}" for n, t in f.locals))
        self.block(f.body, 1, scope)

    # ---------------------------------------------------------------- statements

    def block(self, block: ir.Block, depth: int, scope: Scope) -> None:
        for s in block:
            self.statement(s, depth, scope)

    def statement(self, s: ir.Stmt, depth: int, scope: Scope) -> None:
        text = self.head(s, scope)
        self.spans.append(s.span)
        self.line(depth, text)
        match s:
            case ir.If(then=then, orelse=orelse):
                self.block(then, depth + 1, scope)
                if orelse:
                    self.line(depth, "else:")
                    self.block(orelse, depth + 1, scope)
            case ir.Switch(cases=cases):
                for case in cases:
                    guard = ""
                    pattern = self.pattern(case.pattern, scope)
                    if case.guard is not None:
                        guard = f" if {self.expr(case.guard, scope)}"
                    self.spans.append(case.span)
                    self.line(depth + 1, f"case {pattern}{guard}:")
                    self.block(case.body, depth + 2, scope)
            case ir.For(body=body):
                self.block(body, depth + 1, scope)
            case _:
                pass

    def head(self, s: ir.Stmt, scope: Scope) -> str:
        match s:
            case ir.Let(name=local, value=value):
                return f"let {name(local)} = {self.expr(value, scope)}"
            case ir.Store(place=place, value=value):
                target = self.place(place, scope)
                return f"store {target} = {self.expr(value, scope)}"
            case ir.Update(place=place, op=op, value=value):
                target = self.place(place, scope)
                return f"update {target} {op} {self.expr(value, scope)}"
            case ir.Remove(field=field, key=key):
                return f"remove .{name(field)}[{self.expr(key, scope)}]"
            case ir.Do(value=value):
                return f"do {self.expr(value, scope)}"
            case ir.If(cond=cond):
                return f"if {self.expr(cond, scope)}:"
            case ir.Switch(subject=subject):
                return f"match {self.expr(subject, scope)}:"
            case ir.For(targets=targets, source=source):
                return f"for {', '.join(map(name, targets))} in {self.source(source, scope)}:"
            case ir.Break():
                return "break"
            case ir.Continue():
                return "continue"
            case ir.Return(value=value):
                return "return" if value is None else f"return {self.expr(value, scope)}"
            case ir.Pass():
                return "pass"
            case _:
                assert_never(s)

    def place(self, place: ir.Place, scope: Scope) -> str:
        match place:
            case ir.StatePlace(field=field, path=path):
                text = f".{name(field)}{_path(path)}"
            case ir.EntryPlace(field=field, key=key, path=path):
                text = f".{name(field)}[{self.expr(key, scope)}]{_path(path)}"
            case ir.LocalPlace(name=local, path=path):
                text = f"{name(local)}{_path(path)}"
            case ir.ViewPlace(base=base, name=member):
                text = f"({self.expr(base, scope)})->{name(member)}"
            case _:
                assert_never(place)
        self.spans.append(place.span)
        return text if place.type == place_type(place, scope) else f"{text}::{self.types.text(place.type)}"

    def source(self, source: ir.Source, scope: Scope) -> str:
        match source:
            case ir.OverRange(start=start, stop=stop, step=step, bound=bound):
                text = f"range({self.expr(start, scope)}, {self.expr(stop, scope)}, {step}, {bound})"
            case ir.OverState(field=field, part=part):
                text = f"{part}@.{name(field)}"
            case ir.OverValue(value=value, part=part):
                text = f"{part}({self.expr(value, scope)})"
            case _:
                assert_never(source)
        self.spans.append(source.span)
        return text

    def pattern(self, pattern: ir.Pattern, scope: Scope) -> str:
        match pattern:
            case ir.MatchAny(name=local):
                return "_" if local is None else name(local) if local != "_" else "`_`"
            case ir.MatchConst(value=value):
                return f"={self.expr(value, scope)}"
            case ir.MatchSome(inner=inner):
                return f"?{self.pattern(inner, scope)}"
            case ir.MatchTuple(items=items):
                return f"[{', '.join(self.pattern(p, scope) for p in items)}]"
            case ir.MatchStruct(type=t, fields=inner_fields):
                inner_text = ", ".join(f"{name(f)}: {self.pattern(p, scope)}" for f, p in inner_fields)
                return f"{self.types.text(t)}{{{inner_text}}}"
            case ir.MatchOr(options=options):
                return f"({' | '.join(self.pattern(p, scope) for p in options)})"
            case _:
                assert_never(pattern)

    # ---------------------------------------------------------------- expressions

    def expr(self, e: ir.Expr, scope: Scope) -> str:
        text = self.node(e, scope)
        self.spans.append(e.span)
        known = isinstance(e, ir.MakeStruct) and isinstance(e.type, StructType)
        return text if known or e.type == result_type(e, scope) else f"{text}::{self.types.text(e.type)}"

    def exprs(self, items: Iterable[ir.Expr], scope: Scope) -> str:
        return ", ".join([self.expr(e, scope) for e in items])

    def node(self, e: ir.Expr, scope: Scope) -> str:
        match e:
            case ir.Const(value=value):
                return literal(value)
            case ir.Local(name=local):
                return name(local)
            case ir.State(field=field):
                return f".{name(field)}"
            case ir.Attr(base=base, name=attr):
                return f"{self.expr(base, scope)}.{name(attr)}"
            case ir.ViewField(base=base, name=member):
                return f"{self.expr(base, scope)}->{name(member)}"
            case ir.Item(base=base, index=index):
                return f"{self.expr(base, scope)}#{index}"
            case ir.Lookup(op=op, field=field, args=args):
                return f".{name(field)}.{op}({self.exprs(args, scope)})"
            case ir.Unary(op=op, operand=operand):
                return f"({op} {self.expr(operand, scope)})"
            case ir.Binary(op=op, left=left, right=right) | ir.Compare(op=op, left=left, right=right):
                return self.infix(left, op, right, scope)
            case ir.Logic(conjunction=conjunction, left=left, right=right):
                return self.infix(left, "and" if conjunction else "or", right, scope)
            case ir.Contains(item=item, container=container):
                return self.infix(item, "in", container, scope)
            case ir.Choose(cond=cond, then=then, orelse=orelse):
                first, test = self.expr(then, scope), self.expr(cond, scope)
                return f"({first} if {test} else {self.expr(orelse, scope)})"
            case ir.LetIn(name=local, value=value, body=body):
                first = self.expr(value, scope)
                return f"(with {name(local)} = {first} in {self.expr(body, scope)})"
            case ir.Cast(value=value):
                return f"cast({self.expr(value, scope)})"
            case ir.Some(value=value):
                return f"some({self.expr(value, scope)})"
            case ir.IsSome(value=value):
                return f"is_some({self.expr(value, scope)})"
            case ir.Unwrap(value=value):
                return f"unwrap({self.expr(value, scope)})"
            case ir.MakeStruct(values=values, type=t):
                head = self.types.text(t) if isinstance(t, StructType) else "struct"
                return f"{head}{{{self.exprs(values, scope)}}}"
            case ir.MakeTuple(items=items):
                return f"[{self.exprs(items, scope)}]"
            case ir.Call(function=function, args=args):
                return f"@{name(function)}({self.exprs(args, scope)})"
            case ir.Intrinsic(name=intrinsic, args=args):
                return f"%{dotted(intrinsic)}({self.exprs(args, scope)})"
            case ir.Reduce(op=op, value=value, default=default):
                text = f"{op}{{{self.generator(value, e, scope)}"
                return f"{text}}}" if default is None else f"{text} else {self.expr(default, scope)}}}"
            case ir.MakeSet(item=item):
                return f"set{{{self.generator(item, e, scope)}}}"
            case ir.Format(parts=parts):
                return f"format({self.exprs(parts, scope)})"
            case _:
                assert_never(e)

    def infix(self, left: ir.Expr, op: str, right: ir.Expr, scope: Scope) -> str:
        first = self.expr(left, scope)
        return f"({first} {op} {self.expr(right, scope)})"

    def generator(self, value: ir.Expr, e: ir.Reduce | ir.MakeSet, scope: Scope) -> str:
        first = self.expr(value, scope)
        text = f"{first} for {', '.join(map(name, e.targets))} in {self.source(e.source, scope)}"
        return text if e.cond is None else f"{text} if {self.expr(e.cond, scope)}"


def dotted(text: str) -> str:
    """A name with dots, each part as a name."""
    return ".".join(map(name, text.split(".")))


def _path(path: tuple[str, ...]) -> str:
    return "".join(f"!{name(step)}" for step in path)


def _doc(doc: str) -> str:
    return f" {literal(doc)}" if doc else ""


def _options(options: Options) -> str:
    changed = [(f.name, getattr(options, f.name)) for f in fields(options)]
    plain = [(n, v) for n, v in changed if v != getattr(DEFAULT_OPTIONS, n)]
    return "".join(f" {n}={v if isinstance(v, bool) else literal(str(v))}" for n, v in plain)
