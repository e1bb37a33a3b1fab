# SPDX-License-Identifier: Apache-2.0
"""Between scanner and view: functions that fill view structs, carry assignments back, and keep copies for later."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from transect.core.types import (
    BytesType,
    DictType,
    OptionType,
    SeqType,
    TextType,
    Type,
    ViewType,
)
from transect.emit.c import tree as c
from transect.emit.c.forms import tag
from transect.emit.c.layout import value_type
from transect.emit.c.unit import Unit
from transect.rpc.chain.binding import BoundMember, BoundView
from transect.rpc.messages.plan import Plan, Slot
from transect.rpc.messages.scanner import default_of
from transect.rpc.messages.wire import Kind, Presence, ProtoField
from transect.rpc.native.scan import (
    FREE_SPACE,
    Scanners,
    literal,
    pieces_name,
    value_name,
    widened,
    wire_name,
)
from transect.rpc.native.slot_set import assigned, present
from transect.rpc.native.views import DIRTY, RpcViews

V, M, ARENA = c.name("v"), c.name("m"), c.name("arena")


@dataclass(frozen=True)
class ViewCode:
    """Functions that fill view structs, carry assignments back, and keep copies for later hooks."""

    unit: Unit
    views: RpcViews

    @property
    def scanners(self) -> Scanners:
        return self.views.scanners

    def struct(self, view: str) -> c.StructType:
        made = self.views.type(self.unit, ViewType(view))
        assert isinstance(made, c.Pointer) and isinstance(made.to, c.StructType)
        return made.to

    def member(self, view: str, name: str) -> c.Expr:
        return c.arrow(V, self.views._member(self.unit, ViewType(view), name))

    def fill_name(self, view: str, message: str) -> str:
        return self.unit.name(f"fill_{tag(ViewType(view))}_{self.scanners.names[message]}")

    def drain_name(self, view: str, message: str) -> str:
        return self.unit.name(f"drain_{tag(ViewType(view))}_{self.scanners.names[message]}")

    def changed_name(self, view: str) -> str:
        return self.unit.name(f"changed_{tag(ViewType(view))}")

    def keep_name(self, view: str) -> str:
        return self.unit.name(f"keep_{tag(ViewType(view))}")

    def declarations(self) -> list[c.Decl]:
        """Prototypes, then bodies: views may contain each other."""
        made: list[c.Function] = []
        reached = self.views.reached()
        for (view, message), bound in reached.items():
            made.append(self._fill(view, message, bound))
            if self.changes(view):
                made.append(self._drain(view, message, bound))
        for view in dict.fromkeys(view for view, _ in reached):
            made.append(self._keep(view))
            if self.changes(view):
                made.append(self._changed(view))
        return [*(c.Function(f.name, f.returns, f.params, None, f.prefix) for f in made), *made]

    def changes(self, view: str, seen: tuple[str, ...] = ()) -> bool:
        """Whether a field of the view, or of a sub-message's view, is assigned."""
        if self.views.element.needs.written(view):
            return True
        inner = (self._inner(view, name) for name in self.views.used(view))
        return any(self.changes(i, (*seen, view)) for i in inner if i and i not in seen and i != view)

    def _type(self, view: str, name: str) -> Type:
        member = self.views.element.program.view(view).member(name)
        assert member is not None
        return member.type

    def _inner(self, view: str, name: str) -> str:
        """The view class of a sub-message field."""
        t = self._type(view, name)
        t = t.item if isinstance(t, OptionType) else t
        return t.name if isinstance(t, ViewType) else ""

    def _used(self, bound: BoundView) -> Iterator[tuple[BoundMember, Slot]]:
        slots = self.scanners.plans[bound.message].by_name
        for name in self.views.used(bound.view):
            member = bound.member(name)
            yield member, slots[member.field.name]

    # ------------------------------------------------------------ filling

    def _fill(self, view: str, message: str, bound: BoundView) -> c.Function:
        plan = self.scanners.plans[message]
        body = [s for member, slot in self._used(bound) for s in self._fill_member(view, plan, member, slot)]
        params = (
            c.Var("v", c.Pointer(self.struct(view))),
            c.Var("m", c.Pointer(c.StructType(self.scanners.names[message], True))),
            c.Var("arena", c.pointer("ts_arena")),
        )
        return c.Function(
            self.fill_name(view, message), c.VOID, params, c.Block(_voided(params, body)), "TS_INLINE"
        )

    def _fill_member(self, view: str, plan: Plan, member: BoundMember, slot: Slot) -> list[c.Stmt]:
        t, place = member.member.type, self.member(view, member.member.name)
        held, has = c.arrow(M, value_name(slot)), present(plan, M).has(slot)
        match t:
            case SeqType(item=item):
                return [c.Block(tuple(self._fill_items(plan, slot, item, place, held, member.view)))]
            case DictType():
                return [c.Block(tuple(self._fill_pairs(slot, t, place, held, member.view)))]
            case ViewType() | OptionType(item=ViewType()):
                return self._fill_inner(plan, slot, member, place, has)
            case OptionType(item=item):
                return [
                    c.assign(c.Member(place, "some"), has),
                    c.assign(c.Member(place, "value"), self._as(item, held)),
                ]
            case _ if slot.field.presence is Presence.EXPLICIT:
                default = literal(slot.field, default_of(slot.field))
                return [c.assign(place, c.Ternary(has, self._as(t, held), default))]
            case _:
                return [c.assign(place, self._as(t, held))]

    def _as(self, t: Type, value: c.Expr) -> c.Expr:
        wanted = value_type(self.unit, t)
        return c.Cast(wanted, value) if wanted in (c.I64, c.U64) else value

    def _fill_inner(
        self, plan: Plan, slot: Slot, member: BoundMember, place: c.Expr, has: c.Expr
    ) -> list[c.Stmt]:
        option = isinstance(member.member.type, OptionType)
        at = c.Member(place, "value") if option else place
        made = c.assign(at, c.call("ts_take_zeroed", ARENA, c.SizeOf(self.struct(member.view))))
        fill = self.fill_name(member.view, slot.inner)
        filled = c.Do(c.call(fill, at, self.scanners.inner(plan, slot), ARENA))
        if option:
            return [c.assign(c.Member(place, "some"), has), c.If(has, c.Block((made, filled)))]
        empty = c.Do(c.call(fill, at, c.address(c.name(empty_name(self.scanners, slot.inner))), ARENA))
        return [made, c.If(has, c.Block((filled,)), c.Block((empty,)))]

    def _fill_items(
        self, plan: Plan, slot: Slot, item: Type, place: c.Expr, held: c.Expr, view: str
    ) -> Iterator[c.Stmt]:
        items, count, i = c.Member(place, "items"), c.Member(place, "count"), c.name("i")
        f = slot.field
        if f.kind in FREE_SPACE:
            yield c.assign(items, c.Member(held, "items"))
            yield c.assign(count, c.Member(held, "count"))
            return
        yield c.assign(count, c.Cast(c.U32, c.Member(held, "length")))
        yield c.assign(items, _taken(count, value_type(self.unit, item)))
        if f.kind.nested:
            body = self._whole(view, slot.inner, c.Index(c.Member(held, "items"), i), c.Index(items, i))
            yield _counted(count, c.TRUE, body)
            return
        numbers, known = self.scanners.closed(plan, slot)
        yield c.Var("each", c.StructType("ts_numbers"), c.call("ts_numbers", c.address(held)))
        yield c.Var("raw", c.U64, c.ZERO)
        each, raw = c.address(c.name("each")), c.address(c.name("raw"))
        if numbers == c.NULL:
            following = c.call("ts_next_number", each, wire_name(f.kind), raw)
        else:
            following = c.call("ts_next_named", each, wire_name(f.kind), numbers, known, raw)
        yield _counted(
            count, following, [c.assign(c.Index(items, i), self._as(item, widened(f.kind, c.name("raw"))))]
        )

    def _whole(self, view: str, message: str, content: c.Expr, target: c.Expr) -> list[c.Stmt]:
        """Walk one item or map value, and fill a view of it."""
        struct = self.scanners.struct(message)
        one = c.name("one")
        return [
            c.Var("one", c.Pointer(struct), c.call("ts_take_zeroed", ARENA, c.SizeOf(struct))),
            c.Var("w", c.StructType("ts_cursor"), c.call("ts_cursor", content, ARENA)),
            c.Do(c.call(f"scan_{self.scanners.names[message]}", one, c.address(c.name("w")))),
            c.assign(target, c.call("ts_take_zeroed", ARENA, c.SizeOf(self.struct(view)))),
            c.Do(c.call(self.fill_name(view, message), target, one, ARENA)),
        ]

    def _fill_pairs(
        self, slot: Slot, t: DictType, place: c.Expr, held: c.Expr, view: str
    ) -> Iterator[c.Stmt]:
        assert slot.key is not None and slot.value is not None
        items, count, i = c.Member(place, "items"), c.Member(place, "count"), c.name("i")
        pair = c.StructType(f"{self.unit.name(tag(t))}_pair")
        entry = c.Index(c.Member(held, "items"), i)
        target = c.Index(items, i)
        yield c.assign(c.Member(place, "map"), c.address(held))
        yield c.assign(count, c.Member(held, "count"))
        yield c.assign(items, _taken(count, pair))
        body: list[c.Stmt] = [
            c.assign(c.dot(target, "key"), self._datum(t.key, slot.key, c.dot(entry, "key")))
        ]
        value = c.dot(entry, "value")
        if slot.inner:
            body += self._whole(view, slot.inner, c.dot(value, "content"), c.dot(target, "value"))
        else:
            body.append(c.assign(c.dot(target, "value"), self._datum(t.value, slot.value, value)))
        yield _counted(count, c.TRUE, body)

    def _datum(self, t: Type, f: ProtoField, datum: c.Expr) -> c.Expr:
        number = c.dot(datum, "number")
        match f.kind:
            case Kind.STRING | Kind.BYTES:
                return c.dot(datum, "content")
            case Kind.FLOAT:
                return c.call("ts_float", number)
            case Kind.DOUBLE:
                return c.call("ts_double", number)
            case Kind.BOOL:
                return c.Binary("!=", number, c.ZERO)
            case _:
                return self._as(t, number)

    # ------------------------------------------------------------ carrying back

    def _changed(self, view: str) -> c.Function:
        found: c.Expr = c.Binary("!=", c.arrow(V, DIRTY), c.ZERO)
        for name in self.views.used(view):
            inner = self._inner(view, name)
            if inner and self.changes(inner):
                found = c.Binary("||", found, self._inner_changed(view, name, inner))
        params = (c.Var("v", c.Pointer(c.StructType(self.struct(view).tag, True))),)
        return c.Function(self.changed_name(view), c.BOOL, params, c.Block((c.Return(found),)), "TS_INLINE")

    def _inner_changed(self, view: str, name: str, inner: str) -> c.Expr:
        place = self.member(view, name)
        if not isinstance(self._type(view, name), OptionType):
            return c.call(self.changed_name(inner), place)
        return c.Binary(
            "&&", c.Member(place, "some"), c.call(self.changed_name(inner), c.Member(place, "value"))
        )

    def _drain(self, view: str, message: str, bound: BoundView) -> c.Function:
        plan = self.scanners.plans[message]
        written = self.views.element.needs.written(view)
        body: list[c.Stmt] = []
        for member, slot in self._used(bound):
            name = member.member.name
            inner = self._inner(view, name)
            if inner and self.changes(inner):
                body += self._drain_inner(view, plan, member, slot, inner)
            elif name in written:
                dirty = c.Binary("&", c.arrow(V, DIRTY), self.views._bit(view, name))
                body.append(c.If(dirty, c.Block(tuple(self._drain_member(view, plan, member, slot)))))
        params = (
            c.Var("v", c.Pointer(c.StructType(self.struct(view).tag, True))),
            c.Var("m", c.Pointer(self.scanners.struct(message))),
            c.Var("arena", c.pointer("ts_arena")),
        )
        return c.Function(
            self.drain_name(view, message), c.VOID, params, c.Block(_voided(params, body)), "TS_INLINE"
        )

    def _drain_member(self, view: str, plan: Plan, member: BoundMember, slot: Slot) -> Iterator[c.Stmt]:
        place, held = self.member(view, member.member.name), c.arrow(M, value_name(slot))
        yield from assigned(plan, M).add(slot)
        if isinstance(member.member.type, OptionType):
            given = tuple(_given(plan, slot, c.assign(held, c.Member(place, "value"))))
            taken_out = tuple(present(plan, M).remove(slot))
            yield c.If(c.Member(place, "some"), c.Block(given), c.Block(taken_out))
        else:
            yield from _given(plan, slot, c.assign(held, place))

    def _drain_inner(
        self, view: str, plan: Plan, member: BoundMember, slot: Slot, inner: str
    ) -> Iterator[c.Stmt]:
        place = self.member(view, member.member.name)
        option = isinstance(member.member.type, OptionType)
        source = c.Member(place, "value") if option else place
        body: list[c.Stmt] = []
        if not option:  # an absent sub-message comes into being
            body.append(c.If(present(plan, M).lacks(slot), c.Block(tuple(self._appear(plan, slot)))))
        body.append(
            c.Do(c.call(self.drain_name(inner, slot.inner), source, self.scanners.inner(plan, slot), ARENA))
        )
        yield c.If(self._inner_changed(view, member.member.name, inner), c.Block(tuple(body)))

    def _appear(self, plan: Plan, slot: Slot) -> Iterator[c.Stmt]:
        struct, held = self.scanners.struct(slot.inner), c.arrow(M, value_name(slot))
        if self.scanners.boxed(plan, slot):
            yield c.assign(held, c.call("ts_take_zeroed", ARENA, c.SizeOf(struct)))
        else:
            yield c.assign(held, c.Compound(struct, c.braces(c.ZERO)))
        yield c.assign(c.arrow(M, pieces_name(slot)), c.Compound(c.StructType("ts_pieces"), c.braces(c.NULL)))
        yield from present(plan, M).add(slot)
        yield from assigned(plan, M).add(slot)

    # ------------------------------------------------------------ keeping

    def _keep(self, view: str) -> c.Function:
        """A function that copies a view into memory of the RPC's own."""
        struct = self.struct(view)
        params = (
            c.Var("from", c.Pointer(c.StructType(struct.tag, True))),
            c.Var("arena", c.pointer("ts_arena")),
        )
        body: list[c.Stmt] = [
            c.Var("v", c.Pointer(struct), c.call("ts_take", ARENA, c.SizeOf(struct))),
            c.assign(c.deref(V), c.deref(c.name("from"))),
        ]
        for name in self._read_later(view):
            body += self._keep_value(self._type(view, name), self.member(view, name))
        body.append(c.Return(V))
        return c.Function(self.keep_name(view), c.Pointer(struct), params, c.Block(tuple(body)), "TS_INLINE")

    def _read_later(self, view: str) -> list[str]:
        """What hooks read of a message that has passed; the rest of a kept view is never looked at."""
        needs = self.views.element.needs
        request = needs.fields(view, ("response", "finish"), "msg")
        reply = needs.fields(view, ("finish",), "reply")
        return [name for name in self.views.used(view) if name in (*request, *reply)]

    def _keep_value(self, t: Type, place: c.Expr) -> list[c.Stmt]:
        match t:
            case TextType() | BytesType():
                return [c.assign(place, c.call("ts_kept", ARENA, place))]
            case ViewType(name=name):
                return [c.assign(place, c.call(self.keep_name(name), place, ARENA))]
            case OptionType(item=item):
                inside = self._keep_value(item, c.Member(place, "value"))
                return [c.If(c.Member(place, "some"), c.Block(tuple(inside)))] if inside else []
            case SeqType(item=item):
                inside = self._keep_value(item, c.Index(c.Member(place, "items"), c.name("i")))
                return self._keep_array(place, value_type(self.unit, item), inside)
            case DictType(key=key, value=value):
                one = c.Index(c.Member(place, "items"), c.name("i"))
                inside = [
                    *self._keep_value(key, c.dot(one, "key")),
                    *self._keep_value(value, c.dot(one, "value")),
                ]
                pair = c.StructType(f"{self.unit.name(tag(t))}_pair")
                index = c.assign(c.Member(place, "map"), c.call("ts_map_kept", ARENA, c.Member(place, "map")))
                return [*self._keep_array(place, pair, inside), index]
            case _:
                return []

    def _keep_array(self, place: c.Expr, item: c.CType, inside: list[c.Stmt]) -> list[c.Stmt]:
        items, count = c.Member(place, "items"), c.Member(place, "count")
        size = c.Binary("*", count, c.SizeOf(item))
        copied = c.assign(items, c.call("ts_copied", ARENA, items, size))
        return [copied, *([_counted(count, c.TRUE, inside)] if inside else [])]


def _given(plan: Plan, slot: Slot, put: c.Stmt) -> Iterator[c.Stmt]:
    """The field gets a value, and the other members of its oneof become absent."""
    yield from present(plan, M).remove(*plan.rivals(slot))
    yield from present(plan, M).add(slot)
    yield put


def _taken(count: c.Expr, item: c.CType) -> c.Expr:
    return c.call("ts_take", ARENA, c.Binary("*", count, c.SizeOf(item)))


def _counted(count: c.Expr, further: c.Expr, body: list[c.Stmt]) -> c.Stmt:
    i = c.name("i")
    more: c.Expr = c.Binary("<", i, count)
    cond = more if further == c.TRUE else c.Binary("&&", more, further)
    return c.For(c.Var("i", c.U32, c.ZERO), cond, c.Postfix("++", i), c.Block(tuple(body)))


def _voided(params: Sequence[c.Var], body: list[c.Stmt]) -> tuple[c.Stmt, ...]:
    """The body, after a `(void)x;` for each parameter that it does not use."""
    read = {n.name for s in body for n in c.walk(s) if isinstance(n, c.Name)}
    return (*(c.Do(c.Cast(c.VOID, c.name(p.name))) for p in params if p.name not in read), *body)


def empty_name(scanners: Scanners, message: str) -> str:
    """The name of a message in which nothing is present."""
    return f"empty_{scanners.names[message]}"


def empties(scanners: Scanners) -> list[c.Decl]:
    names = scanners.names
    return [
        c.Macro("TS_NOTHING", (c.name(names[m]), c.name(empty_name(scanners, m)))) for m in scanners.plans
    ]
