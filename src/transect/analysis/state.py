# SPDX-License-Identifier: Apache-2.0
"""Unknown state and the writes to it.

A table is its unknown first content and a list of guarded writes.  All that the two sides of a question have in common
is the first content, so two tables are equal when they agree at every key that either side wrote: no theory of arrays
is needed.  How many entries there are, the order of insertion and the overflow count are terms of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import zip_longest
from typing import Any

from transect.analysis import fold
from transect.analysis.terms import FALSE, TRUE, Op, Sort, Term, function, integer, var
from transect.analysis.values import (
    Option,
    Unsupported,
    Value,
    anything,
    build,
    join,
    leaves,
    made,
    same,
    stored,
)
from transect.core.types import (
    BytesType,
    EnumType,
    IntType,
    TableKind,
    TableType,
    TextType,
    Type,
)

UNROLLED = 16  # rounds of a loop at most; a longer one is summarised
ZERO, NOTHING = integer(0), var("nothing", Sort.OPAQUE)
Assume = Callable[[Term], None]


def nothing(_: Term) -> None:
    """Ignores assumptions about inputs."""


def restricted(t: Type, term: Term, assume: Assume) -> Term:
    """An unknown value of a type that is narrower than its sort: integers are cut, texts are within their bound."""
    match t:
        case IntType(bits=bits, signed=signed) if bits < 64:
            return fold.narrow(term, bits, signed)
        case TextType(bound=int(bound)) | BytesType(bound=int(bound)):
            assume(fold.fits(term, bound))
        case EnumType(members=members, open=False):
            assume(fold.either(*(fold.equal(term, integer(number)) for _, number in members)))
        case _:
            pass
    return term


def unknown(name: str, t: Type, assume: Assume = nothing, args: tuple[Term, ...] = ()) -> Value:
    """Any value of the type; with arguments, an unknown function of them."""

    def leaf(path: str, leaf_type: Type, sort: Sort) -> Term:
        return restricted(leaf_type, function(name + path, sort, args), assume)

    return build(t, leaf)


# ---------------------------------------------------------------- tables


@dataclass(frozen=True, slots=True)
class Written:
    """One write: where the guard holds, the key's entry takes the value, or is removed (`value` is None)."""

    guard: Term
    key: Value
    value: Value | None


@dataclass(frozen=True, slots=True)
class Table:
    """A table, an array, or a map of outside data."""

    name: str  # of the unknown first content
    key: Type
    value: Type
    kind: TableKind | None = None  # None: an array or a map of outside data
    capacity: int | None = None  # None: without an end
    writes: tuple[Written, ...] = ()
    size: Term = ZERO  # entries; a tally's zeros count
    overflow: Term = ZERO
    order: Term = NOTHING
    empty: bool = False  # at first

    # ------------------------------------------------------------ reading

    def _first(self, key: Value, assume: Assume) -> tuple[Term, Value]:
        """What was there at first."""
        if self.empty:
            return FALSE, anything(self.value)
        args = tuple(term for _, term in leaves(key))
        present = function(f"{self.name}[]", Sort.BOOL, args)
        if self.kind is not None:
            assume(fold.implies(present, fold.less(integer(0), self._first_size())))
        return present, unknown(self.name, self.value, assume, args)

    def _first_size(self) -> Term:
        return var(f"{self.name}#", Sort.INT)

    def has(self, key: Value, assume: Assume = nothing) -> Term:
        """Whether there is an entry; a key beyond its bound is none's."""
        fits, key = stored(self.key, key)
        found, _ = self._first(key, assume)
        for w in self.writes:
            there = fold.both(w.guard, same(w.key, key))
            found = fold.ite(there, FALSE if w.value is None else TRUE, found)
        return fold.both(fits, found)

    def get(self, key: Value, assume: Assume = nothing) -> Value:
        """The entry's value, if there is one; else an arbitrary value."""
        key = made(self.key, key)
        _, found = self._first(key, assume)
        for w in self.writes:
            if w.value is not None:
                found = join(fold.both(w.guard, same(w.key, key)), w.value, found)
        return found

    def total(self, key: Value, zero: Value, assume: Assume = nothing) -> Value:
        """A tally's answer: an absent key reads as 0."""
        return join(self.has(key, assume), self.get(key, assume), zero)

    def option(self, key: Value, assume: Assume = nothing) -> Option:
        return Option(self.has(key, assume), self.get(key, assume))

    # ------------------------------------------------------------ writing

    def put(self, key: Value, value: Value, assume: Assume = nothing) -> tuple[Term, Table]:
        """Whether there was room, and the table afterwards."""
        key_fits, key = stored(self.key, key)
        value_fits, value = stored(self.value, value)
        fits = fold.both(key_fits, value_fits)
        if self.kind is None:
            return fits, self._written(fits, key, value)
        there = self.has(key, assume)
        full = self._full()
        if self.kind is TableKind.LRU:
            return fits, self._put_lru(fits, there, full, key, value, assume)
        done = fold.both(fits, fold.either(there, fold.negate(full)))
        new = fold.both(done, fold.negate(there))
        one = integer(1)
        after = self._written(done, key, value)
        return done, replace(
            after,
            size=fold.ite(new, fold.arithmetic(_ADD, self.size, one), self.size),
            overflow=fold.ite(done, self.overflow, fold.arithmetic(_ADD, self.overflow, one)),
            order=fold.ite(new, self._ordered("insert", key), self.order),
        )

    def _put_lru(
        self, fits: Term, there: Term, full: Term, key: Value, value: Value, assume: Assume
    ) -> Table:
        new = fold.both(fits, fold.negate(there))
        evicts = fold.both(new, full)
        victim = self._oldest(self.order)
        one = integer(1)
        gone = self._removed(fold.both(evicts, fold.negate(same(victim, key))), victim)
        after = gone._written(fits, key, value)
        order = self._ordered("store", key, there, full)
        stays = fold.both(there, fold.negate(same(victim, key)))
        moves = fold.either(fold.both(there, same(victim, key)), fold.both(fold.negate(there), full))
        self._second_comes(moves, fold.either(stays, fold.negate(fold.either(there, full))), order, assume)
        return replace(
            after,
            size=fold.ite(
                fold.both(new, fold.negate(full)), fold.arithmetic(_ADD, self.size, one), self.size
            ),
            overflow=fold.ite(fits, self.overflow, fold.arithmetic(_ADD, self.overflow, one)),
            order=fold.ite(fits, order, self.order),
        )

    def touched(self, key: Value, assume: Assume = nothing) -> Table:
        """The table after a read of its entry, which matters to an lru."""
        there = self.has(key)
        key = made(self.key, key)
        order = self._ordered("touch", key)
        was_oldest = same(self._oldest(self.order), key)
        self._second_comes(was_oldest, fold.negate(was_oldest), order, assume)
        return replace(self, order=fold.ite(there, order, self.order))

    def _oldest(self, order: Term) -> Value:
        return unknown(f"{self.name}.oldest", self.key, nothing, (order,))

    def _second_comes(self, moves: Term, stays: Term, after: Term, assume: Assume) -> None:
        """Which entry is the least recent after a change: if there are at least two, the second takes the place of the
        first.
        """
        if assume is nothing:
            return
        second = unknown(f"{self.name}.second", self.key, nothing, (self.order,))
        first, now = self._oldest(self.order), self._oldest(after)
        some = fold.less(integer(1), self.size)
        assume(fold.implies(some, fold.negate(same(first, second))))
        assume(fold.implies(fold.both(some, moves), same(now, second)))
        assume(fold.implies(fold.both(some, stays), same(now, first)))

    def removed(self, key: Value) -> Table:
        key = made(self.key, key)
        there = self.has(key)
        less = fold.arithmetic(_SUB, self.size, integer(1))
        return replace(
            self._removed(TRUE, key),
            size=fold.ite(there, less, self.size),
            order=fold.ite(there, self._ordered("remove", key), self.order),
        )

    def _full(self) -> Term:
        if self.capacity is None:
            return FALSE
        return fold.at_most(integer(self.capacity), self.size)

    def _written(self, guard: Term, key: Value, value: Value) -> Table:
        return self if guard is FALSE else replace(self, writes=(*self.writes, Written(guard, key, value)))

    def _removed(self, guard: Term, key: Value) -> Table:
        return self if guard is FALSE else replace(self, writes=(*self.writes, Written(guard, key, None)))

    def _ordered(self, what: str, key: Value, *more: Term) -> Term:
        return function(f"order.{what}", Sort.OPAQUE, (self.order, *(term for _, term in leaves(key)), *more))

    # ------------------------------------------------------------ comparing and joining

    def same_entries(self, other: Table) -> Term:
        """Whether both hold the same entries, given that both had the same first content."""
        if self.name != other.name:
            return same(var(f"{self.name} whole", Sort.OPAQUE), var(f"{other.name} whole", Sort.OPAQUE))
        if self.writes == other.writes:
            return TRUE
        keys = [w.key for w in (*self.writes, *other.writes)]
        return fold.both(*(self._same_at(other, key) for key in keys))

    def _same_at(self, other: Table, key: Value) -> Term:
        a, b = self.option(key), other.option(key)
        return same(a.value, b.value) if self.kind is None and self.capacity is not None else same(a, b)

    def keys_asked(self) -> Iterable[Value]:
        return (w.key for w in self.writes)


_ADD, _SUB = Op.ADD, Op.SUB


def fresh_table(name: str, t: TableType, assume: Assume) -> Table:
    size = var(f"{name}#", Sort.INT)
    assume(fold.at_most(integer(0), size))
    assume(fold.at_most(size, integer(t.capacity)))
    return Table(
        name,
        t.key,
        t.value,
        t.kind,
        t.capacity,
        size=size,
        overflow=var(f"{name}!", Sort.INT),
        order=var(f"{name} order", Sort.OPAQUE),
    )


def join_tables(cond: Term, a: Table, b: Table) -> Table:
    """The table after a branch: writes of either side, under its condition."""
    if a == b:
        return a
    if a.name != b.name:
        whole = function(
            f"{a.name}|{b.name}", Sort.OPAQUE, (cond, var(a.name, Sort.OPAQUE), var(b.name, Sort.OPAQUE))
        )
        return replace(a, name=f"joined {whole.serial}", writes=())
    common = 0
    while common < min(len(a.writes), len(b.writes)) and a.writes[common] == b.writes[common]:
        common += 1
    unless = fold.negate(cond)
    mine = [replace(w, guard=fold.both(cond, w.guard)) for w in a.writes[common:]]
    theirs = [replace(w, guard=fold.both(unless, w.guard)) for w in b.writes[common:]]
    return replace(
        a,
        writes=(*a.writes[:common], *(w for w in (*mine, *theirs) if w.guard is not FALSE)),
        size=fold.ite(cond, a.size, b.size),
        overflow=fold.ite(cond, a.overflow, b.overflow),
        order=fold.ite(cond, a.order, b.order),
    )


# ---------------------------------------------------------------- everything that a handler may change


@dataclass(frozen=True, slots=True)
class Said:
    """One message to the outside: a trace, a report, or an outside write that no world models."""

    guard: Term
    name: str
    args: tuple[Term, ...]


Held = Value | Table


@dataclass(slots=True)
class Path:
    """Where an evaluation stands.  Copied at branches, joined after them; tables and values never change."""

    frame: dict[str, Value] = field(default_factory=dict)
    fields: dict[str, Held] = field(default_factory=dict)  # the policy's state
    overflow: dict[str, Term] = field(default_factory=dict)  # of fields which hold one value
    locals: dict[str, Value] = field(default_factory=dict)  # those of this RPC
    outside: dict[str, Held] = field(default_factory=dict)  # views' fields by path; what a world keeps
    said: tuple[Said, ...] = ()
    draws: Term = ZERO  # how many random numbers this call has drawn

    def copy(self) -> Path:
        return Path(
            dict(self.frame),
            dict(self.fields),
            dict(self.overflow),
            dict(self.locals),
            dict(self.outside),
            self.said,
            self.draws,
        )


def join_paths(cond: Term, a: Path, b: Path, first: Callable[[str], Held]) -> Path:
    """`a` where the condition holds.  `first` gives the first content of outside data that only one side touched."""
    return Path(
        _joined_frame(cond, a.frame, b.frame),
        _joined_all(cond, a.fields, b.fields),
        _joined_all(cond, a.overflow, b.overflow),
        _joined_all(cond, a.locals, b.locals),
        {
            name: join_held(cond, a.outside.get(name) or first(name), b.outside.get(name) or first(name))
            for name in {**a.outside, **b.outside}
        },
        _joined_said(cond, a.said, b.said),
        fold.ite(cond, a.draws, b.draws),
    )


def _joined_frame(cond: Term, a: Mapping[str, Value], b: Mapping[str, Value]) -> dict[str, Value]:
    """The locals that both sides have.  A local that cannot be joined is left out, which matters only if it is read."""
    found: dict[str, Value] = {}
    for name in a:
        if name in b:
            with suppress(Unsupported):
                found[name] = join(cond, a[name], b[name])
    return found


def _joined_all(cond: Term, a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    return {name: join_held(cond, a[name], b[name]) for name in a}


def join_held(cond: Term, a: Held, b: Held) -> Held:
    if isinstance(a, Table) and isinstance(b, Table):
        return join_tables(cond, a, b)
    assert not isinstance(a, Table) and not isinstance(b, Table), "a field is a table on both sides"
    return join(cond, a, b)


def _joined_said(cond: Term, a: tuple[Said, ...], b: tuple[Said, ...]) -> tuple[Said, ...]:
    if a == b:
        return a
    common = 0
    while common < min(len(a), len(b)) and a[common] == b[common]:
        common += 1
    unless = fold.negate(cond)
    return (
        *a[:common],
        *(replace(s, guard=fold.both(cond, s.guard)) for s in a[common:]),
        *(replace(s, guard=fold.both(unless, s.guard)) for s in b[common:]),
    )


def same_held(a: Held, b: Held) -> Term:
    """Whether two fields or pieces of outside data hold the same."""
    if isinstance(a, Table) and isinstance(b, Table):
        return a.same_entries(b)
    assert not isinstance(a, Table) and not isinstance(b, Table), "both are tables, or none is"
    return same(a, b)


def said_same(a: tuple[Said, ...], b: tuple[Said, ...]) -> Term:
    """Whether both sides said the same, given that messages stand in the same order on both."""
    if a == b:
        return TRUE
    parts = []
    for x, y in zip_longest(a, b):
        if x is None or y is None or x.name != y.name or len(x.args) != len(y.args):
            parts += [fold.negate(s.guard) for s in (x, y) if s is not None]
            continue
        same_args = fold.both(*map(fold.equal, x.args, y.args))
        parts.append(fold.both(fold.equal(x.guard, y.guard), fold.implies(x.guard, same_args)))
    return fold.both(*parts)


class Way(Enum):
    """How a block ended."""

    ON = "on"
    BREAK = "break"
    CONTINUE = "continue"
    RETURN = "return"


@dataclass(frozen=True, slots=True)
class End:
    way: Way
    guard: Term  # given that the block began
    path: Path
    value: Value = None


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a call, and the path after it."""

    value: Value
    path: Path
