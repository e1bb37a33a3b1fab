# SPDX-License-Identifier: Apache-2.0
"""Statements of a flat program as C statements."""

from __future__ import annotations

from typing import assert_never

from transect.core import ir
from transect.core.ir import BinaryOp, Block, Expr, Part, Stmt, TableRead
from transect.core.types import (
    ArrayType,
    CounterType,
    DictType,
    HistogramType,
    IntType,
    OptionType,
    SeqType,
    SetType,
    TableKind,
    TableType,
    Type,
    UnitType,
    ViewType,
)
from transect.emit.c import layout, waiting
from transect.emit.c import tree as c
from transect.emit.c.expressions import (
    CALL,
    Expressions,
    access,
    binary,
    is_waiting,
    state_place,
    zero_init,
)
from transect.emit.c.layout import fits, has_text, keep, load, narrowed, store, stored_type, value_type
from transect.emit.c.matching import Matched, matched
from transect.emit.c.names import Names
from transect.emit.c.scopes import Homes
from transect.emit.c.tables import Walk, zero
from transect.emit.c.unit import Unit

MAX_SAFE = 2**62  # loop counters below it cannot overflow by one step


class Statements(Expressions):
    """The statements of one function."""

    def __init__(self, unit: Unit, names: Names, function: ir.Function) -> None:
        super().__init__(unit, names)
        self.function = function
        self.types = {p.name: p.type for p in function.params} | dict(function.locals)
        self.homes = Homes(function)

    # ---------------------------------------------------------------- blocks

    def body(self) -> tuple[c.Stmt, ...]:
        """The whole function."""
        early = [self.declared(name) for name in self.homes.early if not self.is_unit(name)]
        inside = self.block(self.function.body)
        return (*early, *inside, *self.end(inside))

    def end(self, inside: tuple[c.Stmt, ...]) -> tuple[c.Stmt, ...]:
        """What follows the last statement."""
        if inside and isinstance(inside[-1], c.Return):
            return ()
        match self.function.returns:
            case UnitType():
                return ()
            case OptionType():
                return (self.nothing(),)
            case _:  # the front end has shown that every path returns; a C compiler has not
                return (c.Do(c.call("__builtin_trap")),)

    def nothing(self) -> c.Return:
        """The return of a function that gives None."""
        if isinstance(self.function.returns, OptionType):
            return c.Return(c.Compound(value_type(self.unit, self.function.returns), c.braces(c.ZERO)))
        return c.Return()

    def is_unit(self, name: str) -> bool:
        return isinstance(self.types[name], UnitType)

    def declared(self, name: str, value: c.Init | None = None) -> c.Stmt:
        t = self.types[name]
        return c.Var(self.names.of(name), value_type(self.unit, t), value or zero_init(t))

    def block(self, block: Block) -> tuple[c.Stmt, ...]:
        out: list[c.Stmt] = []
        for s in block:
            if s.span.line and not isinstance(s, ir.Pass):
                out.append(c.At(s.span.path, s.span.line))
            out.extend(self.statement(s))
        return tuple(out)

    def braced(self, block: Block) -> c.Block:
        return c.Block(self.block(block))

    def assigned(self, name: str, value: c.Expr, s: object) -> c.Stmt:
        """A local takes a value; its declaration, where this is its home."""
        if self.homes.declares(name, s):
            return self.declared(name, value)
        return c.assign(c.Name(self.names.of(name)), value)

    # ---------------------------------------------------------------- statements

    def statement(self, s: Stmt) -> list[c.Stmt]:
        match s:
            case ir.Let(name=name, value=value):
                return self.let(name, value, s)
            case ir.Store(place=place, value=value):
                return self.store(place, value)
            case ir.Update(place=place, op=op, value=value):
                return self.update(place, op, value)
            case ir.Remove(field=field, key=key):
                return self.remove(field, key)
            case ir.Do(value=value):
                done = self.expr(value)
                stated = done if isinstance(value.type, UnitType) else c.Cast(c.VOID, done)
                return [c.Do(stated), *self.after_put(value)]
            case ir.If(cond=cond, then=then, orelse=orelse):
                return [c.If(self.expr(cond), self.braced(then), self.orelse(orelse))]
            case ir.Switch():
                return self.switch(s)
            case ir.For():
                return self.loop(s)
            case ir.Break():
                return [c.Break()]
            case ir.Continue():
                return [c.Continue()]
            case ir.Return(value=value):
                return [self.nothing() if value is None else c.Return(self.stable(value))]
            case ir.Pass():
                return []
            case _:
                assert_never(s)

    def orelse(self, block: Block) -> c.Block | c.If | None:
        inside = self.block(block)
        if not inside:
            return None
        marks, last = inside[:-1], inside[-1]
        if isinstance(last, c.If) and all(isinstance(m, c.At) for m in marks):
            return last
        return c.Block(inside)

    def let(self, name: str, value: Expr, s: Stmt) -> list[c.Stmt]:
        match value:
            case ir.MakeSet(source=ir.OverRange(bound=0), type=SetType() as t):
                made = c.call(f"{layout.set_name(self.unit, t)}_make", CALL, c.ZERO)
                return [self.assigned(name, made, s)]
            case ir.Binary(
                op=BinaryOp.OR,
                left=ir.Local(name=left),
                right=ir.MakeSet(source=ir.OverRange(bound=1), item=item),
                type=SetType() as t,
            ) if left == name:
                # The set is still this local's alone.
                add = c.call(
                    f"{layout.set_name(self.unit, t)}_add",
                    CALL,
                    c.Name(self.names.of(name)),
                    self.stable(item),
                )
                return [c.Do(add)]
            case _:
                return [self.assigned(name, self.stable(value), s), *self.after_put(value)]

    def after_put(self, value: Expr) -> list[c.Stmt]:
        """A `put` may have moved a client in a heap."""
        match value:
            case ir.Lookup(op=TableRead.PUT, field=field, args=(key, _)) if field in self.unit.heaps:
                client = self.expr(key)
                return waiting.moved(self.unit, field, client, waiting.total(self.unit, field, client))
            case _:
                return []

    # ---------------------------------------------------------------- writing

    def store(self, place: ir.Place, value: Expr) -> list[c.Stmt]:
        match place:
            case ir.StatePlace(field=field, path=path, type=t):
                return self.put(field, t, self.at_path(state_place(self.unit, field), field, path), value)
            case ir.EntryPlace():
                return self.store_entry(place, value)
            case ir.LocalPlace(name=name, path=path, type=t):
                target = self.within(c.Name(self.names.of(name)), self.types[name], path)
                return [c.assign(target, narrowed(self.unit, t, self.stable(value)))]
            case ir.ViewPlace(base=base, name=name, type=t):
                assert isinstance(base.type, ViewType), "a view"
                new = narrowed(self.unit, t, self.stable(value))
                return list(self.unit.views.store(self.unit, self.expr(base), base.type, name, new))
            case _:
                assert_never(place)

    def overflow(self, field: str) -> c.Stmt:
        """One more store found no room."""
        declared = self.unit.scope.fields[field]
        if declared.kind is ir.FieldKind.LOCAL:
            return c.Do(c.Cast(c.VOID, c.ZERO))  # nobody sees it
        if isinstance(declared.type, TableType):
            return c.Do(c.Postfix("++", c.Member(state_place(self.unit, field), "overflow")))
        return c.Do(c.Postfix("++", c.arrow("self", self.unit.overflow_member(field))))

    def put(self, field: str, t: Type, target: c.Expr, value: Expr) -> list[c.Stmt]:
        """Storage takes a value, if it fits."""
        new = self.to_store(value)
        test = fits(self.unit, t, new)
        done = store(self.unit, t, target, new)
        if test is None:
            return [done]
        return [c.If(test, c.Block((done,)), c.Block((self.overflow(field),)))]

    def to_store(self, value: Expr) -> c.Expr:
        """A value on its way into state.  A text may lie where it goes; of several, one store could spoil the next."""
        return self.expr(value) if layout.is_text(value.type) else self.stable(value)

    def at_path(self, base: c.Expr, field: str, path: tuple[str, ...]) -> c.Expr:
        return self.within(base, self.unit.scope.fields[field].type, path)

    def within(self, base: c.Expr, t: Type, path: tuple[str, ...]) -> c.Expr:
        for name in path:
            base = c.Member(base, layout.member_of(t, name))
            t = layout.field_type(t, name)
        return base

    def entry_target(self, place: ir.EntryPlace) -> c.Expr:
        """Where an entry that is there lies, or the field within it."""
        t = self.unit.scope.fields[place.field].type
        key = self.expr(place.key)
        if isinstance(t, ArrayType):
            return self.within(c.Index(state_place(self.unit, place.field), key), t.item, place.path)
        assert isinstance(t, TableType), "a table"
        return self.within(c.deref(access(self.unit, place.field).find(key)), t.value, place.path)

    def store_entry(self, place: ir.EntryPlace, value: Expr) -> list[c.Stmt]:
        field = place.field
        if place.path or isinstance(self.unit.scope.fields[field].type, ArrayType):
            return self.put(field, place.type, self.entry_target(place), value)
        if field in self.unit.heaps:
            return self.update_entry(place, None, value)
        return [c.Do(access(self.unit, field).put(self.expr(place.key), self.to_store(value)))]

    def update(self, place: ir.Place, op: BinaryOp, value: Expr) -> list[c.Stmt]:
        match place:
            case ir.StatePlace(field=field, path=path, type=t):
                target = self.at_path(state_place(self.unit, field), field, path)
                match t:
                    case CounterType():
                        return [c.Do(c.Assign("+=", target, c.Cast(c.U64, self.expr(value))))]
                    case HistogramType():
                        return [c.Do(c.call("ts_observe", c.address(target), self.expr(value)))]
                    case _:
                        return self.changed(field, t, target, op, value)
            case ir.EntryPlace(field=field, path=path):
                if path or isinstance(self.unit.scope.fields[field].type, ArrayType):
                    return self.changed(field, place.type, self.entry_target(place), op, value)
                return self.update_entry(place, op, value)
            case ir.LocalPlace(name=name, path=path, type=t):
                target = self.within(c.Name(self.names.of(name)), self.types[name], path)
                new = binary(self.unit, op, widened(t), target, self.stable(value))
                return [c.assign(target, narrowed(self.unit, t, new))]
            case ir.ViewPlace(base=base, name=name, type=t):
                assert isinstance(base.type, ViewType), "a view"
                view = self.expr(base)
                old = self.unit.views.field(self.unit, view, base.type, name)
                new = narrowed(self.unit, t, binary(self.unit, op, widened(t), old, self.stable(value)))
                return list(self.unit.views.store(self.unit, view, base.type, name, new))
            case _:
                assert_never(place)

    def changed(self, field: str, t: Type, target: c.Expr, op: BinaryOp, value: Expr) -> list[c.Stmt]:
        """`target op= value` of storage that is there."""
        new = binary(self.unit, op, widened(t), load(self.unit, t, target), self.expr(value))
        test = fits(self.unit, t, new)
        done = store(self.unit, t, target, new)
        return [c.If(test, c.Block((done,)), c.Block((self.overflow(field),)))] if test else [done]

    def update_entry(self, place: ir.EntryPlace, op: BinaryOp | None, value: Expr) -> list[c.Stmt]:
        """A whole entry of a table changes, and with it the place of its client in a heap.  `op` None: it is stored."""
        field = place.field
        t = self.unit.scope.fields[field].type
        assert isinstance(t, TableType), "a table"
        before: list[c.Stmt] = []
        key, new = self.expr(place.key), self.to_store(value)
        if field in self.unit.facts.of(value).read_fields:
            # The entry is made before the operation, and the value may ask whether it was there.
            before, new = self.named("value", t.value, new)
        entry = c.Name(self.names.fresh("entry"))
        target = c.deref(entry)
        if op is not None:
            new = binary(self.unit, op, widened(t.value), load(self.unit, t.value, target), new)
        after = waiting.moved(self.unit, field, key, load(self.unit, t.value, target))
        done = [store(self.unit, t.value, target, new), *after]
        test = fits(self.unit, t.value, new)
        if test is not None:
            done = [c.If(test, c.Block(tuple(done)), c.Block((self.overflow(field),)))]
        table = access(self.unit, field)
        there = c.Var(entry.name, table.entry_pointer, table.entry(key))
        return [*before, there, c.If(c.Binary("!=", entry, c.NULL), c.Block(tuple(done)))]

    def remove(self, field: str, key: Expr) -> list[c.Stmt]:
        asked = self.expr(key)
        t = self.unit.scope.fields[field].type
        assert isinstance(t, TableType), "a table"
        moves = waiting.moved(self.unit, field, asked, zero(t.value))
        return [c.Do(access(self.unit, field).remove(asked)), *moves]

    def named(self, wish: str, t: Type, value: c.Expr) -> tuple[list[c.Stmt], c.Expr]:
        """The value in a variable."""
        name = self.names.fresh(wish)
        return [c.Var(name, value_type(self.unit, t), value)], c.Name(name)

    # ---------------------------------------------------------------- match

    def switch(self, s: ir.Switch) -> list[c.Stmt]:
        before: list[c.Stmt] = []
        subject = self.stable(s.subject)
        if not isinstance(s.subject, ir.Local):
            before, subject = self.named("subject", s.subject.type, subject)
        cases = [(case, matched(self.unit, case.pattern, s.subject.type, subject)) for case in s.cases]
        if any(case.guard is not None and m.bound for case, m in cases):
            return [*before, *self.one_by_one(cases)]
        chain: c.Block | c.If | None = None
        for case, m in reversed(cases):
            cond = m.cond
            if case.guard is not None:
                guard = self.expr(case.guard)
                cond = guard if cond is None else c.Binary("&&", cond, guard)
            body = c.Block((*self.bind(m), *self.block(case.body)))
            chain = body if cond is None else c.If(cond, body, chain)
        return before if chain is None else [*before, chain]

    def bind(self, m: Matched) -> list[c.Stmt]:
        return [c.assign(c.Name(self.names.of(name)), value) for name, value in m.bound]

    def one_by_one(self, cases: list[tuple[ir.Case, Matched]]) -> list[c.Stmt]:
        """Where a guard reads what its pattern binds, the cases are tried one after the other."""
        done = c.Name(self.names.fresh("done"))
        out: list[c.Stmt] = [c.Var(done.name, c.BOOL, c.FALSE)]
        for case, m in cases:
            body: list[c.Stmt] = [c.assign(done, c.TRUE), *self.block(case.body)]
            if case.guard is not None:
                body = [c.If(self.expr(case.guard), c.Block(tuple(body)))]
            cond: c.Expr = c.negated(done)
            if m.cond is not None:
                cond = c.Binary("&&", cond, m.cond)
            out.append(c.If(cond, c.Block((*self.bind(m), *body))))
        return out

    # ---------------------------------------------------------------- loops

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
            body = (*(() if own else self.targets(s, [at])), *self.block(s.body))
            return [*before, c.For(c.Var(at.name, c.I64, start), more, onward, c.Block(body))]
        begin, start = self.named("start", source.start.type, start)
        steps, i = c.Name(self.names.fresh("steps")), c.Name(self.names.fresh("i"))
        count = c.Var(steps.name, c.U64, c.call("ts_steps", start, stop, _signed(step)))
        here = c.call("ts_add", start, c.call("ts_mul", c.Cast(c.I64, i), _signed(step)))
        body = (*self.targets(s, [here]), *self.block(s.body))
        loop = c.For(c.Var(i.name, c.U64, c.ZERO), c.Binary("<", i, steps), c.Postfix("++", i), c.Block(body))
        return [*before, *begin, count, loop]

    def over_state(self, s: ir.For, field: str, part: Part) -> list[c.Stmt]:
        t = self.unit.scope.fields[field].type
        changes = field in self.unit.facts.of(s.body).written_fields
        # A target with text that is used after the loop outlives what it was taken from.
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
        body = (*self.targets(s, list(picked)), *self.block(s.body))
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
        return _for(walk, (*first, *self.block(s.body)))

    def over_ordered(self, s: ir.For, field: str, t: TableType, part: Part, changes: bool) -> list[c.Stmt]:
        table = access(self.unit, field)
        entry, key = c.Name(self.names.fresh("entry")), c.Name(self.names.fresh("key"))
        here = self.kept(t.key, load(self.unit, t.key, c.arrow(entry, "key")), changes)
        # The entry may be gone at the end of the round; its key leads on.
        holds = c.Var(key.name, value_type(self.unit, t.key), zero_init(t.key))
        first = [c.assign(key, here), *self.targets(s, self.picked(t, part, entry, changes, key))]
        walk = table.ascend(table.table, entry.name, key)
        return [holds, *_for(walk, (*first, *self.block(s.body)))]

    def over_value(self, s: ir.For, value: Expr, part: Part) -> list[c.Stmt]:
        if is_waiting(value):
            return self.over_waiting(s)
        before, held = self.named("among", value.type, self.expr(value))
        match value.type:
            case SetType():
                i = c.Name(self.names.fresh("i"))
                item = c.Index(c.arrow(held, "items"), i)
                body = (*self.targets(s, [item]), *self.block(s.body))
                more = c.Binary("<", i, c.arrow(held, "count"))
                return [
                    *before,
                    c.For(c.Var(i.name, c.U32, c.ZERO), more, c.Postfix("++", i), c.Block(body)),
                ]
            case SeqType() | DictType() as t:
                loop = self.unit.views.loop(self.unit, held, t, self.names.fresh("at"))
                items = loop.items if isinstance(t, SeqType) else _of_part(loop.items, part)
                body = (*loop.first, *self.targets(s, list(items)), *self.block(s.body))
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
        return _for(head, (*self.targets(s, [c.arrow(entry, "key")]), *self.block(s.body)))


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


def widened(t: Type) -> Type:
    """What arithmetic on storage of that type is done in."""
    return IntType() if isinstance(t, IntType) and t.bits < 64 else t
