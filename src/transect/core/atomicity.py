# SPDX-License-Identifier: Apache-2.0
"""Reads of shared state on which a later write of the same field rests, in handlers which are not atomic.

Between the two another handler may write the field: an update is lost, or a check no longer holds.  Each access is
atomic by itself, and so is an update in one step (`m[k] += e`, `m[k] = max(m[k], e)`).  Such an update never loses
another one, so it is a finding only if a *test* of the field came before it.  A finding need not do harm.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias, assert_never

from transect.base.diagnostic import Diagnostics, Label
from transect.base.span import Span
from transect.core import ir
from transect.core.effects import Facts, Operation, Read, Write, nodes
from transect.core.ir import BinaryOp, Expr, FieldKind, Function, Program
from transect.core.types import KeyType, TableType
from transect.core.walk import Node, children, walk

OWN_SCOPES = ("cpu", "worker", "task")  # scopes whose state no other handler reaches
ONE_STEP = (BinaryOp.ADD, BinaryOp.SUB, BinaryOp.MIN, BinaryOp.MAX)
_LOSING = (Operation.SET, Operation.INSERT)


@dataclass(frozen=True, slots=True)
class Seen:
    """A read of shared state, and where it stands."""

    read: Read
    span: Span = field(compare=False)


Reads: TypeAlias = frozenset[Seen]
"""The reads on which a value rests, or on which it depends whether a statement runs at all."""

NOTHING: Reads = frozenset()


@dataclass(frozen=True, slots=True)
class Race:
    """A write that rests on an earlier read of the same field."""

    field: str
    read: Span
    write: Span


def races(program: Program, serial: Iterable[str] = ()) -> tuple[Race, ...]:
    """Where another handler may come between a read and the write that rests on it.

    `serial`: the stratum's identities (`Task`) whose calls come one after the other, so that nothing else touches the
    entries under a parameter of that type while a handler runs; and the hooks of which only one runs at a time, so that
    a field which only they write has one writer at a time.
    """
    found: dict[tuple[str, Span], Race] = {}
    facts, kept = Facts(program), frozenset(serial)
    loose = {w.field for h in program.handlers if h.name not in kept for w in facts.of(h).writes}
    for function in (*program.functions, *program.handlers):
        for race in _Walk(program, facts, function, kept).races():
            if race.field in loose:
                found.setdefault((race.field, race.write), race)
    return tuple(found.values())


def warn(program: Program, diagnostics: Diagnostics, serial: Iterable[str] = ()) -> None:
    """A warning for each race."""
    for race in races(program, serial):
        f = program.field(race.field)
        entry = "self.{}[key]" if isinstance(f.type, TableType) else "self.{}"
        place = entry.format(f.name)
        diagnostics.warning(
            "P050",
            f"`{f.name}` may change between this write and the read that it rests on",
            race.write,
            label="another CPU may have written it since",
            others=(Label(race.read, "read here"),),
            help=f"change it in one step (`{place} += …`, `{place} = max({place}, …)`), or keep it in a `Local` if it"
            " is of one task alone; if a lost update does no harm, leave it",
            note="handlers of this stratum run at the same time; each access is atomic, a handler is not",
        )


class _Walk:
    """One function, in the order in which it runs."""

    def __init__(self, program: Program, facts: Facts, function: Function, serial: frozenset[str]) -> None:
        self.facts = facts
        self.function = function
        self.own = facts.within(function)
        self.locals: dict[str, Reads] = {}
        self.found: list[Race] = []
        self.shared = {
            f.name
            for f in program.state
            if f.kind is FieldKind.STATE and f.options.scope not in OWN_SCOPES and not f.options.exclusive
        }
        self.mine = {p.name for p in function.params if isinstance(p.type, KeyType) and p.type.name in serial}

    def races(self) -> list[Race]:
        self.block(self.function.body, NOTHING)
        return self.found

    # ---------------------------------------------------------------- reads

    def concerns(self, access: Read | Write) -> bool:
        """Whether other handlers reach what is accessed."""
        of_own = isinstance(access.key, ir.Local) and access.key.name in self.mine
        return access.field in self.shared and not of_own

    def rests(self, *parts: Expr | ir.Source | None) -> Reads:
        """The reads on which the value of an expression rests."""
        found: set[Seen] = set()
        for node in (n for part in parts if part is not None for n in nodes(part)):
            match node:
                case ir.Local(name=name):
                    found |= self.locals.get(name, NOTHING)
                case ir.State() | ir.OverState() | ir.Lookup() | ir.Call():
                    found |= {Seen(r, node.span) for r in self.own(node).reads if self.concerns(r)}
                case _:
                    pass
        return frozenset(found)

    # ---------------------------------------------------------------- writes

    def write(self, access: Write, rests: Reads, span: Span) -> None:
        """A write is a finding if it rests on what was read of the same entry, as far as is known."""
        if not self.concerns(access):
            return
        for seen in sorted(rests, key=lambda s: (s.span.line, s.span.column)):
            apart = seen.read.key is not None and access.key is not None and seen.read.key != access.key
            if seen.read.field == access.field and not apart:
                self.found.append(Race(access.field, seen.span, span))
                return

    def evaluate(self, control: Reads, *parts: Node | None) -> None:
        """Writes within expressions: `put`, and helpers, which are looked at by themselves as well."""
        for part in parts:
            match part:
                case None:
                    continue
                case ir.Logic(left=left, right=right):
                    self.evaluate(control, left)
                    self.evaluate(control | self.rests(left), right)
                case ir.Choose(cond=cond, then=then, orelse=orelse):
                    self.evaluate(control, cond)
                    self.evaluate(control | self.rests(cond), then, orelse)
                case ir.LetIn(name=name, value=value, body=body):
                    self.evaluate(control, value)
                    self.locals[name] = self.rests(value) | control
                    self.evaluate(control, body)
                case (
                    ir.Reduce(targets=targets, source=source, cond=cond)
                    | ir.MakeSet(targets=targets, source=source, cond=cond)
                ):
                    self.locals |= dict.fromkeys(targets, self.rests(source) | control)
                    self.evaluate(control | self.rests(cond), *children(part))
                case _:
                    self.evaluate(control, *children(part))
            self.written(part, control)

    def written(self, node: Node, control: Reads) -> None:
        if isinstance(node, ir.Lookup | ir.Call):
            for access in self.own(node).writes:
                given = self.rests(*node.args) if access.operation in _LOSING else NOTHING
                self.write(access, control | given, node.span)

    # ---------------------------------------------------------------- statements

    def block(self, block: ir.Block, control: Reads) -> Reads:
        """What runs under a test rests on it, and so does all that a `return` within it may skip.  Returns the reads
        that decide whether a `return` was taken.
        """
        skipping = NOTHING
        for s in block:
            skipping |= self.statement(s, control | skipping)
        return skipping

    def statement(self, s: ir.Stmt, control: Reads) -> Reads:
        match s:
            case ir.Let(name=name, value=value):
                self.evaluate(control, value)
                self.locals[name] = self.rests(value) | control
            case ir.Store(place=place, value=value):
                self.evaluate(control, value, *_asked(place))
                self.stored(s, place, self.rests(value, *_asked(place)) | control)
            case ir.Update(place=place, op=op, value=value):
                self.evaluate(control, value, *_asked(place))
                whole = self.rests(value, *_asked(place)) | control
                old = frozenset(Seen(Read(w.field, w.key, w.whole), s.span) for w in self.own(s).writes)
                self.stored(s, place, control if op in ONE_STEP else whole | old, whole)
            case ir.Do(value=value) | ir.Remove(key=value):  # removing an absent key changes nothing
                self.evaluate(control, value)
            case ir.If(cond=cond, then=then, orelse=orelse):
                self.evaluate(control, cond)
                return self.branches(control | self.rests(cond), [then, orelse])
            case ir.Switch(subject=subject, cases=cases):
                guards = [case.guard for case in cases]
                self.evaluate(control, subject, *guards)
                self.bind([n for c in cases for n in walk(c.pattern)], self.rests(subject))
                tested = control | self.rests(subject, *guards)
                return self.branches(tested, [case.body for case in cases])
            case ir.For():
                return self.loop(s, control)
            case ir.Return(value=value):
                self.evaluate(control, value)
                return control
            case ir.Break() | ir.Continue():
                return control
            case ir.Pass():
                pass
            case _:
                assert_never(s)
        return NOTHING

    def stored(self, s: ir.Stmt, place: ir.Place, rests: Reads, value: Reads | None = None) -> None:
        if isinstance(place, ir.LocalPlace):
            self.locals[place.name] = self.locals.get(place.name, NOTHING) | (
                rests if value is None else value
            )
        for access in self.own(s).writes:
            self.write(access, rests, s.span)

    def branches(self, control: Reads, blocks: list[ir.Block]) -> Reads:
        before, after, skipping = self.locals, dict(self.locals), NOTHING
        for block in blocks:
            self.locals = dict(before)
            skipping |= self.block(block, control)
            for name, reads in self.locals.items():
                after[name] = after.get(name, NOTHING) | reads
        self.locals = after
        return skipping

    def loop(self, s: ir.For, control: Reads) -> Reads:
        self.evaluate(control, s.source)
        over = self.rests(s.source)
        skipping, before = NOTHING, None
        while before != self.locals:  # an iteration begins with what the one before left
            before = dict(self.locals)
            self.locals |= dict.fromkeys(s.targets, over | control)
            skipping |= self.branches(control | skipping, [s.body, ()])
        return skipping

    def bind(self, patterns: list[Node], rests: Reads) -> None:
        self.locals |= {p.name: rests for p in patterns if isinstance(p, ir.MatchAny) and p.name is not None}


def _asked(place: ir.Place) -> Iterator[Expr]:
    match place:
        case ir.EntryPlace(key=key):
            yield key
        case ir.ViewPlace(base=base):
            yield base
        case _:
            pass
