# SPDX-License-Identifier: Apache-2.0
"""What is known at a point of a function: which options are present, which keys are there, in what range numbers lie.

Facts speak about expressions of the tree; a write to anything that such an expression reads ends the fact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeAlias, assert_never

from transect.base.record import record
from transect.core import ir
from transect.core.ir import BinaryOp, CompareOp, Expr, TableRead
from transect.core.types import IntType
from transect.core.walk import walk


@record
class Present:
    """The option is not None."""

    value: Expr


@record
class Has:
    """The table has the key."""

    field: str
    key: Expr


@record
class AtLeast:
    value: Expr
    bound: int


@record
class AtMost:
    value: Expr
    bound: int


@record
class NonEmpty:
    """The table, or the given field, has a member."""

    field: str


Fact: TypeAlias = Present | Has | AtLeast | AtMost | NonEmpty

_STABLE_READS = frozenset(
    {
        TableRead.AT,
        TableRead.GET,
        TableRead.GET_OR,
        TableRead.TOTAL,
        TableRead.HAS,
        TableRead.LEN,
        TableRead.FIRST,
    }
)
_CHANGING_READS = frozenset({TableRead.POP_FIRST, TableRead.PUT})


@record
class Facts:
    known: frozenset[Fact] = frozenset()
    assigned: frozenset[str] = frozenset()  # locals that have a value on every path to here
    live: bool = True  # False: no path leads here

    def having(self, more: Iterable[Fact]) -> Facts:
        return replace(self, known=self.known | frozenset(more))

    def assign(self, *names: str) -> Facts:
        return replace(
            self._without(lambda e: isinstance(e, ir.Local) and e.name in names),
            assigned=self.assigned | frozenset(names),
        )

    def join(self, other: Facts) -> Facts:
        """What holds on both ways to this point."""
        if not self.live or not other.live:
            return other if not self.live else self
        common = self.known & other.known
        mine, theirs = _tightest(self.known), _tightest(other.known)
        ranges = [
            kind(value, (min if kind is AtLeast else max)(mine[kind, value], theirs[kind, value]))
            for kind, value in mine.keys() & theirs.keys()
        ]
        return Facts(common | frozenset(ranges), self.assigned & other.assigned)

    def surviving(self, after: Facts) -> Facts:
        """These facts without those that an evaluation since then has ended."""
        return replace(self, known=self.known & after.known)

    def dead(self) -> Facts:
        return replace(self, live=False)

    def write_field(self, field: str, removes: bool) -> Facts:
        """What still holds after a write of a state field; `removes`: keys may have been removed."""
        kept = self._without(lambda e: _reads_field(e, field))
        survivors = (
            {f for f in self.known if isinstance(f, Has | NonEmpty) and f.field == field}
            if not removes
            else set()
        )
        survivors = {
            f
            for f in survivors
            if not isinstance(f, Has) or not any(_reads_field(n, field) for n in walk(f.key))
        }
        gone = {f for f in kept.known if isinstance(f, Has | NonEmpty) and f.field == field}
        return replace(kept, known=(kept.known - gone) | survivors)

    def write_view(self, name: str) -> Facts:
        return self._without(lambda e: isinstance(e, ir.ViewField) and e.name == name)

    def write_anything(self) -> Facts:
        """What still holds after a helper that may have written any state."""
        kept = self._without(lambda e: isinstance(e, ir.State | ir.Lookup | ir.ViewField))
        return replace(kept, known=frozenset(f for f in kept.known if not isinstance(f, Has | NonEmpty)))

    def after(self, changes: Changes) -> Facts:
        """What still holds after a helper that makes no changes but these."""
        facts = self
        for field in changes.fields:
            facts = facts.write_field(field, removes=True)
        for name in changes.views:
            facts = facts.write_view(name)
        return facts

    def _without(self, spoilt: Callable[[object], bool]) -> Facts:
        return replace(self, known=frozenset(f for f in self.known if not any(spoilt(n) for n in _parts(f))))


def _tightest(known: Iterable[Fact]) -> dict[tuple[type[AtLeast | AtMost], Expr], int]:
    """The best bound that is known of each value, below and above."""
    found: dict[tuple[type[AtLeast | AtMost], Expr], int] = {}
    for f in known:
        if isinstance(f, AtLeast | AtMost):
            better = max if isinstance(f, AtLeast) else min
            found[type(f), f.value] = better(f.bound, found.get((type(f), f.value), f.bound))
    return found


def _parts(fact: Fact) -> Iterable[object]:
    match fact:
        case Present(value) | AtLeast(value) | AtMost(value):
            return walk(value)
        case Has(key=key):
            return walk(key)
        case NonEmpty():
            return ()
        case _:
            assert_never(fact)


def _reads_field(node: object, field: str) -> bool:
    return isinstance(node, ir.State | ir.Lookup) and node.field == field


def stable(e: Expr) -> bool:
    """Whether evaluating the expression again gives the same value as long as nothing that it reads is written."""
    match e:
        case ir.Const() | ir.Local() | ir.State():
            return True
        case (
            ir.Attr(base=base)
            | ir.ViewField(base=base)
            | ir.Item(base=base)
            | ir.Cast(value=base)
            | ir.Unwrap(value=base)
        ):
            return stable(base)
        case ir.Lookup(op=op, args=args):
            return op in _STABLE_READS and all(map(stable, args))
        case ir.Binary(left=left, right=right):
            return stable(left) and stable(right)
        case ir.MakeTuple(items=items):
            return all(map(stable, items))
        case ir.Intrinsic(name="len" | "dict.get" | "abs", args=args):
            return all(map(stable, args))
        case _:
            return False


@record
class Changes:
    """What a helper may write: state fields, and fields of views by name."""

    fields: frozenset[str] = frozenset()
    views: frozenset[str] = frozenset()


def changes_of(body: ir.Block, helper: Callable[[str], Changes | None]) -> Changes | None:
    """What statements may write, with the helpers that they call; None when that is not known."""
    fields: set[str] = set()
    views: set[str] = set()
    for node in (n for s in body for n in walk(s)):
        match node:
            case ir.StatePlace(field=field) | ir.EntryPlace(field=field) | ir.Remove(field=field):
                fields.add(field)
            case ir.Lookup(op=op, field=field) if op in _CHANGING_READS:
                fields.add(field)
            case ir.ViewPlace(name=name):
                views.add(name)
            case ir.Call(function=name):
                inner = helper(name)
                if inner is None:
                    return None
                fields |= inner.fields
                views |= inner.views
            case _:
                pass
    return Changes(frozenset(fields), frozenset(views))


def changes_state(e: Expr) -> bool:
    """Whether evaluating the expression may write state or outside data."""
    return any(
        isinstance(n, ir.Call) or (isinstance(n, ir.Lookup) and n.op in _CHANGING_READS) for n in walk(e)
    )


def implied(cond: Expr, truth: bool) -> frozenset[Fact]:
    """Facts which follow from a condition being true (or false), once it has been evaluated."""
    return frozenset(_implied(cond, truth))


def _only_locals(fact: Fact) -> bool:
    """Whether no write of state or outside data can end the fact."""
    outside = ir.State | ir.Lookup | ir.ViewField
    return not isinstance(fact, Has | NonEmpty) and not any(isinstance(n, outside) for n in _parts(fact))


def _implied(cond: Expr, truth: bool) -> Iterable[Fact]:
    match cond:
        case ir.Unary(op=ir.UnaryOp.NOT, operand=operand):
            return _implied(operand, not truth)
        case ir.Logic(conjunction=conjunction, left=left, right=right):
            a, b = set(_implied(left, truth)), set(_implied(right, truth))
            if conjunction != truth:
                return a & b
            return b | (set(filter(_only_locals, a)) if changes_state(right) else a)
        case ir.Lookup(op=TableRead.PUT, field=field, args=(key, stored)) if truth:
            same_after = stable(key) and not any(_reads_field(n, field) for n in walk(key))
            return (Has(field, key),) if same_after and not changes_state(stored) else ()
        case ir.IsSome(value=value) if truth and stable(value):
            return (Present(value),)
        case ir.Lookup(op=TableRead.HAS, field=field, args=(key,)) if truth and stable(key):
            return (Has(field, key), NonEmpty(field))
        case ir.LetIn(name=name, value=value, body=body):
            inner = [_renamed(f, name, value) for f in _implied(body, truth)]
            found = [f for f in inner if f is not None]
            return filter(_only_locals, found) if changes_state(body) else found
        case ir.Compare(op=op, left=left, right=right):
            return _from_comparison(op if truth else _NEGATED[op], left, right)
        case _:
            return ()


def _renamed(fact: Fact, name: str, value: Expr) -> Fact | None:
    match fact:
        case AtLeast(ir.Local(name=n), bound) if n == name and stable(value):
            return AtLeast(value, bound)
        case AtMost(ir.Local(name=n), bound) if n == name and stable(value):
            return AtMost(value, bound)
        case _:
            return None if any(isinstance(p, ir.Local) and p.name == name for p in _parts(fact)) else fact


_NEGATED = {
    CompareOp.EQ: CompareOp.NE,
    CompareOp.NE: CompareOp.EQ,
    CompareOp.LT: CompareOp.GE,
    CompareOp.GE: CompareOp.LT,
    CompareOp.GT: CompareOp.LE,
    CompareOp.LE: CompareOp.GT,
}
_SWAPPED = {
    CompareOp.EQ: CompareOp.EQ,
    CompareOp.NE: CompareOp.NE,
    CompareOp.LT: CompareOp.GT,
    CompareOp.GT: CompareOp.LT,
    CompareOp.LE: CompareOp.GE,
    CompareOp.GE: CompareOp.LE,
}


def _from_comparison(op: CompareOp, left: Expr, right: Expr) -> list[Fact]:
    if not isinstance(left.type, IntType):
        return []
    facts: list[Fact] = []
    for a, o, b in ((left, op, right), (right, _SWAPPED[op], left)):
        if isinstance(b, ir.Const) and isinstance(b.value, int) and stable(a):
            facts.extend(_bounded(a, o, b.value))
    return facts


def _bounded(value: Expr, op: CompareOp, bound: int) -> list[Fact]:
    match op:
        case CompareOp.LT:
            return [AtMost(value, bound - 1)]
        case CompareOp.LE:
            return [AtMost(value, bound)]
        case CompareOp.GT:
            return [AtLeast(value, bound + 1), *_not_empty(value, bound + 1)]
        case CompareOp.GE:
            return [AtLeast(value, bound), *_not_empty(value, bound)]
        case CompareOp.EQ:
            return [AtLeast(value, bound), AtMost(value, bound), *_not_empty(value, bound)]
        case CompareOp.NE:
            return _not_empty(value, 1) if bound == 0 else []
        case _:
            assert_never(op)


def _not_empty(value: Expr, at_least: int) -> list[Fact]:
    """A length of at least one says that something is there."""
    if at_least < 1:
        return []
    match value:
        case (
            ir.Lookup(op=TableRead.LEN, field=field) | ir.Intrinsic(name="len", args=(ir.State(field=field),))
        ):
            return [NonEmpty(field)]
        case _:
            return []


_LOWEST, _HIGHEST = -(2**63), 2**63 - 1


def interval(e: Expr, facts: Facts) -> tuple[int, int]:
    """A range in which an `int` certainly lies."""
    low, high = _shape_interval(e, facts)
    for f in facts.known:
        match f:
            case AtLeast(value, bound) if value == e:
                low = max(low, bound)
            case AtMost(value, bound) if value == e:
                high = min(high, bound)
            case _:
                pass
    return low, high


MANY = 64  # facts; a function that knows more learns no ranges of its locals, so that typing stays fast


def bounds(local: ir.Local, value: Expr, facts: Facts) -> list[Fact]:
    """The range of a local that takes this `int`, as facts."""
    if len(facts.known) >= MANY:
        return []
    low, high = interval(value, facts)
    found: list[Fact] = [] if low == _LOWEST else [AtLeast(local, low)]
    return found if high == _HIGHEST else [*found, AtMost(local, high)]


def _shape_interval(e: Expr, facts: Facts) -> tuple[int, int]:
    match e:
        case ir.Const(value=int(value)):
            return value, value
        case ir.Cast(value=inner) if isinstance(inner.type, IntType) and inner.type.bits < 64:
            bits = inner.type.bits
            return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if inner.type.signed else (0, 2**bits - 1)
        case ir.Intrinsic(name="len"):
            return 0, _HIGHEST
        case ir.Intrinsic(name="rand_below", args=(ir.Const(value=int(n)),)) if n > 0:
            return 0, n - 1
        case ir.Binary(op=BinaryOp.MOD, right=ir.Const(value=int(n))) if n > 0:
            return 0, n - 1
        case ir.Binary(op=BinaryOp.AND, right=ir.Const(value=int(mask))) if mask >= 0:
            return 0, mask
        case ir.Binary(op=BinaryOp.FLOORDIV, left=left, right=ir.Const(value=int(n))) if n > 0:
            low, high = interval(left, facts)
            return low // n, high // n
        case ir.Binary(op=BinaryOp.ADD | BinaryOp.SUB as op, left=left, right=right):
            return _sum_interval(op, interval(left, facts), interval(right, facts))
        case ir.Binary(op=BinaryOp.MIN, left=left, right=right):
            (a, b), (c, d) = interval(left, facts), interval(right, facts)
            return min(a, c), min(b, d)
        case ir.Reduce(
            op=ir.ReduceOp.ARGMIN | ir.ReduceOp.ARGMAX,
            source=ir.OverRange(start=start, stop=stop, step=step),
            default=None,
        ) if step > 0:
            return interval(start, facts)[0], interval(stop, facts)[1] - 1
        case ir.Binary(op=BinaryOp.MAX, left=left, right=right):
            (a, b), (c, d) = interval(left, facts), interval(right, facts)
            return max(a, c), max(b, d)
        case _:
            return _LOWEST, _HIGHEST


def _sum_interval(op: BinaryOp, a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    low, high = (a[0] + b[0], a[1] + b[1]) if op is BinaryOp.ADD else (a[0] - b[1], a[1] - b[0])
    return (low, high) if low >= _LOWEST and high <= _HIGHEST else (_LOWEST, _HIGHEST)  # else it may wrap
