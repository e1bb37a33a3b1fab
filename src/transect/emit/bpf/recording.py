# SPDX-License-Identifier: Apache-2.0
"""Handlers that also record what they read and what they do: each read of state and of the outside, the value that each
atomic update obtained, each store and each request to the kernel.

Every such *word* goes into the event of the call under way, with a number for the field or function that it belongs to,
in the order of evaluation.  `recorded` is the form of the program in which that order is the order of statements; a
replay runs the same form, and so meets the same words.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from functools import cache

from transect.core import ir
from transect.core.effects import Facts
from transect.core.ir import BinaryOp, Effect, Expr, FieldKind, Program, TableRead
from transect.core.passes.flatten import flatten
from transect.core.types import ArrayType, OptionType, TextType, Type, UnitType, ViewType
from transect.core.walk import Node, walk
from transect.emit.bpf.lower import Lowering
from transect.emit.bpf.values import S64, U64, is_unsigned, is_word, narrow, words
from transect.emit.c import tree as c

MOST = 1024  # words of one call; what needs more is counted as lost


@cache
def site(name: str) -> int:
    """What stands beside a word: which field, or which function, it belongs to."""
    return zlib.crc32(name.encode()) & 0xFFFF


def recorded(program: Program) -> Program:
    """The flat form in which every read is a statement of its own."""
    facts = Facts(program)

    def hoist(e: Expr) -> bool:
        match e:
            case ir.State(field=field):
                return program.field(field).kind is not FieldKind.GIVEN
            case ir.Lookup() | ir.ViewField() | ir.LetIn():
                return True
            case _:
                return facts.effectful(e)

    return flatten(program, hoist, loops=True)


def is_asked(declared: ir.IntrinsicDecl) -> bool:
    """Whether calls of the function are recorded, with arguments and answer; a pure one gives the same answer again."""
    return declared.effect is not Effect.PURE


def asked_words(declared: ir.IntrinsicDecl, count: int) -> list[int]:
    """Which of so many arguments are kept: words, and queues, which are numbers; a task is the call's own, a text has
    no form there.  Behind the parameters come a name and a value, in turn."""
    fixed = [n for n, p in enumerate(declared.params) if is_word(p.type) or _is_queue(p.type)]
    return [*fixed, *range(len(declared.params) + 1, count, 2)]


def _is_queue(t: Type) -> bool:
    return isinstance(t, ViewType) and t.name != "Task"


# ---------------------------------------------------------------- how many


def words_at_most(program: Program) -> int:
    """The words that one call of any handler may keep, of a `recorded` program."""
    counting = _Counting(program)
    return max((min(MOST, counting.block(h.body)) for h in program.handlers), default=0)


class _Counting:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.intrinsics = {i.name: i for i in program.intrinsics}

    def block(self, block: Iterable[ir.Stmt]) -> int:
        return sum(self.statement(s) for s in block)

    def statement(self, s: ir.Stmt) -> int:
        match s:
            case ir.If(cond=cond, then=then, orelse=orelse):
                return self.node(cond) + max(self.block(then), self.block(orelse))
            case ir.For(source=source, body=body):
                return self.node(source) + self._rounds(source) * self.block(body)
            case ir.Switch(subject=subject, cases=cases):
                guards = sum(self.node(case.guard) for case in cases if case.guard is not None)
                return self.node(subject) + guards + max((self.block(case.body) for case in cases), default=0)
            case ir.Store(place=place, value=value):
                return self.node(place) + self.node(value) + _key(place) + words(place.type)
            case ir.Update(place=place, value=value):
                return self.node(place) + self.node(value) + _key(place) + 2
            case ir.Remove():
                return self.node(s) + 1
            case _:
                return self.node(s)

    def _rounds(self, source: ir.Source) -> int:
        match source:
            case ir.OverRange(bound=bound):
                return bound
            case ir.OverState(field=field):
                t = self.program.field(field).type
                return t.length if isinstance(t, ArrayType) else MOST
            case _:
                return MOST

    def node(self, node: Node) -> int:
        return sum(self._own(part) for part in walk(node))

    def _own(self, part: Node) -> int:
        match part:
            case ir.State(field=field, type=t):
                return 0 if self.program.field(field).kind is FieldKind.GIVEN else words(t)
            case ir.ViewField(type=t):
                return words(t)
            case ir.Lookup(op=op, type=t):
                return 3 if op is TableRead.PUT else words(t)
            case ir.Call(function=name):
                return self.block(self.program.function(name).body)
            case ir.Intrinsic(name=name, type=t) if name in self.intrinsics:
                declared = self.intrinsics[name]
                answer = 0 if isinstance(t, UnitType) else words(t)
                return len(asked_words(declared, len(part.args))) + answer if is_asked(declared) else 0
            case ir.Intrinsic(name="now" | "rand_below"):
                return 1
            case _:
                return 0


def _key(place: ir.Place) -> int:
    return int(isinstance(place, ir.EntryPlace))


# ---------------------------------------------------------------- lowering


class Recording(Lowering):
    """One function that records what it reads and does.  Operands are pure in the `recorded` form, so emitting one
    twice changes nothing.
    """

    _under_way: tuple[str, c.Expr | None] = ("", None)  # the field, and the key, that an update is of

    # --- what it sees ---------------------------------------------------------------------------------------------

    def seen(self, name: str, t: Type, value: c.Expr) -> c.Expr:
        """The value, kept."""
        keep = "TS_SEEN_OPTION" if isinstance(t, OptionType) else "TS_SEEN"
        return c.call(keep, c.Integer(site(name)), value)

    def read(self, field: str, t: Type) -> c.Expr:
        value = super().read(field, t)
        given = self.unit.program.field(field).kind is FieldKind.GIVEN
        return value if given else self.seen(field, t, value)

    def look_up(self, e: ir.Lookup) -> c.Expr:
        value = super().look_up(e)
        match e.op:
            case TableRead.LEN:
                return value
            case TableRead.PUT:
                key, stored = (self.expr(a) for a in e.args)
                return c.call("TS_SEEN_PUT", c.Integer(site(e.field)), key, stored, value)
            case _:
                return self.seen(e.field, e.type, value)

    def expr(self, e: Expr) -> c.Expr:
        if isinstance(e, ir.ViewField) and isinstance(e.base.type, ViewType) and is_word(e.type):
            return self.seen(f"{e.base.type.name}.{e.name}", e.type, super().expr(e))
        return super().expr(e)

    def intrinsic(self, e: ir.Intrinsic, args: Sequence[c.Expr]) -> c.Expr:
        # A queue that is asked for stands once in what is emitted: a number that does not exist is counted there.
        if not any(isinstance(n, ir.Intrinsic) for a in e.args[:1] for n in walk(a)):
            return self._asked(e, args)
        return c.call("TS_OF", args[0], self._asked(e, [c.Name("ts_queue"), *args[1:]]))

    def _asked(self, e: ir.Intrinsic, args: Sequence[c.Expr]) -> c.Expr:
        name, t, value = e.name, e.type, super().intrinsic(e, args)
        declared = next((i for i in self.unit.program.intrinsics if i.name == name), None)
        if declared is None:
            return self.seen(name, t, value) if name in ("now", "rand_below") else value
        if not is_asked(declared):
            return value
        number = c.Integer(site(name))
        given = iter(args)  # a text among the arguments is none of what is emitted
        emitted = {n: next(given) for n, a in enumerate(e.args) if not isinstance(a.type, TextType)}
        said = [c.call("TS_SAY", number, emitted[n]) for n in asked_words(declared, len(e.args))]
        answer = value if isinstance(t, UnitType) else self.seen(name, t, value)
        return c.call("TS_ASK", *said, answer) if said else answer

    # --- what it does ---------------------------------------------------------------------------------------------

    def say(self, name: str, value: c.Expr) -> c.Stmt:
        return c.Do(c.call("TS_SAY", c.Integer(site(name)), value))

    def statement(self, s: ir.Stmt) -> list[c.Stmt]:
        match s:
            case ir.Remove(field=field, key=key):
                return [self.say(field, self.key(key)), *super().statement(s)]
            case ir.Store(place=ir.EntryPlace(field=field, key=key, type=t), value=value):
                said = [self.say(field, self.key(key)), self.stored(field, t, self.expr(value))]
                return [*said, *super().statement(s)]
            case ir.Store(place=ir.StatePlace(field=field, type=t), value=value):
                return [self.stored(field, t, self.expr(value)), *super().statement(s)]
            case _:
                return super().statement(s)

    def stored(self, field: str, t: Type, value: c.Expr) -> c.Stmt:
        if isinstance(t, OptionType):
            return c.Do(c.call("TS_SAY_OPTION", c.Integer(site(field)), value))
        return self.say(field, self.truncated(t, value))

    def update(self, place: ir.Place, op: BinaryOp, value: c.Expr) -> list[c.Stmt]:
        assert isinstance(place, ir.StatePlace | ir.EntryPlace), f"an update of {place}"
        key = self.key(place.key) if isinstance(place, ir.EntryPlace) else None
        self._under_way = (place.field, key)
        if key is None or self.unit.is_array(place.field):
            return super().update(place, op, value)
        word, table = self.temporary(), self.unit.table(place.field)
        found = c.call("ts_table_word", table, key, c.ZERO, self.unit.overflow(place.field))
        full = c.Block(self._told(c.ZERO, place.type, op, value))
        changed = c.If(c.Name(word), c.Block((self.change(c.Name(word), place.type, op, value),)), full)
        return [c.Block((c.Var(word, c.Pointer(S64), found), changed))]

    def change(self, word: c.Expr, t: Type, op: BinaryOp, value: c.Expr) -> c.Stmt:
        old = self.temporary()
        before = self.loaded(t, self._obtained(word, t, op, value))
        kept = c.Var(old, U64 if is_unsigned(t) else S64, before)
        return c.Block((kept, *self._told(c.Name(old), t, op, value)))

    def _told(self, old: c.Expr, t: Type, op: BinaryOp, value: c.Expr) -> tuple[c.Stmt, ...]:
        """Record an update: the value before, the entry's key, and the value after."""
        field, key = self._under_way
        new = self.loaded(t, self.truncated(t, self.operate(op, t, old, value)))
        return (
            self.say(field, old),
            *(() if key is None else (self.say(field, key),)),
            self.say(field, new),
        )

    def _obtained(self, word: c.Expr, t: Type, op: BinaryOp, value: c.Expr) -> c.Expr:
        """The update, as an expression that gives the value before."""
        simple = not narrow(t) and not is_unsigned(t)
        match op:
            case BinaryOp.ADD:
                return c.call("ts_added", word, value)
            case BinaryOp.SUB:
                return c.call("ts_added", word, c.Unary("-", value))
            case BinaryOp.MAX if simple:
                return c.call("ts_raise", word, value)
            case BinaryOp.MIN if simple:
                return c.call("ts_lower", word, value)
            case _:
                return self.changed(word, t, op, value)
