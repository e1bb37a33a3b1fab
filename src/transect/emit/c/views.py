# SPDX-License-Identifier: Apache-2.0
"""Outside data in C where no stratum says how its views look: `PlainViews`.

Plain views are structs of the fields that the policy names, in value form, reached through a pointer; a sequence is a
pointer and a count, a map of outside data a sequence of pairs.  A stratum's functions become questions to the host.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from transect.base.span import NOWHERE
from transect.core.ir import Effect, IntrinsicDecl, Param
from transect.core.types import DictType, OptionType, SeqType, Type, UnitType, ViewType
from transect.emit.c import tree as c
from transect.emit.c.codec import read, write
from transect.emit.c.forms import member_names, plain, tag
from transect.emit.c.layout import equal, inline, value_type
from transect.emit.c.unit import Loop, Unit


class PlainViews:
    """Views as structs in memory."""

    def type(self, unit: Unit, t: ViewType | SeqType | DictType) -> c.CType:
        match t:
            case ViewType(name=name) if name not in unit.scope.views:
                return c.Pointer(c.VOID)  # a type parameter that the policy left open: it reads nothing there
            case ViewType():
                return c.pointer(self._view(unit, t))
            case SeqType(item=item):
                return c.StructType(unit.once(tag(t), lambda name: [self._items(unit, name, item)]))
            case DictType():
                return c.StructType(unit.once(tag(t), lambda name: self._pairs(unit, name, t)))

    def _view(self, unit: Unit, t: ViewType) -> str:
        def make(name: str) -> list[c.Decl]:
            declared = unit.scope.views[t.name]
            types = [unit.scope.member_type(t, m.name) for m in declared.members]
            names = member_names(m.name for m in declared.members)
            inside = [
                c.Var(member, value_type(unit, kind))
                for member, kind in zip(names, types, strict=True)
                if kind is not None
            ]
            return [c.Struct(name, tuple(inside) or (c.Var("nothing", c.U8),))]

        return unit.once(tag(t), make)

    def _items(self, unit: Unit, name: str, item: Type) -> c.Decl:
        return c.Struct(name, (c.Var("items", c.Pointer(value_type(unit, item))), c.Var("count", c.U32)))

    def _pairs(self, unit: Unit, name: str, t: DictType) -> list[c.Decl]:
        pair = c.Struct(
            f"{name}_pair",
            (c.Var("key", value_type(unit, t.key)), c.Var("value", value_type(unit, t.value))),
        )
        return [pair, c.Struct(name, (c.Var("items", c.pointer(f"{name}_pair")), c.Var("count", c.U32)))]

    # ---------------------------------------------------------------- fields

    def _member(self, unit: Unit, t: ViewType, name: str) -> str:
        names = [m.name for m in unit.scope.views[t.name].members]
        return member_names(names)[names.index(name)]

    def field(self, unit: Unit, base: c.Expr, t: ViewType, name: str) -> c.Expr:
        return c.field_of(base, self._member(unit, t, name))

    def store(self, unit: Unit, base: c.Expr, t: ViewType, name: str, value: c.Expr) -> Sequence[c.Stmt]:
        return (c.assign(self.field(unit, base, t, name), value),)

    # ---------------------------------------------------------------- sequences and maps

    def length(self, unit: Unit, base: c.Expr, t: SeqType | DictType) -> c.Expr:
        return c.Cast(c.I64, c.dot(base, "count"))

    def loop(self, unit: Unit, base: c.Expr, t: SeqType | DictType, fresh: str) -> Loop:
        at = c.Name(fresh)
        item = c.Index(c.dot(base, "items"), at)
        items = (item,) if isinstance(t, SeqType) else (c.dot(item, "key"), c.dot(item, "value"))
        return Loop(
            (),
            c.Var(fresh, c.U32, c.ZERO),
            c.Binary("<", at, c.dot(base, "count")),
            c.Postfix("++", at),
            (),
            items,
        )

    def has(self, unit: Unit, base: c.Expr, t: SeqType | DictType, item: c.Expr) -> c.Expr:
        t = _plain(t)
        return c.call(unit.once(f"has_{tag(t)}", lambda name: [self._has(unit, name, t)]), base, item)

    def _search(self, unit: Unit, t: SeqType | DictType, found: c.Stmt) -> c.Stmt:
        item = c.Index(c.dot(c.Name("among"), "items"), c.Name("i"))
        kind, held = (t.item, item) if isinstance(t, SeqType) else (t.key, c.dot(item, "key"))
        hit = c.If(equal(unit, kind, held, c.Name("asked")), c.Block((found,)))
        more = c.Binary("<", c.Name("i"), c.dot(c.Name("among"), "count"))
        return c.For(c.Var("i", c.U32, c.ZERO), more, c.Postfix("++", c.Name("i")), c.Block((hit,)))

    def _asked(self, unit: Unit, t: SeqType | DictType) -> tuple[c.Var, c.Var]:
        kind = t.item if isinstance(t, SeqType) else t.key
        return c.Var("among", self.type(unit, t)), c.Var("asked", value_type(unit, kind))

    def _has(self, unit: Unit, name: str, t: SeqType | DictType) -> c.Decl:
        search = self._search(unit, t, c.Return(c.TRUE))
        return inline(name, c.BOOL, self._asked(unit, t), search, c.Return(c.FALSE))

    def get(self, unit: Unit, base: c.Expr, t: DictType, key: c.Expr) -> c.Expr:
        t = DictType(plain(t.key), plain(t.value))
        return c.call(unit.once(f"get_{tag(t)}", lambda name: [self._get(unit, name, t)]), base, key)

    def _get(self, unit: Unit, name: str, t: DictType) -> c.Decl:
        option = value_type(unit, OptionType(t.value))
        value = c.dot(c.Index(c.dot(c.Name("among"), "items"), c.Name("i")), "value")
        search = self._search(unit, t, c.Return(c.Compound(option, c.braces(c.TRUE, value))))
        none = c.Compound(option, c.braces(c.ZERO))
        return inline(name, option, self._asked(unit, t), search, c.Return(none))

    # ---------------------------------------------------------------- the stratum's functions

    def intrinsic(self, unit: Unit, declared: IntrinsicDecl, args: Sequence[c.Expr]) -> c.Expr:
        function = unit.once(
            f"ask_{declared.name.replace('.', '_')}",
            lambda name: [_question(unit, name, declared)],
            source=True,
        )
        sent = [a for a, p in zip(args, declared.params, strict=True) if not isinstance(p.type, ViewType)]
        return c.call(function, c.Name("call"), *sent)

    def told(
        self, unit: Unit, declared: IntrinsicDecl, args: Sequence[c.Expr], types: Sequence[Type]
    ) -> c.Expr:
        params = tuple(Param(f"argument{i}", plain(t), NOWHERE) for i, t in enumerate(types))
        whole = replace(declared, params=params, named=False)
        function = unit.once(
            "_".join((f"tell_{declared.name.replace('.', '_')}", *(tag(plain(t)) for t in types))),
            lambda name: [_question(unit, name, whole)],
            source=True,
        )
        return c.call(function, c.Name("call"), *args)


def _plain(t: SeqType | DictType) -> SeqType | DictType:
    """As items are held: in value form, whatever their storage is."""
    match t:
        case SeqType(item=item):
            return SeqType(plain(item))
        case DictType(key=key, value=value):
            return DictType(plain(key), plain(value))


def _question(unit: Unit, name: str, declared: IntrinsicDecl) -> c.Decl:
    """A function that asks the host: arguments in the encoding of core/codec.py, views left out, and so the answer."""
    sent = [p for p in declared.params if not isinstance(p.type, ViewType)]
    params = [c.Var(f"argument{i}", value_type(unit, p.type)) for i, p in enumerate(sent)]
    out, given, answer = c.Name("out"), c.Name("given"), c.Name("answer")

    def writing() -> list[c.Stmt]:
        return [
            s
            for p, v in zip(sent, params, strict=True)
            for s in write(unit, p.type, c.Unary("&", out), c.Name(v.name))
        ]

    host = c.arrow(c.arrow("call", "host"), "ask")
    text = c.Compound(
        c.SLICE, c.braces(c.Cast(c.Pointer(c.Named("uint8_t", const=True)), c.dot(out, "data")), _size(out))
    )
    ask = c.Call(host, (c.arrow("call", "context"), _literal(declared.name), text))
    body: list[c.Stmt] = [c.Var("out", c.StructType("ts_writer"), c.braces(c.ZERO))]
    if sent:
        take = c.call("ts_take", c.Unary("&", c.arrow("call", "arena")), c.dot(out, "size"))
        body += [
            *writing(),
            c.assign(c.dot(out, "room"), c.dot(out, "size")),
            c.assign(c.dot(out, "data"), take),
        ]
        body += [c.assign(c.dot(out, "size"), c.ZERO), *writing()]
    if isinstance(declared.returns, UnitType):
        return inline(name, c.VOID, (c.Var("call", c.pointer("ts_call")), *params), *body, c.Do(ask))
    body += [
        c.Var("given", c.SLICE, c.call("ts_copy", c.Name("call"), ask)),
        c.Var("in", c.StructType("ts_reader"), c.braces(c.dot(given, "data"), c.dot(given, "size"), c.FALSE)),
        c.Var("answer", value_type(unit, declared.returns), read(unit, declared.returns)),
    ]
    if declared.effect in (Effect.CLOCK, Effect.RANDOM, Effect.OUTSIDE_READ):
        body.append(c.Do(c.call("ts_log_answer", c.Name("call"), given)))
    return inline(
        name,
        value_type(unit, declared.returns),
        (c.Var("call", c.pointer("ts_call")), *params),
        *body,
        c.Return(answer),
    )


def _size(out: c.Expr) -> c.Expr:
    return c.Cast(c.U32, c.dot(out, "size"))


def _literal(text: str) -> c.Expr:
    return c.call("TS_TEXT", c.String(text.encode()))
