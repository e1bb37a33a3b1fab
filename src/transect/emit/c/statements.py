# SPDX-License-Identifier: Apache-2.0
"""Statements of a flat program as C statements."""

from __future__ import annotations

from typing import assert_never

from transect.core import ir
from transect.core.ir import BinaryOp, Block, Expr, Part, Stmt, TableRead
from transect.core.passes.ordered_pick import heap_asked
from transect.core.types import (
    TEXT,
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
from transect.emit.c.remembered import Entry, Remembered, Repeated, asked_in, moving
from transect.emit.c.scopes import Homes
from transect.emit.c.tables import Walk
from transect.emit.c.unit import Unit

MAX_SAFE = 2**62  # loop counters below it cannot overflow by one step


class Statements(Expressions):
    """The statements of one function."""

    def __init__(self, unit: Unit, names: Names, function: ir.Function) -> None:
        super().__init__(unit, names)
        self.function = function
        self.types = {p.name: p.type for p in function.params} | dict(function.locals)
        self.homes = Homes(function)
        self.memory = Remembered(Repeated(function, unit.scope, unit.facts))
        self.entry_kept: Entry | None = (
            None  # which the statement has changed, and whose pointer it has kept up
        )

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
            out.extend(self.remember(s))
            self.entry_kept = None
            out.extend(self.statement(s))
            own = None if isinstance(s, ir.If | ir.Switch | ir.For) else self.entry_kept
            if self.recall.known:
                self.recall.after(moving(s, self.unit.facts), own)
        return tuple(out)

    @property
    def recall(self) -> Remembered:
        assert self.memory is not None, "statements remember"
        return self.memory

    def inner(self, block: Block, loop: bool = False) -> tuple[c.Stmt, ...]:
        """A block within: what it finds is forgotten at its end, what a round of a loop spoils, at its start."""
        outer = self.recall
        self.memory = outer.inner()
        if loop and outer.known:
            self.memory.after(moving(block, self.unit.facts))
        inside = self.block(block)
        self.memory = outer
        return inside

    def remember(self, s: Stmt) -> list[c.Stmt]:
        """Find the entries that a statement asks for, and others after it."""
        out: list[c.Stmt] = []
        for entry in (e for part in own_expressions(s) for e in asked_in(part)):
            if self.recall.wanted(entry):
                out.append(self.finding(entry, None))
        return out

    def finding(self, entry: Entry, pointer: c.Expr | None) -> c.Stmt:
        """A pointer to an entry gets a name."""
        field, key = entry
        table = access(self.unit, field)
        name = c.Name(self.names.fresh("found"))
        made = c.Var(name.name, table.entry_pointer, pointer or table.find(self.expr(key)))
        self.recall.known[entry] = name
        return made

    def braced(self, block: Block) -> c.Block:
        return c.Block(self.inner(block))

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
        inside = self.inner(block)
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
            case ir.Format(parts=parts):
                return self.format(name, parts, s)
            case ir.Intrinsic(name="now"):
                return [self.time(name, value, s)]
            case ir.Intrinsic(name="waiting.argmin") if (field := heap_asked(value)) is not None:
                return self.pick(name, value, field, s)
            case ir.Lookup(op=TableRead.PUT, field=field, args=(key, new)) if self.can_reuse(field, key):
                return self.put_again(name, field, key, new, s)
            case _:
                return [self.assigned(name, self.stable(value), s), *self.after_put(value)]

    def format(self, name: str, parts: tuple[Expr, ...], s: Stmt) -> list[c.Stmt]:
        """An f-string: room for all its pieces, then one after the other."""
        out: list[c.Stmt] = []
        pieces: list[c.Expr] = []
        size: c.Expr | None = None
        for part in parts:
            piece = self.piece(part)
            length: c.Expr = (
                c.Integer(len(str(part.value).encode()), "u") if isinstance(part, ir.Const) else c.ZERO
            )
            if not (isinstance(part, ir.Const) and isinstance(part.value, str)):
                named, piece = self.named("piece", TEXT, piece)
                out += named
                length = c.dot(piece, "size")
            pieces.append(piece)
            # Slices of one message may come to more than 32 bits tell.
            size = c.Cast(c.SIZE, length) if size is None else c.Binary("+", size, length)
        if size is None:
            return [self.assigned(name, c.Name("TS_EMPTY"), s)]
        whole, text = self.names.fresh("size"), c.Name(self.names.fresh("text"))
        room = c.call("ts_take_text", CALL, c.Name(whole))
        out += [c.Var(whole, c.SIZE, size), c.Var(text.name, c.Pointer(c.U8), room)]
        end = c.Name(self.names.fresh("end"))
        out.append(c.Var(end.name, c.Pointer(c.U8), text))
        out += [c.assign(end, c.call("ts_lay", end, piece)) for piece in pieces]
        return [
            *out,
            self.assigned(name, c.Compound(c.SLICE, c.braces(text, c.Cast(c.U32, c.Name(whole)))), s),
        ]

    def time(self, name: str, value: Expr, s: Stmt) -> c.Stmt:
        """The time of the call, asked for once."""
        known = self.recall.now
        if known is None and self.recall.repeated.is_bound_once(name):
            self.recall.now = c.Name(self.names.of(name))
        return self.assigned(name, known or self.expr(value), s)

    def pick(self, name: str, value: Expr, field: str, s: Stmt) -> list[c.Stmt]:
        """The first of a heap; where its entry is, is known with it."""
        slot = c.Name(self.names.fresh("slot"))
        out: list[c.Stmt] = [
            c.Var(slot.name, c.U32, waiting.top_slot(self.unit, field)),
            self.assigned(name, waiting.client_at(self.unit, field, slot), s),
        ]
        entry = (field, ir.Local(name=name, type=value.type, span=value.span))
        if self.recall.wanted(entry):
            out.append(self.finding(entry, waiting.entry_at(self.unit, field, slot)))
        return out

    def can_reuse(self, field: str, key: Expr) -> bool:
        """Whether the entry has been looked for, and its values always fit."""
        t = self.unit.scope.fields[field].type
        return isinstance(t, TableType) and not has_text(t.value) and self.found(field, key) is not None

    def put_again(self, name: str, field: str, key: Expr, value: Expr, s: Stmt) -> list[c.Stmt]:
        """`put` of an entry that has been looked for."""
        t = self.unit.scope.fields[field].type
        assert isinstance(t, TableType), "a table"
        before, new = self.value_first(field, t, value)
        entry, made = self.entry(field, key)
        done = [
            store(self.unit, t.value, c.deref(entry), new),
            *waiting.moved(self.unit, field, self.expr(key), entry),
        ]
        there = c.Binary("!=", entry, c.NULL)
        return [*before, *made, self.assigned(name, there, s), c.If(there, c.Block(tuple(done)))]

    def after_put(self, value: Expr) -> list[c.Stmt]:
        """A `put` may have moved a client in a heap."""
        match value:
            case ir.Lookup(op=TableRead.PUT, field=field, args=(key, _)) if field in self.unit.heaps:
                client = self.expr(key)
                entry = c.Name(self.names.fresh("entry"))
                table = access(self.unit, field)
                found = c.Var(entry.name, table.entry_pointer, table.find(client))
                moves = c.Block(tuple(waiting.moved(self.unit, field, client, entry)))
                return [found, c.If(c.Binary("!=", entry, c.NULL), moves)]
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
        before, new = self.once(t, self.to_store(value))
        return [*before, self.if_fits(field, t, target, new)]

    def once(self, t: Type, value: c.Expr) -> tuple[list[c.Stmt], c.Expr]:
        """A value which is to be measured before it is stored, under a name."""
        if fits(self.unit, t, value) is None or isinstance(value, c.Name):
            return [], value
        return self.named("value", t, value)

    def if_fits(self, field: str, t: Type, target: c.Expr, value: c.Expr) -> c.Stmt:
        """Storage takes a value, or the field counts one overflow more."""
        test = fits(self.unit, t, value)
        done = store(self.unit, t, target, value)
        return done if test is None else c.If(test, c.Block((done,)), c.Block((self.overflow(field),)))

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
        found = self.found(place.field, place.key) or access(self.unit, place.field).find(key)
        return self.within(c.deref(found), t.value, place.path)

    def store_entry(self, place: ir.EntryPlace, value: Expr) -> list[c.Stmt]:
        field = place.field
        if place.path or isinstance(self.unit.scope.fields[field].type, ArrayType):
            return self.put(field, place.type, self.entry_target(place), value)
        t = self.unit.scope.fields[field].type
        assert isinstance(t, TableType), "a table"
        known = self.found(field, place.key) is not None
        if known or (not has_text(t.value) and self.worth(field, place.key)):
            return self.update_entry(place, None, value)
        return [c.Do(access(self.unit, field).put(self.expr(place.key), self.to_store(value)))]

    def worth(self, field: str, key: Expr) -> bool:
        """Whether a pointer to the entry is of use beyond one store."""
        return field in self.unit.heaps or self.recall.wanted((field, key))

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
        before, new = self.once(t, new)
        return [*before, self.if_fits(field, t, target, new)]

    def update_entry(self, place: ir.EntryPlace, op: BinaryOp | None, value: Expr) -> list[c.Stmt]:
        """A whole entry of a table changes, and with it the place of its client in a heap.  `op` None: it is stored."""
        field = place.field
        t = self.unit.scope.fields[field].type
        assert isinstance(t, TableType), "a table"
        before, new = self.value_first(field, t, value)
        if op is None and has_text(t.value) and not before:
            before, new = self.named("value", t.value, new)
        entry, made = self.entry(field, place.key)
        target = c.deref(entry)
        if op is not None:
            new = binary(self.unit, op, widened(t.value), load(self.unit, t.value, target), new)
        moves = waiting.moved(self.unit, field, self.expr(place.key), entry)
        done = (store(self.unit, t.value, target, new), *moves)
        there = c.If(c.Binary("!=", entry, c.NULL), c.Block(done))
        test = fits(self.unit, t.value, new)
        if test is None:
            return [*before, *made, there]
        lost = c.Block((self.overflow(field),))
        if op is None:  # nothing is made for what does not fit
            return [*before, c.If(test, c.Block((*made, there)), lost)]
        return [
            *before,
            *made,
            c.If(c.Binary("!=", entry, c.NULL), c.Block((c.If(test, c.Block(done), lost),))),
        ]

    def value_first(self, field: str, t: TableType, value: Expr) -> tuple[list[c.Stmt], c.Expr]:
        """What goes into an entry, which is made before: a value that asks the table is evaluated before that."""
        new = self.to_store(value)
        if field in self.unit.facts.of(value).read_fields:
            return self.named("value", t.value, new)
        return [], new

    def entry(self, field: str, key: Expr) -> tuple[c.Name, list[c.Stmt]]:
        """A pointer to an entry that is made if need be, NULL when there is no room, and how to get it."""
        table = access(self.unit, field)
        known = self.found(field, key)
        self.entry_kept = (field, key)
        if known is not None:
            again = c.If(
                c.Binary("==", known, c.NULL), c.Block((c.assign(known, table.added(self.expr(key))),))
            )
            return known, [again]
        name = c.Name(self.names.fresh("entry"))
        if self.recall.wanted((field, key)):
            self.recall.known[field, key] = name
        return name, [c.Var(name.name, table.entry_pointer, table.entry(self.expr(key)))]

    def remove(self, field: str, key: Expr) -> list[c.Stmt]:
        asked = self.expr(key)
        t = self.unit.scope.fields[field].type
        assert isinstance(t, TableType), "a table"
        if field in self.unit.heaps:
            return [waiting.remove(self.unit, field, asked)]
        return [c.Do(access(self.unit, field).remove(asked))]

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
            body = c.Block((*self.bind(m), *self.inner(case.body)))
            chain = body if cond is None else c.If(cond, body, chain)
        return before if chain is None else [*before, chain]

    def bind(self, m: Matched) -> list[c.Stmt]:
        return [c.assign(c.Name(self.names.of(name)), value) for name, value in m.bound]

    def one_by_one(self, cases: list[tuple[ir.Case, Matched]]) -> list[c.Stmt]:
        """Where a guard reads what its pattern binds, the cases are tried one after the other."""
        done = c.Name(self.names.fresh("done"))
        out: list[c.Stmt] = [c.Var(done.name, c.BOOL, c.FALSE)]
        for case, m in cases:
            body: list[c.Stmt] = [c.assign(done, c.TRUE), *self.inner(case.body)]
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
        # The entry may be gone at the end of the round; its key leads on.
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


def own_expressions(s: Stmt) -> list[Expr | ir.Source]:
    """What a statement evaluates before anything in it happens; not the guards of a match, which come later."""
    match s:
        case (
            ir.Let(value=ir.Lookup(op=TableRead.PUT, args=args))
            | ir.Do(value=ir.Lookup(op=TableRead.PUT, args=args))
        ):
            return list(args)
        case ir.Let(value=value) | ir.Do(value=value) | ir.Return(value=value) if value is not None:
            return [value]
        case ir.Store(place=place, value=value) | ir.Update(place=place, value=value):
            inside = [place.key] if isinstance(place, ir.EntryPlace) else []
            if isinstance(place, ir.EntryPlace) and place.path:
                return [_entry_of(place), value]
            return [*inside, value]
        case ir.Remove(key=key):
            return [key]
        case ir.If(cond=cond):
            return [cond]
        case ir.Switch(subject=subject):
            return [subject]
        case ir.For(source=source):
            return [source]
        case _:
            return []


def _entry_of(place: ir.EntryPlace) -> Expr:
    """The entry that a field is stored in, as if it were read."""
    return ir.Lookup(op=TableRead.AT, field=place.field, args=(place.key,), type=place.type, span=place.span)


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
