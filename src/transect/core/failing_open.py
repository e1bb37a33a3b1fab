# SPDX-License-Identifier: Apache-2.0
"""Refusals that rest on an entry which may never be stored: a limit that limits nobody once its table is full.

A new key finds no room in a full table, nor does a text beyond its bound; the store then changes nothing.  Each handler
is evaluated with *no* entry in such a table and no room for one (parameters as declared, everything else unknown).  A
finding is a refusal whose condition rests on the table and which then certainly never happens, unless another refusal
certainly does: clients without an entry are never refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from transect.base.diagnostic import Diagnostics, Label
from transect.base.span import Span
from transect.core import ir, operations
from transect.core.effects import nodes
from transect.core.ir import FieldKind, Function, Program, TableRead
from transect.core.types import BytesType, StructType, TableKind, TableType, TextType, TupleType, Type
from transect.core.walk import walk

REFUSAL = "Reject"


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a value where the table has no entry."""

    known: bool = False
    value: Any = None  # of a struct: what is known of its fields, in their order
    rests: bool = False  # on the table


UNKNOWN = Seen()


def warn(program: Program, diagnostics: Diagnostics) -> None:
    """Add the stores after which a refusal may never come."""
    for field in program.state:
        if isinstance(field.type, TableType) and (reasons := _reasons(program, field.name, field.type)):
            lost = [span for handler in program.handlers for span in _Walk(program, handler, field.name).lost]
            stores = [s for f in (*program.functions, *program.handlers) for s in _stores(f, field.name)]
            if lost and stores:
                _report(field.name, stores[0], lost[0], reasons, diagnostics)


def _report(table: str, store: Span, refusal: Span, reasons: list[str], diagnostics: Diagnostics) -> None:
    diagnostics.warning(
        "P060",
        f"who finds no room in `{table}` is never refused",
        store,
        label=f"changes nothing where {' or '.join(reasons)}",
        others=(Label(refusal, "then this never refuses"),),
        help=f"in place of the store write `if not self.{table}.put(key, value): return Reject(…)`",
    )


def _reasons(program: Program, table: str, t: TableType) -> list[str]:
    """The reasons why an entry may not be stored, without those that the policy checks itself."""
    asked = [n for f in (*program.functions, *program.handlers) for n in nodes(f)]
    of_table = [n for n in asked if isinstance(n, ir.Lookup) and n.field == table]
    if any(_asks_for_room(f, table) for f in program.functions):
        return []  # a helper looks at it, and helpers are not looked through
    looks = any(n.op in (TableRead.LEN, TableRead.OVERFLOW) for n in of_table)
    fits = any(isinstance(n, ir.Intrinsic) and n.name == "fits" for n in asked)
    found = []
    if t.most is not None and t.kind is not TableKind.LRU and not looks:
        found.append(f"the table has {t.most:,} entries")
    if (bound := _bound(t.key)) is not None and not fits:
        found.append(f"the key has more than {bound} bytes")
    return found


def _asks_for_room(function: Function, table: str) -> bool:
    """Whether the function uses the result of a `put` into the table."""
    found = list(nodes(function))
    alone = {id(n.value) for n in found if isinstance(n, ir.Do)}
    return any(
        isinstance(n, ir.Lookup) and n.field == table and n.op is TableRead.PUT and id(n) not in alone
        for n in found
    )


def _bound(key: Type) -> int | None:
    """The bound of the first text in a key."""
    match key:
        case TextType(bound=bound) | BytesType(bound=bound):
            return bound
        case TupleType(items=items):
            return next((bound for item in items if (bound := _bound(item)) is not None), None)
        case _:
            return None


def _stores(function: Function, table: str) -> Iterator[Span]:
    """The places where a store may add an entry."""
    for node in nodes(function):
        match node:
            case (
                ir.Store(place=ir.EntryPlace(field=field, path=()))
                | ir.Update(place=ir.EntryPlace(field=field))
            ):
                if field == table:
                    yield node.span
            case ir.Do(value=ir.Lookup(op=TableRead.PUT, field=field)) if field == table:
                yield node.span
            case _:
                pass


def _refuses(part: ir.Block | ir.Expr) -> bool:
    parts = part if isinstance(part, tuple) else (part,)
    made = (n for p in parts for n in walk(p) if isinstance(n, ir.MakeStruct))
    return any(isinstance(n.type, StructType) and n.type.name == REFUSAL for n in made)


class _Walk:
    """One handler where a table has no entry; `lost`: conditions of refusals that cannot come."""

    def __init__(self, program: Program, handler: Function, table: str) -> None:
        self.program = program
        self.table = table
        self.locals: dict[str, Seen] = {}
        self.lost: list[Span] = []
        self.passes = False  # whether a path ends without a refusal
        if self.block(handler.body) or self.passes:
            return
        self.lost = []

    # ---------------------------------------------------------------- statements

    def block(self, block: ir.Block) -> bool:
        """Whether what follows may be reached."""
        return all(self.statement(s) for s in block)

    def statement(self, s: ir.Stmt) -> bool:
        match s:
            case ir.Let(name=name, value=value):
                self.locals[name] = self.see(value)
            case ir.Store(place=ir.LocalPlace(name=name)) | ir.Update(place=ir.LocalPlace(name=name)):
                self.locals[name] = Seen(rests=self.locals.get(name, UNKNOWN).rests)
            case ir.If():
                return self.branch(s)
            case ir.For(body=body):
                self.forget(body)
                self.block(body)
                self.forget(body)
            case ir.Switch(subject=subject, cases=cases):
                return self.switch(self.see(subject), cases, s.span)
            case ir.Return(value=value):
                if value is not None:
                    self.see(value)
                self.passes = self.passes or value is None or not self.is_refusal(value)
                return False
            case ir.Break() | ir.Continue():
                return False
            case _:
                pass
        return True

    def branch(self, s: ir.If) -> bool:
        cond = self.see(s.cond)
        if cond.known:
            taken, left = (s.then, s.orelse) if cond.value else (s.orelse, s.then)
            self.pass_by(cond, left, s.cond.span)
            return self.block(taken)
        before = dict(self.locals)
        then, after = self.block(s.then), self.locals
        self.locals = before
        orelse = self.block(s.orelse)
        self.join(after if then else None, orelse)
        return then or orelse

    def join(self, other: dict[str, Seen] | None, falls: bool) -> None:
        """Keep what is known after both of two branches; if only one goes on, what is known after that one."""
        if other is None:
            return
        if not falls:
            self.locals = other
            return
        names = self.locals.keys() | other.keys()
        pairs = {n: (self.locals.get(n, UNKNOWN), other.get(n, UNKNOWN)) for n in names}
        self.locals = {n: _joined(a, b) for n, (a, b) in pairs.items()}

    def switch(self, subject: Seen, cases: tuple[ir.Case, ...], span: Span) -> bool:
        if subject.known and subject.value is None:
            for case in cases:
                match case.pattern:
                    case ir.MatchConst(value=ir.Const(value=None)) | ir.MatchAny() if case.guard is None:
                        for other in cases:
                            self.pass_by(subject, other.body if other is not case else (), span)
                        return self.block(case.body)
                    case _:
                        continue
        before, falls = dict(self.locals), False
        for case in cases:
            self.locals = dict(before)
            falls = self.block(case.body) or falls
        self.locals = before
        for case in cases:
            self.forget(case.body)
        return True

    def pass_by(self, cond: Seen, left: ir.Block | ir.Expr, span: Span) -> None:
        if cond.rests and _refuses(left):
            self.lost.append(span)

    def is_refusal(self, value: ir.Expr) -> bool:
        """Whether what is returned is certain to be a refusal."""
        match value:
            case ir.Cast(value=inner):
                return self.is_refusal(inner)
            case ir.MakeStruct(type=StructType(name=name)):
                return name == REFUSAL
            case ir.Choose(cond=cond, then=then, orelse=orelse):
                seen = self.see(cond)
                if seen.known:
                    return self.is_refusal(then if seen.value else orelse)
                return self.is_refusal(then) and self.is_refusal(orelse)
            case _:
                return False

    def forget(self, block: ir.Block) -> None:
        """Whatever the block assigns may have any value from here on."""
        for node in nodes(block):
            match node:
                case ir.Let(name=name) | ir.Store(place=ir.LocalPlace(name=name)):
                    self.locals[name] = UNKNOWN
                case ir.Update(place=ir.LocalPlace(name=name)):
                    self.locals[name] = UNKNOWN
                case _:
                    pass

    # ---------------------------------------------------------------- expressions

    def see(self, e: ir.Expr) -> Seen:
        match e:
            case ir.Const(value=value):
                return Seen(True, value)
            case ir.Local(name=name):
                return self.locals.get(name, UNKNOWN)
            case ir.State(field=name):
                return self.parameter(name)
            case ir.Lookup():
                return self.look_up(e)
            case ir.Attr(base=base, name=name):
                return self.attribute(self.see(base), base.type, name)
            case ir.Unary(op=op, operand=operand):
                x = self.see(operand)
                return Seen(True, operations.unary(op, e.type, x.value), x.rests) if x.known else x
            case ir.Binary(op=op, left=left, right=right):
                a, b = self.see(left), self.see(right)
                known = a.known and b.known
                value = operations.binary(op, e.type, a.value, b.value) if known else None
                return Seen(known, value, a.rests or b.rests)
            case ir.Compare(op=op, left=left, right=right):
                a, b = self.see(left), self.see(right)
                known = a.known and b.known
                return Seen(
                    known, operations.compare(op, a.value, b.value) if known else None, a.rests or b.rests
                )
            case ir.Logic(conjunction=conjunction, left=left, right=right):
                return self.logic(conjunction, self.see(left), self.see(right))
            case ir.Choose(cond=cond, then=then, orelse=orelse):
                return self.choose(self.see(cond), then, orelse, e.span)
            case ir.LetIn(name=name, value=value, body=body):
                self.locals[name] = self.see(value)
                return self.see(body)
            case ir.Some(value=value):
                return self.see(value)
            case ir.Unwrap(value=value):  # of None: in code that a test keeps from being reached
                x = self.see(value)
                return Seen(rests=x.rests) if x.known and x.value is None else x
            case ir.Cast(value=value):
                x = self.see(value)
                scalar = x.known and isinstance(x.value, int | float)
                return (
                    Seen(True, operations.cast(e.type, x.value), x.rests) if scalar else Seen(rests=x.rests)
                )
            case ir.IsSome(value=value):
                x = self.see(value)
                return Seen(x.known, x.value is not None, x.rests)
            case ir.MakeStruct(values=values):
                return Seen(False, tuple(map(self.see, values)))
            case _:
                return UNKNOWN

    def parameter(self, name: str) -> Seen:
        """A parameter as it is declared; nothing is known of other state."""
        field = next((f for f in self.program.state if f.name == name), None)
        if field is None or field.kind is not FieldKind.PARAM or not isinstance(field.default, ir.Const):
            return UNKNOWN
        return Seen(True, field.default.value)

    def look_up(self, e: ir.Lookup) -> Seen:
        """A look-up in the table finds nothing."""
        if e.field != self.table:
            return UNKNOWN
        match e.op:
            case TableRead.HAS:
                return Seen(True, False, True)
            case TableRead.PUT:  # there is no room
                return Seen(True, False)
            case TableRead.GET:
                return Seen(True, None, True)
            case TableRead.TOTAL:
                return Seen(True, operations.cast(e.type, 0), True)
            case TableRead.GET_OR:
                default = self.see(e.args[1])
                return Seen(default.known, default.value, True)
            case _:
                return Seen(rests=True)

    def attribute(self, base: Seen, t: Type, name: str) -> Seen:
        if not isinstance(t, StructType) or not isinstance(base.value, tuple):
            return Seen(rests=base.rests)
        found: Seen = base.value[[f.name for f in t.fields].index(name)]
        return Seen(found.known, found.value, found.rests or base.rests)

    def logic(self, conjunction: bool, a: Seen, b: Seen) -> Seen:
        """`and` or `or`: one term may decide alone."""
        for term in (a, b):
            if term.known and term.value is not conjunction:
                return Seen(True, not conjunction, term.rests)
        known = a.known and b.known
        return Seen(known, conjunction if known else None, a.rests or b.rests)

    def choose(self, cond: Seen, then: ir.Expr, orelse: ir.Expr, span: Span) -> Seen:
        if cond.known:
            taken, left = (then, orelse) if cond.value else (orelse, then)
            self.pass_by(cond, left, span)
            return self.see(taken)
        a, b = self.see(then), self.see(orelse)
        either = _joined(a, b)
        return replace(either, rests=either.rests or cond.rests)


def _joined(a: Seen, b: Seen) -> Seen:
    """What is known of a value that is one of the two."""
    rests = a.rests or b.rests
    if isinstance(a.value, tuple) and isinstance(b.value, tuple) and len(a.value) == len(b.value):
        return Seen(False, tuple(map(_joined, a.value, b.value)), rests)
    same = a.known and b.known and type(a.value) is type(b.value) and a.value == b.value
    return Seen(True, a.value, rests) if same else Seen(rests=rests)
