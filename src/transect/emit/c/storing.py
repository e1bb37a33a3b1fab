# SPDX-License-Identifier: Apache-2.0
"""Stores, updates and removals in C: of state, entries of tables, locals and views."""

from __future__ import annotations

from typing import assert_never

from transect.core import ir
from transect.core.ir import BinaryOp, Expr
from transect.core.rules import widened
from transect.core.types import ArrayType, CounterType, HistogramType, TableType, Type, ViewType
from transect.emit.c import forms, waiting
from transect.emit.c import tree as c
from transect.emit.c.bodies import Body
from transect.emit.c.expressions import access, binary, state_place
from transect.emit.c.forms import has_text
from transect.emit.c.layout import fits, load, narrowed, store


class Storing(Body):
    """Statements that write."""

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
        """A value on its way into state.  A single text may already lie where it goes; of several texts, storing one
        could spoil the next.
        """
        return self.expr(value) if forms.is_text(value.type) else self.stable(value)

    def at_path(self, base: c.Expr, field: str, path: tuple[str, ...]) -> c.Expr:
        return self.within(base, self.unit.scope.fields[field].type, path)

    def within(self, base: c.Expr, t: Type, path: tuple[str, ...]) -> c.Expr:
        for name in path:
            base = c.Member(base, forms.member_of(t, name))
            t = forms.field_type(t, name)
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
        """Whether a pointer to the entry is used again after one store."""
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
        """Change a whole entry of a table, and with it the place of its client in a heap.  `op` None: store the
        value.
        """
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
        if op is None:  # no entry is made for a value that does not fit
            return [*before, c.If(test, c.Block((*made, there)), lost)]
        return [
            *before,
            *made,
            c.If(c.Binary("!=", entry, c.NULL), c.Block((c.If(test, c.Block(done), lost),))),
        ]

    def value_first(self, field: str, t: TableType, value: Expr) -> tuple[list[c.Stmt], c.Expr]:
        """The value that goes into a new entry; if it reads the table, it is evaluated before the entry is made."""
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
