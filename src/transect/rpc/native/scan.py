# SPDX-License-Identifier: Apache-2.0
"""The scanner of a chain as C: for each plan a struct, one walk that fills it, and one that writes the message back.

The same as `scanner.py` and `rewriter.py`, byte for byte; `runtime/scan.h` has what does not depend on the message.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from transect.emit.c import tree as c
from transect.emit.c.expressions import real
from transect.rpc.messages.plan import Plan, Plans, Slot
from transect.rpc.messages.wire import Kind, Presence, ProtoField, Wire
from transect.rpc.native.slot_set import SlotSet, assigned, present

INLINE = "TS_INLINE"
CURSOR = c.pointer("ts_cursor")
PIECES = c.StructType("ts_pieces")
MAP = c.StructType("ts_map")
FREE_SPACE = frozenset({Kind.STRING, Kind.BYTES})
M = c.name("m")


def tag(value: int) -> c.Expr:
    return c.Integer(value, "u")


def wire_name(kind: Kind) -> c.Expr:
    return c.name(
        {Wire.VARINT: "TS_VARINT", Wire.FIXED64: "TS_FIXED64", Wire.FIXED32: "TS_FIXED32"}[kind.wire]
    )


def widened(kind: Kind, raw: c.Expr) -> c.Expr:
    """A field's value, from its raw content on the wire."""
    match kind:
        case Kind.BOOL:
            return c.Binary("!=", raw, c.ZERO)
        case Kind.INT64 | Kind.SFIXED64:
            return c.call("ts_signed64", raw)
        case Kind.UINT64 | Kind.FIXED64:
            return raw
        case Kind.UINT32 | Kind.FIXED32:
            return c.call("ts_unsigned32", raw)
        case Kind.SINT32:
            return c.call("ts_zigzag32", raw)
        case Kind.SINT64:
            return c.call("ts_zigzag", raw)
        case Kind.DOUBLE:
            return c.call("ts_double", raw)
        case Kind.FLOAT:
            return c.call("ts_float", raw)
        case _:
            return c.call("ts_signed32", raw)


def raw_of(kind: Kind, value: c.Expr) -> c.Expr:
    """The raw content on the wire for a value."""
    match kind:
        case Kind.BOOL:
            return value
        case Kind.SINT32 | Kind.SINT64:
            return c.call("ts_raw_zigzag", value)
        case Kind.DOUBLE:
            return c.call("ts_raw_double", value)
        case Kind.FLOAT:
            return c.call("ts_raw_float", value)
        case _:
            return c.Cast(c.U64, value)


def plain_type(kind: Kind) -> c.CType:
    """The C type that holds a value."""
    match kind:
        case Kind.STRING | Kind.BYTES:
            return c.SLICE
        case Kind.BOOL:
            return c.BOOL
        case Kind.DOUBLE | Kind.FLOAT:
            return c.DOUBLE
        case Kind.UINT64 | Kind.FIXED64:
            return c.U64
        case _:
            return c.I64


def literal(f: ProtoField, value: object) -> c.Expr:
    """A default of a field."""
    match value:
        case bool():
            return c.TRUE if value else c.FALSE
        case float():
            return real(value)
        case int() if value < 0:
            return c.name("INT64_MIN") if value == -(1 << 63) else c.Unary("-", c.Integer(-value, "ll"))
        case int():
            return c.Integer(value, "ull" if plain_type(f.kind) == c.U64 else "ll")
        case str() | bytes():
            data = value.encode() if isinstance(value, str) else value
            return c.call("TS_TEXT", c.String(data)) if data else c.name("TS_EMPTY")
        case _:
            raise AssertionError(f"{f.name} has no default {value!r}")


@dataclass(frozen=True)
class Scanners:
    """Declarations for all plans of a chain."""

    plans: Plans

    @cached_property
    def names(self) -> dict[str, str]:
        """C names by message."""
        return {name: f"m{i}_{name.rpartition('.')[2]}" for i, name in enumerate(self.plans)}

    def struct(self, message: str) -> c.StructType:
        return c.StructType(self.names[message])

    def boxed(self, plan: Plan, slot: Slot) -> bool:
        """Whether a sub-message needs memory of its own, because it can contain its owner."""
        seen, waiting = set[str](), [slot.inner]
        while waiting:
            name = waiting.pop()
            if name == plan.message:
                return True
            if name not in seen:
                seen.add(name)
                waiting += [s.inner for s in self.plans[name].visible if s.nested]
        return False

    def inner(self, plan: Plan, slot: Slot, m: str = "m") -> c.Expr:
        """A pointer to a sub-message."""
        held = c.arrow(m, value_name(slot))
        return held if self.boxed(plan, slot) else c.address(held)

    def declarations(self) -> Iterator[c.Decl]:
        for plan in self._inside_out():
            yield from self._closed(plan)
            yield self._struct(plan)
        for plan in self.plans.values():
            yield from (self._scan(plan, None), self._check(plan, None))
            if plan.changes:
                yield from (self._changed(plan, None), self._rewrite(plan, None))
        for plan in self.plans.values():
            yield from self._shapes(plan)
            yield self._scan(plan, self._scan_body(plan))
            yield self._check(plan, self._check_body(plan))
            if plan.changes:
                yield self._changed(plan, self._changed_body(plan))
                yield self._rewrite(plan, self._rewrite_body(plan))

    def _inside_out(self) -> list[Plan]:
        """The plans, each after those whose structs its own struct holds."""
        done: dict[str, Plan] = {}

        def add(plan: Plan) -> None:
            if plan.message not in done:
                for slot in plan.visible:
                    if slot.nested and not self.boxed(plan, slot):
                        add(self.plans[slot.inner])
                done[plan.message] = plan

        for plan in self.plans.values():
            add(plan)
        return list(done.values())

    # ------------------------------------------------------------ structs

    def _struct(self, plan: Plan) -> c.Struct:
        members: list[c.Var | c.Comment] = [
            c.Comment(plan.message),
            *present(plan, M).declared(),
            *assigned(plan, M).declared(),
        ]
        for slot in plan.visible:
            members.append(c.Var(value_name(slot), self._held(plan, slot)))
            if slot.entered:
                members.append(c.Var(pieces_name(slot), PIECES))
        return c.Struct(self.names[plan.message], tuple(members))

    def _held(self, plan: Plan, slot: Slot) -> c.CType:
        match slot.field.presence:
            case Presence.REPEATED:
                return PIECES
            case Presence.MAP:
                return MAP
            case _ if slot.nested:
                struct = self.struct(slot.inner)
                return c.Pointer(struct) if self.boxed(plan, slot) else struct
            case _:
                return plain_type(slot.field.kind)

    def closed_name(self, plan: Plan, slot: Slot) -> str:
        return f"numbers_{self.names[plan.message]}_{slot.field.name}"

    def closed(self, plan: Plan, slot: Slot) -> tuple[c.Expr, c.Expr]:
        """The numbers that a closed enum names, and how many; NULL and 0 for all else."""
        f = slot.value if slot.value is not None else slot.field
        if f.enum is None or not f.enum.closed:
            return c.NULL, c.ZERO
        return c.name(self.closed_name(plan, slot)), c.Integer(len(f.enum.members), "u")

    def _closed(self, plan: Plan) -> Iterator[c.Decl]:
        for slot in plan.slots:
            f = slot.value if slot.value is not None else slot.field
            if f.enum is not None and f.enum.closed:
                numbers = tuple((None, literal(f, number)) for _, number in f.enum.members)
                yield c.Var(
                    self.closed_name(plan, slot),
                    c.ArrayOf(c.Named("int32_t", True), None),
                    c.Braces(numbers),
                    static=True,
                )

    def shape_name(self, plan: Plan, slot: Slot) -> str:
        return f"entries_{self.names[plan.message]}_{slot.field.name}"

    def _shapes(self, plan: Plan) -> Iterator[c.Decl]:
        for slot in plan.visible:
            if slot.key is not None and slot.value is not None:
                numbers, count = self.closed(plan, slot)
                check = c.name(f"check_{self.names[slot.inner]}") if slot.inner else c.NULL
                init = c.braces(kind_name(slot.key.kind), kind_name(slot.value.kind), numbers, count, check)
                yield c.Var(
                    self.shape_name(plan, slot), c.StructType("ts_entry_shape", True), init, static=True
                )

    # ------------------------------------------------------------ scanning

    def _scan(self, plan: Plan, body: c.Block | None) -> c.Function:
        params = (c.Var("m", c.Pointer(self.struct(plan.message))), c.Var("from", CURSOR))
        return c.Function(f"scan_{self.names[plan.message]}", c.BOOL, params, body, INLINE)

    def _scan_body(self, plan: Plan) -> c.Block:
        arms = [arm for slot in plan.slots for arm in self._arms(plan, slot)]
        arms.append(c.Arm(None, (c.Do(c.call("ts_skip", c.name("c"))), c.Break())))
        walk = c.While(c.call("ts_next", c.name("c")), c.Block((c.Switch(c.arrow("c", "tag"), tuple(arms)),)))
        unused = () if plan.slots else (c.Do(c.Cast(c.VOID, c.name("m"))),)
        # A local cursor, which nothing in the message can alias, stays in registers.
        own = (
            c.Var("at", c.StructType("ts_cursor"), c.deref(c.name("from"))),
            c.Var("c", CURSOR, c.address(c.name("at"))),
        )
        done = (
            c.assign(c.deref(c.name("from")), c.name("at")),
            c.Return(c.negated(c.dot(c.name("at"), "malformed"))),
        )
        return c.Block((*unused, *own, walk, *done))

    def _arms(self, plan: Plan, slot: Slot) -> Iterator[c.Arm]:
        f = slot.field
        if f.presence is Presence.REPEATED and f.kind.packable:
            yield c.Arm(tag(f.packed_tag), ())
        yield c.Arm(tag(f.tag), (c.Block((*self._take(plan, slot), c.Break())),))

    def _take(self, plan: Plan, slot: Slot) -> Iterator[c.Stmt]:
        f, cursor = slot.field, c.name("c")
        held = c.arrow("m", value_name(slot))
        if slot.hidden:
            yield from self._hidden(plan, slot)
        elif f.presence is Presence.MAP:
            yield c.Do(
                c.call(
                    "ts_take_entry", cursor, c.address(held), c.address(c.name(self.shape_name(plan, slot)))
                )
            )
        elif f.presence is Presence.REPEATED and f.kind.nested:
            yield from self._take_item(plan, slot)
        elif f.presence is Presence.REPEATED and f.kind in FREE_SPACE:
            text = c.TRUE if f.kind is Kind.STRING else c.FALSE
            yield c.Do(c.call("ts_take_sized", cursor, c.address(held), text))
        elif f.presence is Presence.REPEATED:
            yield c.Do(
                c.call(
                    "ts_take_numbers", cursor, c.address(held), wire_name(f.kind), *self.closed(plan, slot)
                )
            )
        elif slot.nested:
            yield from self._take_nested(plan, slot)
        elif f.kind in FREE_SPACE:
            taken = c.call("ts_text" if f.kind is Kind.STRING else "ts_sized", cursor, c.address(held))
            yield from (c.Do(taken), *self._arrived(plan, slot))
        else:
            yield c.Var("raw", c.U64)
            value = c.assign(held, widened(f.kind, c.name("raw")))
            yield c.If(self._raw(plan, slot), c.Block((value, *self._arrived(plan, slot))))

    def _raw(self, plan: Plan, slot: Slot) -> c.Expr:
        """An expression that takes a number into `raw`, and is true when the number counts."""
        reader = {Wire.VARINT: "ts_varint", Wire.FIXED64: "ts_fixed64", Wire.FIXED32: "ts_fixed32"}[
            slot.field.kind.wire
        ]
        taken = c.call(reader, c.name("c"), c.address(c.name("raw")))
        numbers, count = self.closed(plan, slot)
        return (
            taken
            if numbers == c.NULL
            else c.Binary("&&", taken, c.call("ts_named", c.name("raw"), numbers, count))
        )

    def _arrived(self, plan: Plan, slot: Slot) -> Iterator[c.Stmt]:
        """The field is now present, and the other members of its oneof are absent."""
        yield from present(plan, M).remove(*plan.rivals(slot))
        if not slot.hidden and slot.field.presence is Presence.EXPLICIT:
            yield from present(plan, M).add(slot)

    def _hidden(self, plan: Plan, slot: Slot) -> Iterator[c.Stmt]:
        if slot.field.enum is not None and slot.field.enum.closed:
            yield c.Var("raw", c.U64)
            yield c.If(self._raw(plan, slot), c.Block(tuple(self._arrived(plan, slot))))
        else:
            yield c.Do(c.call("ts_skip", c.name("c")))
            yield from self._arrived(plan, slot)

    def _take_nested(self, plan: Plan, slot: Slot) -> Iterator[c.Stmt]:
        inner = c.address(c.name("inner"))
        body: list[c.Stmt] = []
        fresh = self._fresh(plan, slot)
        if fresh:
            body.append(c.If(present(plan, M).lacks(slot), c.Block(fresh)))
        body += self._arrived(plan, slot)
        if slot.entered:
            pieces = c.address(c.arrow("m", pieces_name(slot)))
            body.append(c.Do(c.call("ts_add_piece", c.arrow("c", "arena"), pieces, c.name("content"))))
        body.append(c.Do(c.call(f"scan_{self.names[slot.inner]}", self.inner(plan, slot), inner)))
        yield from self._entering(slot, body)

    def _entering(self, slot: Slot, body: list[c.Stmt]) -> Iterator[c.Stmt]:
        cursor, content, inner = c.name("c"), c.address(c.name("content")), c.address(c.name("inner"))
        yield c.Var("content", c.SLICE)
        yield c.Var("inner", c.StructType("ts_cursor"))
        reader = "ts_group" if slot.field.kind is Kind.GROUP else "ts_sized"
        entered = c.Binary(
            "&&", c.call(reader, cursor, content), c.call("ts_enter", cursor, c.name("content"), inner)
        )
        yield c.If(entered, c.Block((*body, c.Do(c.call("ts_leave", cursor, inner)))))

    def _fresh(self, plan: Plan, slot: Slot) -> tuple[c.Stmt, ...]:
        """Begin a sub-message anew: its first occurrence, or the first after another member of its oneof."""
        struct = self.struct(slot.inner)
        held = c.arrow("m", value_name(slot))
        if self.boxed(plan, slot):
            begun = c.assign(held, c.call("ts_take_zeroed", c.arrow("c", "arena"), c.SizeOf(struct)))
        elif slot.field.oneof:
            begun = c.assign(held, c.Compound(struct, c.braces(c.ZERO)))
        else:
            return ()
        none = c.assign(c.arrow("m", pieces_name(slot)), c.Compound(PIECES, c.braces(c.NULL)))
        return (begun, none) if slot.entered else (begun,)

    def _take_item(self, plan: Plan, slot: Slot) -> Iterator[c.Stmt]:
        held = c.arrow("m", value_name(slot))
        added = c.call("ts_add_piece", c.arrow("c", "arena"), c.address(held), c.name("content"))
        checked = c.call(f"check_{self.names[slot.inner]}", c.address(c.name("inner")))
        counted = c.Do(c.Postfix("++", c.Member(held, "length")))
        yield from self._entering(slot, [c.Do(checked), c.Do(added), counted])

    def _check(self, plan: Plan, body: c.Block | None) -> c.Function:
        return c.Function(f"check_{self.names[plan.message]}", c.VOID, (c.Var("c", CURSOR),), body, INLINE)

    def _check_body(self, plan: Plan) -> c.Block:
        struct = self.struct(plan.message)
        scanned = c.call(f"scan_{self.names[plan.message]}", c.address(c.name("passing")), c.name("c"))
        return c.Block((c.Var("passing", struct, c.braces(c.ZERO)), c.Do(scanned)))

    # ------------------------------------------------------------ writing back

    def _changed(self, plan: Plan, body: c.Block | None) -> c.Function:
        params = (c.Var("m", c.Pointer(c.StructType(self.names[plan.message], True))),)
        return c.Function(f"changed_{self.names[plan.message]}", c.BOOL, params, body, INLINE)

    def _changed_body(self, plan: Plan) -> c.Block:
        found = assigned(plan, M).filled()
        for slot in plan.visible:
            if slot.entered:
                found = c.Binary("||", found, self._inner_changed(plan, slot))
        return c.Block((c.Return(found),))

    def _inner_changed(self, plan: Plan, slot: Slot) -> c.Expr:
        inner = c.call(f"changed_{self.names[slot.inner]}", self.inner(plan, slot))
        return c.Binary("&&", present(plan, M).meets((slot,)), inner)

    def _rewrite(self, plan: Plan, body: c.Block | None) -> c.Function:
        params = (
            c.Var("m", c.Pointer(c.StructType(self.names[plan.message], True))),
            c.Var("pieces", c.pointer("ts_pieces", True)),
            c.Var("out", c.pointer("ts_buffer")),
        )
        return c.Function(f"rewrite_{self.names[plan.message]}", c.VOID, params, body, INLINE)

    def _rewrite_body(self, plan: Plan) -> c.Block:
        gone = left_out(plan)
        body: list[c.Stmt] = [*gone.declared(assigned(plan, M))]
        for slot in plan.visible:
            if slot.entered:
                body.append(c.If(self._inner_changed(plan, slot), c.Block(tuple(gone.add(slot)))))
        for group in oneofs(plan):
            body.append(c.If(gone.meets(group), c.Block(tuple(gone.add(*group)))))
        body.append(self._copy(plan))
        body += [self._append(plan, slot) for slot in plan.visible if may_go(plan, slot)]
        return c.Block(tuple(body))

    def _copy(self, plan: Plan) -> c.Stmt:
        """Copy every piece, field by field, without the fields that are left out."""
        cursor, start, out = c.name("c"), c.name("start"), c.name("out")
        arms = [arm for slot in plan.slots if may_go(plan, slot) for arm in self._copy_arms(plan, slot)]
        passed = c.Do(c.call("ts_pass", out, c.address(cursor), start))
        arms.append(c.Arm(None, (passed, c.Break())))
        each = c.For(
            c.Var("start", c.Pointer(c.Named("uint8_t", True)), c.dot(cursor, "at")),
            c.call("ts_next", c.address(cursor)),
            c.Assign("=", start, c.dot(cursor, "at")),
            c.Block((c.Switch(c.dot(cursor, "tag"), tuple(arms)),)),
        )
        piece = c.Index(c.arrow("pieces", "items"), c.name("i"))
        opened = c.Var("c", c.StructType("ts_cursor"), c.call("ts_cursor", piece, c.arrow("out", "arena")))
        return c.For(
            c.Var("i", c.U32, c.ZERO),
            c.Binary("<", c.name("i"), c.arrow("pieces", "count")),
            c.Postfix("++", c.name("i")),
            c.Block((opened, each)),
        )

    def _copy_arms(self, plan: Plan, slot: Slot) -> Iterator[c.Arm]:
        cursor, out, start = c.address(c.name("c")), c.name("out"), c.name("start")
        numbers, count = self.closed(plan, slot)
        dropped = (
            c.call("ts_skip", cursor)
            if numbers == c.NULL
            else c.call("ts_pass_unnamed", out, cursor, start, numbers, count)
        )
        own = plan.rivals(slot) if slot.hidden else (slot,)
        passed = c.Block((c.Do(c.call("ts_pass", out, cursor, start)),))
        yield c.Arm(
            tag(slot.field.tag),
            (c.If(left_out(plan).meets(own), c.Block((c.Do(dropped),)), passed), c.Break()),
        )

    def _append(self, plan: Plan, slot: Slot) -> c.Stmt:
        f, held = slot.field, c.arrow("m", value_name(slot))
        if f.presence is Presence.IMPLICIT:
            wanted = self._not_zero(f, held)
        else:
            wanted = present(plan, M).has(slot)
        cond = c.Binary("&&", left_out(plan).has(slot), wanted)
        return c.If(cond, c.Block(tuple(self._put(plan, slot, held))))

    def _not_zero(self, f: ProtoField, held: c.Expr) -> c.Expr:
        if f.kind in FREE_SPACE:
            return c.Binary(">", c.Member(held, "size"), c.ZERO)
        return c.Binary("!=", raw_of(f.kind, held), c.ZERO)

    def _put(self, plan: Plan, slot: Slot, held: c.Expr) -> Iterator[c.Stmt]:
        f, out = slot.field, c.name("out")
        if f.kind in FREE_SPACE:
            yield c.Do(c.call("ts_put_slice", out, tag(f.tag), held))
        elif not f.kind.nested:
            yield c.Do(c.call("ts_put_number", out, tag(f.tag), raw_of(f.kind, held)))
        elif not slot.entered:
            return  # such a field is only ever removed
        else:
            inner, pieces = c.name("inner"), c.address(c.arrow("m", pieces_name(slot)))
            yield c.Var("inner", c.StructType("ts_buffer"), c.call("ts_buffer", c.arrow("out", "arena")))
            yield c.Do(
                c.call(f"rewrite_{self.names[slot.inner]}", self.inner(plan, slot), pieces, c.address(inner))
            )
            yield c.Do(c.call("ts_put_slice", out, tag(f.tag), c.call("ts_written", c.address(inner))))


def left_out(plan: Plan) -> SlotSet:
    """Slots whose occurrences are not copied, while a message is written back."""
    return SlotSet(plan, "gone")


def value_name(slot: Slot) -> str:
    return f"v_{slot.field.name}"


def pieces_name(slot: Slot) -> str:
    return f"p_{slot.field.name}"


def kind_name(kind: Kind) -> c.Expr:
    return c.name(f"TS_KIND_{kind.upper()}")


def oneofs(plan: Plan) -> list[tuple[Slot, ...]]:
    """The visible members of each oneof in which something may change."""
    names = dict.fromkeys(s.field.oneof for s in plan.visible if s.field.oneof and (s.written or s.entered))
    return [tuple(s for s in plan.visible if s.field.oneof == name) for name in names]


def may_go(plan: Plan, slot: Slot) -> bool:
    """Whether a change can leave out the field's occurrences."""
    if slot.written or slot.entered:
        return True
    return bool(slot.field.oneof) and any(
        s.written or s.entered for s in plan.visible if s.field.oneof == slot.field.oneof
    )
