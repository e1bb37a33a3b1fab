# SPDX-License-Identifier: Apache-2.0
"""Views of kernels in C: fields and containers are numbers of entries in a plan's tables (`tables.py`), so that what is
compiled of a probe serves every kernel.  The functions called here are those of memory/runtime.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from transect.core.ir import IntrinsicDecl, Program
from transect.core.types import (
    BoolType,
    BytesType,
    DictType,
    IntType,
    OptionType,
    SeqType,
    TextType,
    Type,
    ViewType,
)
from transect.emit.artifact import Artifact
from transect.emit.c import lower
from transect.emit.c import tree as c
from transect.emit.c.emitter import Lowered, includes, one_unit, runtime
from transect.emit.c.forms import tag
from transect.emit.c.layout import inline, narrowed, value_type
from transect.emit.c.names import snake
from transect.emit.c.printer import render
from transect.emit.c.unit import Unit
from transect.emit.c.views import PlainViews

NODE = c.pointer("tm_node")
CALL = c.Name("call")
SAYING = {
    f"memory.Probe.{how}": c.Integer(number, "u") for number, how in enumerate(("show", "report", "caught"))
}
DIRECT = {  # questions that C answers itself: those without arguments give addresses
    "memory.trusted_code": "tm_trusted_code",
    "memory.u64_at": "tm_u64_at",
    "memory.u32_at": "tm_u32_at",
    "memory.bytes_at": "tm_evidence",
    "memory.original": "tm_original",
    "memory.system_calls": "tm_system_calls",
    "memory.direct_calls": "tm_direct_calls",
    "memory.gates": "tm_gates",
    "memory.changed_pointers": "tm_changed_pointers",
    "memory.changed_tables": "tm_changed_tables",
    "memory.changed_text": "tm_changed_text",
    "memory.stray_code": "tm_stray_code",
}


@dataclass
class MemoryViews(PlainViews):
    """Views are nodes; `fields` and `walks` say what the numbers in the code stand for."""

    roots: frozenset[str]  # functions that walk a container of the whole kernel
    fields: list[tuple[str, str]] = field(default_factory=list)  # view, field
    walks: list[tuple[str, str]] = field(default_factory=list)  # view (of a root: ""), field or function

    def type(self, unit: Unit, t: ViewType | SeqType | DictType) -> c.CType:
        return NODE if isinstance(t, ViewType) else super().type(unit, t)

    def field(self, unit: Unit, base: c.Expr, t: ViewType, name: str) -> c.Expr:
        if name == "address":
            return c.arrow(base, "address")
        kind = unit.scope.member_type(t, name)
        assert kind is not None, f"{t.name} has no field {name}"
        if isinstance(kind, SeqType):
            return self._walked(unit, kind, c.arrow(base, "address"), _number(self.walks, (t.name, name)))
        number = _number(self.fields, (t.name, name))
        match kind:
            case BoolType():
                return c.Binary("!=", c.call("tm_int", CALL, base, number), c.ZERO)
            case BytesType() | TextType():
                return c.call("tm_text", CALL, base, number)
            case ViewType():
                return c.call("tm_object", CALL, base, number)
            case OptionType(item=ViewType()):
                return c.call(self._maybe(unit, kind), CALL, base, number)
            case _:
                got = c.Cast(value_type(unit, kind), c.call("tm_int", CALL, base, number))
                return narrowed(unit, kind, got)

    def _maybe(self, unit: Unit, kind: OptionType) -> str:
        """The C function that gives an object or nothing."""

        def make(name: str) -> list[c.Decl]:
            form, found = value_type(unit, kind), c.Name("found")
            params = (c.Var("call", c.pointer("ts_call")), c.Var("node", NODE), c.Var("number", c.U32))
            asked = c.call("tm_maybe", CALL, c.Name("node"), c.Name("number"))
            some = c.Compound(form, c.braces(c.Binary("!=", found, c.NULL), found))
            return [inline(name, form, params, c.Var("found", NODE, asked), c.Return(some))]

        return unit.once(f"maybe_{tag(kind)}", make)

    def _walked(self, unit: Unit, t: SeqType, owner: c.Expr, number: c.Expr) -> c.Expr:
        return c.call(self._items_of(unit, t), c.call("tm_walk", CALL, owner, number))

    def _items_of(self, unit: Unit, t: SeqType) -> str:
        """The C function that turns what a walk found into a sequence."""

        def make(name: str) -> list[c.Decl]:
            form, got = self.type(unit, t), c.Name("got")
            held = c.dot(got, "nodes" if isinstance(t.item, ViewType) else "values")
            items = c.Cast(c.Pointer(value_type(unit, t.item)), held)
            made = c.Compound(form, c.braces(items, c.dot(got, "count")))
            return [inline(name, form, (c.Var("got", c.StructType("tm_items")),), c.Return(made))]

        return unit.once(f"items_{tag(t)}", make)

    def intrinsic(self, unit: Unit, declared: IntrinsicDecl, args: Sequence[c.Expr]) -> c.Expr:
        if declared.name in self.roots:
            assert isinstance(declared.returns, SeqType), "a root is a walk"
            return self._walked(unit, declared.returns, c.ZERO, _number(self.walks, ("", declared.name)))
        if declared.name in DIRECT:
            found = c.call(DIRECT[declared.name], CALL, *args)
            if isinstance(declared.returns, SeqType):
                return c.call(self._items_of(unit, declared.returns), found)
            return found
        return super().intrinsic(unit, declared, args)

    def told(
        self, unit: Unit, declared: IntrinsicDecl, args: Sequence[c.Expr], types: Sequence[Type]
    ) -> c.Expr:
        how = SAYING[declared.name]

        def make(name: str) -> list[c.Decl]:
            params = [c.Var(f"said{i}", value_type(unit, t)) for i, t in enumerate(types)]
            names = [c.Name(p.name) for p in params]
            body: list[c.Stmt] = [
                c.Do(c.call("tm_say", CALL, how, names[0], c.Integer(len(names) // 2, "u")))
            ]
            for i in range(1, len(names), 2):
                body.append(c.Do(c.call(_saying(types[i + 1]), CALL, names[i], names[i + 1])))
            return [inline(name, c.VOID, (c.Var("call", c.pointer("ts_call")), *params), *body)]

        kinds = "_".join(_saying(t).removeprefix("tm_say_") for t in types)
        which = declared.name.rpartition(".")[2]
        return c.call(unit.once(f"{which}_{kinds}", make), CALL, *args)


def _saying(t: Type) -> str:
    match t:
        case BoolType():
            return "tm_say_bool"
        case TextType():
            return "tm_say_text"
        case BytesType():
            return "tm_say_bytes"
        case IntType(bits=64, signed=False):
            return "tm_say_u64"
        case _:
            return "tm_say_int"


def _number(known: list[tuple[str, str]], what: tuple[str, str]) -> c.Expr:
    if what not in known:
        known.append(what)
    return c.Integer(known.index(what), "u")


# ---------------------------------------------------------------- files


@dataclass(frozen=True)
class Emitted:
    """One probe in C."""

    prefix: str
    lowered: Lowered
    views: MemoryViews


def emit(programs: Sequence[Program], roots: frozenset[str]) -> tuple[Artifact, list[Emitted]]:
    """Probes as one file in C, `probes.c`; each has a function `PREFIX_round` (see round.h)."""
    made: list[Emitted] = []
    for number, program in enumerate(programs):
        views = MemoryViews(roots)
        prefix = f"p{number}_{snake(program.name)}"
        made.append(Emitted(prefix, lower(program, views=views, prefix=prefix), views))
    rounds = [d for e in made for d in _round(e)]
    declarations = [*includes("round.h"), *one_unit(e.lowered for e in made), *rounds]
    return Artifact({"probes.c": render("probes.c", declarations, marks=False).encode()} | runtime()), made


def _round(of: Emitted) -> list[c.Decl]:
    state = c.Var("state", c.Pointer(c.VOID))
    scan = c.Do(c.call(of.lowered.prototypes["scan"].name, c.Name("state"), CALL))
    body = f"{of.prefix}_scan_any"
    run = c.call("tm_run", c.Name(body), c.Name("state"), c.Name("round"))
    return [
        c.Function(body, c.VOID, (state, c.Var("call", c.pointer("ts_call"))), c.Block((scan,)), "static"),
        c.Function(
            f"{of.prefix}_round",
            c.INT,
            (state, c.Var("round", c.pointer("tm_round"))),
            c.Block((c.Return(run),)),
        ),
    ]
