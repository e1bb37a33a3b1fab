# SPDX-License-Identifier: Apache-2.0
"""Messages as emitted handlers see them: structs of the fields that the element uses, whatever message they come from.

A view struct is filled from what the scanner found, once per hook call, and what the hook assigned is carried back.  So
a handler is emitted once, also where its view stands for several messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transect.core.ir import IntrinsicDecl
from transect.core.types import (
    BytesType,
    DictType,
    OptionType,
    SeqType,
    TextType,
    ViewType,
)
from transect.emit.c import tree as c
from transect.emit.c.forms import tag
from transect.emit.c.layout import inline, value_type
from transect.emit.c.unit import Unit
from transect.emit.c.views import PlainViews
from transect.rpc.chain.binding import BoundElement, BoundView
from transect.rpc.chain.needs import plain
from transect.rpc.messages.wire import BITS, Kind
from transect.rpc.native.scan import (
    Scanners,
)

FUNCTIONS = frozenset(
    {
        "seal",
        "unseal",
        "compress",
        "expand",
        "seal_text",
        "unseal_text",
        "compress_text",
        "expand_text",
        "digest",
    }
)  # of rpc/functions
DIRTY = "ts_dirty"  # bit i: the i-th field of the view class was assigned
V, M, ARENA = c.name("v"), c.name("m"), c.name("arena")


@dataclass(frozen=True)
class RpcViews(PlainViews):
    """The views of one element."""

    element: BoundElement
    scanners: Scanners

    # ------------------------------------------------------------ types

    def type(self, unit: Unit, t: ViewType | SeqType | DictType) -> c.CType:
        if isinstance(t, ViewType) and plain("." + t.name) == "Headers":
            return c.pointer("ts_headers")
        return super().type(unit, t)

    def is_message(self, name: str) -> bool:
        return any(view == name for view, _ in self.element.views)

    def _view(self, unit: Unit, t: ViewType) -> str:
        if not self.is_message(t.name):
            return super()._view(unit, t)

        def make(name: str) -> list[c.Decl]:
            members = [c.Var(DIRTY, c.U64)]
            fields = [(field, unit.scope.member_type(t, field)) for field in self.used(t.name)]
            for (
                _,
                kind,
            ) in fields:  # an option of a view holds a pointer: the view must be declared before the option
                if isinstance(kind, OptionType) and isinstance(kind.item, ViewType):
                    self.type(unit, kind.item)
            for field, kind in fields:
                assert kind is not None, f"{t.name} has no {field}"
                members.append(c.Var(self._member(unit, t, field), value_type(unit, kind)))
            return [c.Struct(name, tuple(members))]

        return unit.once(tag(t), make)

    def used(self, view: str) -> tuple[str, ...]:
        """Fields of a view class that the element touches, in the order of the class."""
        touched = self.element.needs.fields(view)
        return tuple(m.name for m in self.element.program.view(view).members if m.name in touched)

    def reached(self) -> dict[tuple[str, str], BoundView]:
        """The views that hooks can come across, by view class and message."""
        needs, found = self.element.needs, dict[tuple[str, str], BoundView]()
        roots = [(m.method.request, m.requests) for m in self.element.methods]
        roots += [(m.method.reply, m.replies) for m in self.element.methods]
        waiting = [(view, message) for message, views in roots for view in views]
        while waiting:
            key = waiting.pop(0)
            if key in found or key[1] not in self.scanners.plans:
                continue
            found[key] = self.element.views[key]
            slots = self.scanners.plans[key[1]].by_name
            touched = needs.fields(key[0])
            members = (m for m in found[key].members if m.view and m.member.name in touched)
            waiting += [(m.view, slots[m.field.name].inner) for m in members]
        return found

    def _pairs(self, unit: Unit, name: str, t: DictType) -> list[c.Decl]:
        pair, whole = super()._pairs(unit, name, t)
        assert isinstance(whole, c.Struct)
        return [pair, c.Struct(name, (*whole.members, c.Var("map", c.pointer("ts_map", True))))]

    # ------------------------------------------------------------ maps

    def has(self, unit: Unit, base: c.Expr, t: SeqType | DictType, item: c.Expr) -> c.Expr:
        if isinstance(t, SeqType):
            return super().has(unit, base, t, item)
        return c.Binary("<", self._index(t, base, item), c.dot(base, "count"))

    def _index(self, t: DictType, base: c.Expr, key: c.Expr) -> c.Expr:
        if isinstance(t.key, TextType | BytesType):
            return c.call("ts_map_index_text", c.dot(base, "map"), key)
        return c.call("ts_map_index_number", c.dot(base, "map"), c.Cast(c.U64, key))

    def _get(self, unit: Unit, name: str, t: DictType) -> c.Decl:
        option = value_type(unit, OptionType(t.value))
        among, at = c.name("among"), c.name("at")
        found = c.dot(c.Index(c.dot(among, "items"), at), "value")
        return inline(
            name,
            option,
            self._asked(unit, t),
            c.Var("at", c.U32, self._index(t, among, c.name("asked"))),
            c.If(
                c.Binary("<", at, c.dot(among, "count")),
                c.Block((c.Return(c.Compound(option, c.braces(c.TRUE, found))),)),
            ),
            c.Return(c.Compound(option, c.braces(c.ZERO))),
        )

    # ------------------------------------------------------------ assignments

    def store(self, unit: Unit, base: c.Expr, t: ViewType, name: str, value: c.Expr) -> Sequence[c.Stmt]:
        setter = unit.once(f"set_{tag(t)}_{name}", lambda made: [self._setter(unit, made, t, name)])
        return (c.Do(c.call(setter, base, value)),)

    def _setter(self, unit: Unit, made: str, t: ViewType, name: str) -> c.Decl:
        kind = unit.scope.member_type(t, name)
        assert kind is not None
        value, place = c.name("value"), c.arrow(V, self._member(unit, t, name))
        marked: c.Stmt = c.Do(c.Assign("|=", c.arrow(V, DIRTY), self._bit(t.name, name)))
        rivals = [
            c.assign(c.Member(c.arrow(V, self._member(unit, t, rival)), "some"), c.FALSE)
            for rival in self.rivals(t.name, name)
        ]
        if isinstance(kind, OptionType):
            inner = c.dot(value, "value")
            present = c.dot(value, "some")
            either = c.Binary("||", present, c.Member(place, "some"))
            cut = c.assign(inner, self._cut(t.name, name, inner))
            body: list[c.Stmt] = [c.If(either, c.Block((marked,))), c.If(present, c.Block((cut, *rivals)))]
            body.append(c.assign(place, value))
        else:
            body = [marked, *rivals, c.assign(place, self._cut(t.name, name, value))]
        params = (c.Var("v", self.type(unit, t)), c.Var("value", value_type(unit, kind)))
        return c.Function(made, c.VOID, params, c.Block(tuple(body)), "TS_INLINE")

    def _bit(self, view: str, name: str) -> c.Expr:
        return c.Integer(1 << self.used(view).index(name), "ull")

    def _bound(self, view: str) -> list[BoundView]:
        return [bound for (name, _), bound in self.element.views.items() if name == view]

    def rivals(self, view: str, name: str) -> tuple[str, ...]:
        """Used fields of the view in the same oneof (binding has made sure that all its messages agree)."""
        bound = self._bound(view)[0]
        group = bound.member(name).field.oneof
        members = {m.member.name for m in bound.members if group and m.field.oneof == group}
        return tuple(field for field in self.used(view) if field in members and field != name)

    def _cut(self, view: str, name: str, value: c.Expr) -> c.Expr:
        """The value that the field reads after the assignment."""
        kind = self._bound(view)[0].member(name).field.kind
        if kind is Kind.FLOAT:
            return c.Cast(c.DOUBLE, c.Cast(c.Named("float"), value))
        if kind in BITS and BITS[kind][0] == 32:
            narrow = c.Named("int32_t" if BITS[kind][1] else "uint32_t")
            return c.Cast(c.I64, c.Cast(narrow, value))
        return value

    # ------------------------------------------------------------ headers

    def intrinsic(self, unit: Unit, declared: IntrinsicDecl, args: Sequence[c.Expr]) -> c.Expr:
        call = c.name("call")
        match declared.name:
            case "rpc.Headers.get":
                return c.call(
                    unit.once("header_get", lambda name: [_header_get(unit, name, declared)]), call, *args
                )
            case "rpc.Headers.set":
                return c.call("ts_header_set", call, *args)
            case "rpc.Headers.remove":
                return c.call("ts_header_remove", call, *args)
            case name if name.removeprefix("rpc.") in FUNCTIONS:
                return _function(unit, declared, args)
            case _:
                return super().intrinsic(unit, declared, args)


def _function(unit: Unit, declared: IntrinsicDecl, args: Sequence[c.Expr]) -> c.Expr:
    """A call of a function of `runtime/functions.h`."""
    name = declared.name.removeprefix("rpc.")
    if not isinstance(declared.returns, OptionType):
        return c.call(f"ts_{name}", c.name("call"), *args)
    return c.call(unit.once(f"try_{name}", lambda made: [_try(unit, made, declared)]), c.name("call"), *args)


def _try(unit: Unit, made: str, declared: IntrinsicDecl) -> c.Decl:
    """A wrapper for such a function whose answer may be None."""
    option, answer = value_type(unit, declared.returns), c.name("answer")
    params = [c.Var(p.name, value_type(unit, p.type)) for p in declared.params]
    given = [c.name("call"), *(c.name(p.name) for p in params), c.address(c.dot(answer, "value"))]
    found = c.call(f"ts_{declared.name.removeprefix('rpc.')}", *given)
    return inline(
        made,
        option,
        (c.Var("call", c.pointer("ts_call")), *params),
        c.Var("answer", option, c.braces(c.ZERO)),
        c.assign(c.dot(answer, "some"), found),
        c.Return(answer),
    )


def _header_get(unit: Unit, name: str, declared: IntrinsicDecl) -> c.Decl:
    option = value_type(unit, declared.returns)
    params = (
        c.Var("call", c.pointer("ts_call")),
        c.Var("headers", c.pointer("ts_headers")),
        c.Var("asked", c.SLICE),
    )
    answer = c.name("answer")
    found = c.call(
        "ts_header_get", c.name("call"), c.name("headers"), c.name("asked"), c.address(c.dot(answer, "value"))
    )
    return inline(
        name,
        option,
        params,
        c.Var("answer", option, c.braces(c.ZERO)),
        c.assign(c.dot(answer, "some"), found),
        c.Return(answer),
    )
