# SPDX-License-Identifier: Apache-2.0
"""Statements of a flat program as C statements."""

from __future__ import annotations

from typing import assert_never

from transect.core import ir
from transect.core.ir import Block, Expr, Stmt, TableRead
from transect.core.types import OptionType, UnitType
from transect.emit.c import tree as c
from transect.emit.c.layout import value_type
from transect.emit.c.lets import Letting
from transect.emit.c.loops import Looping
from transect.emit.c.matching import Matched, matched
from transect.emit.c.remembered import asked_in, moving


class Statements(Letting, Looping):
    """The statements of one function."""

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

    def inner(self, block: Block, loop: bool = False) -> tuple[c.Stmt, ...]:
        """A block within.  Entries found in it are forgotten at its end, and those that an iteration of a loop spoils
        at its start.
        """
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

    def braced(self, block: Block) -> c.Block:
        return c.Block(self.inner(block))

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
        """The cases, tried one after the other, for a match with a guard that reads what its pattern binds."""
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
