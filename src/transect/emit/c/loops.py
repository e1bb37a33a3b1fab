# SPDX-License-Identifier: Apache-2.0
"""Loops in C: over ranges, state, and outside data.  What a loop goes over is fixed at its start."""

from __future__ import annotations

from typing import assert_never

from transect.core import ir
from transect.core.ir import Expr, Part
from transect.core.types import ArrayType, DictType, SeqType, SetType, TableKind, TableType, Type
from transect.emit.c import tree as c
from transect.emit.c import waiting
from transect.emit.c.bodies import Body
from transect.emit.c.expressions import CALL, access, is_waiting, state_place, zero_init
from transect.emit.c.forms import has_text
from transect.emit.c.layout import keep, load, stored_type, value_type
from transect.emit.c.tables import Walk

MAX_SAFE = 2**62  # loop counters below it cannot overflow by one step


class Looping(Body):
    """`For` statements."""

    def loop(self, s: ir.For) -> list[c.Stmt]:
        match s.source:
            case ir.OverRange():
                return self.over_range(s, s.source)
            case ir.OverState(field=field, part=part):
                return self.over_state(s, field, part)
            case ir.OverValue(value=value, part=part):
                return self.over_value(s, value, part)
            case _:
                assert_never(s.source)

    def targets(self, s: ir.For, items: list[c.Expr]) -> list[c.Stmt]:
        """The targets of a round take its items."""
        return [self.assigned(n, item, s) for n, item in zip(s.targets, items, strict=True)]

    def over_range(self, s: ir.For, source: ir.OverRange) -> list[c.Stmt]:
        """Start and stop are evaluated once; the body may do with the target what it likes."""
        start, stop, step = self.expr(source.start), self.expr(source.stop), source.step
        before: list[c.Stmt] = []
        if not isinstance(source.stop, ir.Const):
            before, stop = self.named("stop", source.stop.type, stop)
        first = source.start.value if isinstance(source.start, ir.Const) else None
        if isinstance(first, int) and abs(first) + abs(step) * (source.bound + 1) < MAX_SAFE:
            own = self.homes.declares(s.targets[0], s) and not self.homes.rewrites(s)
            at = c.Name(self.names.of(s.targets[0]) if own else self.names.fresh("at"))
            onward = c.Postfix("++", at) if step == 1 else c.Assign("+=", at, _signed(step))
            more = c.Binary("<" if step > 0 else ">", at, stop)
            body = (*(() if own else self.targets(s, [at])), *self.inner(s.body, loop=True))
            return [*before, c.For(c.Var(at.name, c.I64, start), more, onward, c.Block(body))]
        begin, start = self.named("start", source.start.type, start)
        steps, i = c.Name(self.names.fresh("steps")), c.Name(self.names.fresh("i"))
        count = c.Var(steps.name, c.U64, c.call("ts_steps", start, stop, _signed(step)))
        here = c.call("ts_add", start, c.call("ts_mul", c.Cast(c.I64, i), _signed(step)))
        body = (*self.targets(s, [here]), *self.inner(s.body, loop=True))
        loop = c.For(c.Var(i.name, c.U64, c.ZERO), c.Binary("<", i, steps), c.Postfix("++", i), c.Block(body))
        return [*before, *begin, count, loop]

    def over_state(self, s: ir.For, field: str, part: Part) -> list[c.Stmt]:
        t = self.unit.scope.fields[field].type
        changes = field in self.unit.facts.of(s.body).written_fields
        # A text in a target that is used after the loop outlives the entry that it came from.
        changes = changes or any(has_text(self.types[n]) and not self.homes.declares(n, s) for n in s.targets)
        if not changes:
            self.borrowed.update(s.targets)
        match t:
            case ArrayType():
                return self.over_array(s, field, t, part, changes)
            case TableType(kind=TableKind.ORDERED):
                return self.over_ordered(s, field, t, part, changes)
            case TableType():
                return self.over_table(s, field, t, part, changes)
            case _:
                raise AssertionError(f"no loop over {field}")

    def over_array(self, s: ir.For, field: str, t: ArrayType, part: Part, changes: bool) -> list[c.Stmt]:
        """The values are those at the start of the loop."""
        items = state_place(self.unit, field)
        before: list[c.Stmt] = []
        kept = c.Name(self.names.fresh("items"))
        i = c.Name(self.names.fresh("i"))
        if changes and part is not Part.KEYS:
            item = stored_type(self.unit, t.item)
            size = c.Binary("*", c.SizeOf(item), c.Integer(t.length))
            room = c.call("ts_take", c.Unary("&", c.arrow(CALL, "arena")), size)
            before = [c.Var(kept.name, c.Pointer(item), room), c.Do(c.call("memcpy", kept, items, size))]
            items = kept
        value = load(self.unit, t.item, c.Index(items, i))
        picked = _of_part((c.Cast(c.I64, i), value), part)
        body = (*self.targets(s, list(picked)), *self.inner(s.body, loop=True))
        more = c.Binary("<", i, c.Integer(t.length))
        return [*before, c.For(c.Var(i.name, c.U32, c.ZERO), more, c.Postfix("++", i), c.Block(body))]

    def picked(
        self, t: TableType, part: Part, entry: c.Expr, changes: bool, key: c.Expr | None = None
    ) -> list[c.Expr]:
        """What the targets take from an entry: copies, if the body may change it."""
        parts = {
            Part.KEYS: [(t.key, "key")],
            Part.VALUES: [(t.value, "value")],
            Part.ITEMS: [(t.key, "key"), (t.value, "value")],
        }[part]
        found = [
            key
            if key is not None and member == "key"
            else self.kept(kind, load(self.unit, kind, c.arrow(entry, member)), changes)
            for kind, member in parts
        ]
        return found

    def kept(self, t: Type, value: c.Expr, changes: bool) -> c.Expr:
        return keep(self.unit, t, value) if changes and has_text(t) else value

    def skip_zero(self, t: TableType, entry: c.Expr) -> list[c.Stmt]:
        if t.kind is not TableKind.TALLY:
            return []
        zero = c.Binary("==", c.arrow(entry, "value"), c.ZERO)
        return [c.If(zero, c.Block((c.Continue(),)))]

    def over_table(self, s: ir.For, field: str, t: TableType, part: Part, changes: bool) -> list[c.Stmt]:
        table = access(self.unit, field)
        entry = c.Name(self.names.fresh("entry"))
        walk = table.walk(table.table, self.names.fresh("walk"), entry.name)
        first = [*self.skip_zero(t, entry), *self.targets(s, self.picked(t, part, entry, changes))]
        return _for(walk, (*first, *self.inner(s.body, loop=True)))

    def over_ordered(self, s: ir.For, field: str, t: TableType, part: Part, changes: bool) -> list[c.Stmt]:
        table = access(self.unit, field)
        entry, key = c.Name(self.names.fresh("entry")), c.Name(self.names.fresh("key"))
        here = self.kept(t.key, load(self.unit, t.key, c.arrow(entry, "key")), changes)
        # The entry may be gone at the end of the iteration; its key finds the next one.
        holds = c.Var(key.name, value_type(self.unit, t.key), zero_init(t.key))
        first = [c.assign(key, here), *self.targets(s, self.picked(t, part, entry, changes, key))]
        walk = table.ascend(table.table, entry.name, key)
        return [holds, *_for(walk, (*first, *self.inner(s.body, loop=True)))]

    def over_value(self, s: ir.For, value: Expr, part: Part) -> list[c.Stmt]:
        if is_waiting(value):
            return self.over_waiting(s)
        before, held = self.named("among", value.type, self.expr(value))
        match value.type:
            case SetType():
                i = c.Name(self.names.fresh("i"))
                item = c.Index(c.arrow(held, "items"), i)
                body = (*self.targets(s, [item]), *self.inner(s.body, loop=True))
                more = c.Binary("<", i, c.arrow(held, "count"))
                return [
                    *before,
                    c.For(c.Var(i.name, c.U32, c.ZERO), more, c.Postfix("++", i), c.Block(body)),
                ]
            case SeqType() | DictType() as t:
                loop = self.unit.views.loop(self.unit, held, t, self.names.fresh("at"))
                items = loop.items if isinstance(t, SeqType) else _of_part(loop.items, part)
                body = (*loop.first, *self.targets(s, list(items)), *self.inner(s.body, loop=True))
                return [*before, *loop.before, c.For(loop.init, loop.cond, loop.step, c.Block(body))]
            case _:
                raise AssertionError(f"no loop over {value.type}")

    def over_waiting(self, s: ir.For) -> list[c.Stmt]:
        struct = waiting.waiting_struct(self.unit)
        table = c.Unary("&", waiting.waiting())
        walk, entry = c.Name(self.names.fresh("walk")), c.Name(self.names.fresh("entry"))
        step = c.call(f"{struct}_step", table, c.Unary("&", walk))
        head = Walk(
            (
                c.Var(walk.name, c.StructType("ts_walk"), waiting.walk()),
                c.Var(entry.name, c.pointer(f"{struct}_entry")),
            ),
            None,
            c.Binary("!=", c.Assign("=", entry, step), c.NULL),
            None,
        )
        return _for(head, (*self.targets(s, [c.arrow(entry, "key")]), *self.inner(s.body, loop=True)))


def _for(walk: Walk, body: tuple[c.Stmt, ...]) -> list[c.Stmt]:
    if walk.init is None and walk.step is None:
        return [*walk.before, c.While(walk.cond, c.Block(body))]
    return [*walk.before, c.For(walk.init, walk.cond, walk.step, c.Block(body))]


def _of_part(pair: tuple[c.Expr, ...], part: Part) -> tuple[c.Expr, ...]:
    match part:
        case Part.KEYS:
            return pair[:1]
        case Part.VALUES:
            return pair[1:]
        case Part.ITEMS:
            return pair


def _signed(step: int) -> c.Expr:
    return c.Unary("-", c.Integer(-step)) if step < 0 else c.Integer(step)
