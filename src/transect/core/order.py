# SPDX-License-Identifier: Apache-2.0
"""Whether the order in which a loop goes over its source can make a difference.

Targets without an order of their own (BPF, P4) accept a loop only when none can.  What is found is sufficient, not
necessary: a loop without a reason here means the same in every order; one with a reason may.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from transect.base.span import Span
from transect.core import ir
from transect.core.effects import Effects, Facts, Operation, nodes
from transect.core.ir import BinaryOp, Expr, ReduceOp
from transect.core.types import ArrayType, FloatType, KeyType, SetType, TableType, TupleType, Type
from transect.core.verify_flow import Flow, Names
from transect.core.walk import Node, walk

_COMMUTING = (Operation.ADD, Operation.MIN, Operation.MAX)
_ACCUMULATING = (BinaryOp.ADD, BinaryOp.MIN, BinaryOp.MAX, BinaryOp.AND, BinaryOp.OR, BinaryOp.XOR)


def order_dependence(facts: Facts, loop: ir.For | ir.Reduce | ir.MakeSet, within: ir.Function) -> str:
    """Why the order of the source matters, in words for a diagnostic; empty when it does not.

    The order of a set that is made is a matter of the loops over it, not of the loop that makes it.
    """
    match loop:
        case ir.For():
            return _Loop(facts, loop, within).reason()
        case ir.Reduce(cond=cond, value=value):
            return _inner(facts, (cond, value), within) or _fold(loop)
        case ir.MakeSet(cond=cond, item=item):
            return _inner(facts, (cond, item), within)
        case _:
            assert_never(loop)


def _inner(facts: Facts, parts: tuple[Expr | None, ...], within: ir.Function) -> str:
    for part in parts:
        if part is not None and (reason := _outside(facts.of(part, within))):
            return reason
        if part is not None and not facts.of(part, within).reads_only:
            return "it changes state while it goes on"
    return ""


def _outside(e: Effects) -> str:
    """What reaches outside does so in the order of the rounds."""
    for names, what in (
        (e.random, "it draws random numbers"),
        (e.outside_reads, "it asks outside"),
        (e.outside_writes, "it acts outside"),
        (e.reports, "it reports"),
    ):
        if names:
            return f"{what} (`{min(names)}`)"
    return ""


def _fold(e: ir.Reduce) -> str:
    match e.op:
        case ReduceOp.SUM | ReduceOp.MIN | ReduceOp.MAX:
            return "floats are rounded in the order in which they come" if _has_float(e.value.type) else ""
        case ReduceOp.ARGMIN | ReduceOp.ARGMAX:
            return "" if _is_unique(e) else "of equal keys the first one wins"
        case ReduceOp.ANY | ReduceOp.ALL:
            return ""
        case _:
            assert_never(e.op)


def _has_float(t: Type) -> bool:
    return isinstance(t, FloatType) or (isinstance(t, TupleType) and any(map(_has_float, t.items)))


def _is_unique(e: ir.Reduce) -> bool:
    """Whether no two items can have equal keys: the key ends with the item itself, and items are keys of a table."""
    own = isinstance(e.value, ir.Local) and e.value.name in e.targets
    last = e.value.items[-1] if isinstance(e.value, ir.MakeTuple) and e.value.items else None
    ends_so = isinstance(last, ir.Local) and last.name in e.targets
    return (own or ends_so) and isinstance(e.source, ir.OverState) and e.source.part is ir.Part.KEYS


class _Loop:
    """A `for` statement: its rounds commute if each writes what no other reads, or by operations that commute."""

    def __init__(self, facts: Facts, loop: ir.For, within: ir.Function) -> None:
        self.facts = facts
        self.loop = loop
        self.within = within
        self.effects = facts.of(loop.body, within)

    def reason(self) -> str:
        return _outside(self.effects) or self.state() or self.views() or self.locals() or self.exits()

    # ---------------------------------------------------------------- state

    def state(self) -> str:
        """Each written field is written by one commuting operation and not read, or at the round's own key alone."""
        for name in sorted(self.effects.written_fields):
            writes = [w for w in self.effects.writes if w.field == name]
            if self.own_entries(name):
                continue
            if name in self.effects.read_fields:
                return f"`{name}` is read and written"
            if any(w.operation not in _COMMUTING for w in writes) or len({w.operation for w in writes}) > 1:
                return f"`{name}` is written by an operation that does not commute"
            if any(w.inserts for w in writes) and self.may_fill(name):
                return f"`{name}` may be full before the last round"
        return ""

    def own_entries(self, name: str) -> bool:
        """Whether each round touches an entry of `name` of its own, which is there already or has room in any order."""
        key = self.round_key()
        if key is None or not all(isinstance(k, ir.Local) and k.name == key for k in self.keys(name)):
            return False
        source = self.loop.source
        return (isinstance(source, ir.OverState) and source.field == name) or not self.may_fill(name)

    def round_key(self) -> str | None:
        """The target that no two rounds have in common."""
        target = self.loop.targets[0]
        match self.loop.source:
            case ir.OverState(part=part):
                distinct = part is not ir.Part.VALUES
            case ir.OverValue(value=ir.State(field=name)):  # `waiting`: nobody waits twice
                distinct = self.field(name).kind is ir.FieldKind.GIVEN
            case ir.OverValue(value=value):
                distinct = isinstance(value.type, SetType)
            case ir.OverRange():
                distinct = True
            case _:
                assert_never(self.loop.source)
        return target if distinct and not any(_binds(n, target) for n in nodes(self.loop.body)) else None

    def field(self, name: str) -> ir.StateField:
        return self.facts.program.field(name)

    def may_fill(self, name: str) -> bool:
        """Whether a round may find the table full which another one filled.  What is kept by a stratum's own key lives
        with whoever that is, and cannot fill."""
        match self.field(name).type:
            case TableType(key=key):
                inserts = any(w.inserts for w in self.effects.writes if w.field == name)
                return inserts and not isinstance(key, KeyType)
            case ArrayType():
                return False
            case _:
                raise AssertionError(f"`{name}` has no entries")

    def keys(self, name: str) -> Iterator[Expr | None]:
        """The keys at which the body touches a field; None for what is no single entry."""
        for node in nodes(self.loop.body):
            match node:
                case ir.EntryPlace(field=field, key=key) | ir.Remove(field=field, key=key) if field == name:
                    yield key
                case ir.Lookup(field=field, args=(key, *_)) if field == name:
                    yield key
                case ir.Lookup(field=field) | ir.State(field=field) | ir.StatePlace(field=field) if (
                    field == name
                ):
                    yield None
                case ir.OverState(field=field) if field == name:
                    yield None
                case ir.Call():
                    yield from self.facts.keys(node, name)
                case _:
                    pass

    def views(self) -> str:
        written = sorted(t.field for t in self.effects.view_writes)
        return f"it writes `{written[0]}` of outside data" if written else ""

    # ---------------------------------------------------------------- locals

    def locals(self) -> str:
        """A local that outlives its round is only accumulated, by an operation that commutes."""
        for name in sorted(self.carried()):
            operations = set()
            for node in nodes(self.loop.body):
                if _binds(node, name):
                    operation = _accumulation(node, name)
                    if operation is None:
                        return f"`{name}` is carried from round to round"
                    operations.add(operation)
            if len(operations) != 1 or self.uses(name) > self.bindings(name):
                return f"`{name}` is carried from round to round"
        return ""

    def carried(self) -> set[str]:
        """Locals which the body binds, and which are read outside of it or, within it, before they are bound."""
        everywhere, within = _counts(self.within.body), _counts(self.loop.body)
        bound = {name for n in nodes(self.loop.body) for name in _bound(n)}
        outside = {name for name in bound if everywhere.get(name, 0) > within.get(name, 0)}
        return outside | (bound & _EarlyReads(self.loop.body).found)

    def uses(self, name: str) -> int:
        return _counts(self.loop.body).get(name, 0)

    def bindings(self, name: str) -> int:
        return sum(_binds(n, name) for n in nodes(self.loop.body))

    # ---------------------------------------------------------------- ways out

    def exits(self) -> str:
        """Leaving early is harmless when nothing was changed and every way out says the same."""
        returned = [n.value for n in nodes(self.loop.body) if isinstance(n, ir.Return)]
        breaks = any(isinstance(n, ir.Break) for n in _own_level(self.loop.body))
        if not returned and not breaks:
            return ""
        if self.effects.writes or self.carried():
            return "it is left early, with something changed"
        if returned and breaks:
            return "it is left early in two ways"
        if any(value != returned[0] or not _constant(value) for value in returned):
            return "what it returns depends on the round"
        return ""


def _own_level(block: ir.Block) -> Iterator[ir.Stmt]:
    """The statements of a block, without those of loops within it."""
    for s in block:
        yield s
        match s:
            case ir.If(then=then, orelse=orelse):
                yield from _own_level(then)
                yield from _own_level(orelse)
            case ir.Switch(cases=cases):
                for case in cases:
                    yield from _own_level(case.body)
            case _:
                pass


def _constant(e: Expr | None) -> bool:
    plain = (ir.Const, ir.Cast, ir.MakeStruct, ir.MakeTuple, ir.Some)
    return e is None or all(isinstance(node, plain) for node in walk(e))


def _bound(node: Node) -> tuple[str, ...]:
    match node:
        case ir.Let(name=name):
            return (name,)
        case ir.Store(place=ir.LocalPlace(name=name)) | ir.Update(place=ir.LocalPlace(name=name)):
            return (name,)
        case ir.MatchAny(name=str(name)):
            return (name,)
        case ir.For(targets=targets):
            return targets
        case _:
            return ()


def _binds(node: Node, name: str) -> bool:
    return name in _bound(node)


def _accumulation(node: Node, name: str) -> BinaryOp | None:
    """The operation of `name = name op e` (or `e op name`), when it commutes."""
    match node:
        case ir.Let(value=ir.Binary(op=op, left=left, right=right, type=t)) if (
            op in _ACCUMULATING and not _has_float(t)
        ):
            sides = [isinstance(side, ir.Local) and side.name == name for side in (left, right)]
            return op if sum(sides) == 1 and not _has_float(t) else None
        case _:
            return None


def _reads(block: ir.Block) -> Iterator[str]:
    return (n.name for n in nodes(block) if isinstance(n, ir.Local | ir.LocalPlace))


def _counts(block: ir.Block) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in _reads(block):
        counts[name] = counts.get(name, 0) + 1
    return counts


class _EarlyReads(Flow):
    """Collects the locals which a block may read before it binds them itself."""

    def __init__(self, block: ir.Block) -> None:
        super().__init__(lambda code, message, span: None)
        self.found: set[str] = set()
        bound = {name for n in nodes(block) for name in _bound(n)}
        self.block(block, frozenset(set(_reads(block)) - bound), loops=1)

    def read(self, name: str, names: Names | None, span: Span) -> None:
        if names is not None and name not in names:
            self.found.add(name)
