# SPDX-License-Identifier: Apache-2.0
"""Chains as entries of the P4 program's tables, as the reference switch's command line takes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from transect.memory.chaser.lower import CAME, END, LINK, MEMBER, Limits
from transect.memory.chaser.steps import DONE, Chain, Step, Test
from transect.memory.chaser.walker import Places
from transect.memory.machine import PAGE
from transect.memory.roce.grant import Grant
from transect.memory.roce.packet import Ends

SOURCE = Path(__file__).parent / "chaser.p4"
P4 = Limits(most=32, least=8, tests=1, behind=2)
WORD = (1 << 64) - 1
FIRST, SECOND = 4, 5  # registers of pointers
NONE = 4  # a number that stands for no word of the answer
OWN = 5  # a number that stands for the node itself, as member of a set


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a table: what each key must be (a range for `range`), the action and its arguments."""

    match: tuple[int | tuple[int, int], ...]
    action: str
    args: tuple[int, ...] = ()


@dataclass(frozen=True)
class Row:
    """An entry, with its table."""

    table: str
    entry: Entry

    @property
    def command(self) -> str:
        """The entry in the form of the reference switch's command line."""
        keys = " ".join(
            f"{m[0]:#x}->{m[1]:#x}" if isinstance(m, tuple) else f"{m:#x}" for m in self.entry.match
        )
        ranged = any(isinstance(m, tuple) for m in self.entry.match)
        words = [
            f"table_add {self.table} {self.entry.action} {keys} =>",
            *(f"{a:#x}" for a in self.entry.args),
        ]
        return " ".join([*words, "1"] if ranged else words)


def needs(chains: Sequence[Chain]) -> tuple[str, ...]:
    """Blocks of the program that chains use.  Any address may turn out to be behind page tables."""
    steps = [s for c in chains for s in c.steps]
    found = ["PAGES"]
    if any(s.inserts is not None or s.outside is not None for s in steps):
        found.append("SETS")
    if any(s.tests for s in steps):
        found.append("TESTS")
    return tuple(found)


def of_chains(chains: Sequence[Chain]) -> tuple[list[Row], list[int]]:
    """The steps of all chains, one after the other; and where each chain begins."""
    rows: list[Row] = []
    firsts: list[int] = []
    first = 0
    for chain in chains:
        firsts.append(first)
        for number, step in enumerate(chain.steps, first):
            rows.append(Row("arrivals", Entry((number,), "arrive", tuple(_arrive(step, chain, first)))))
        start = chain.steps[0]
        assert start.base == LINK, "a chain begins with its node"
        rows.append(Row("beginnings", Entry((first,), "begin", tuple(_read(start)))))
        first += len(chain.steps)
    return rows, firsts


def of_grant(grant: Grant, places: Places, ends: Ends) -> list[Row]:
    """The entries for what the target has granted."""
    own, peer = int.from_bytes(ends.own, "big"), int.from_bytes(ends.peer, "big")
    rows = []
    for number, pair in enumerate(grant.pairs[:16]):
        rows.append(Row("pairs", Entry((peer, grant.first_peer_pair + number), "chain_of", (number,))))
        args = grant.linear, grant.linear + places.root, places.levels, grant.key, pair, own, peer
        rows.append(Row("grants", Entry((number,), "granted", args)))
        for first, last, delta in _memory(places):
            rows.append(Row("memory", Entry((number, (first, last)), "in_memory", (delta,))))
    return rows


def _memory(places: Places) -> Iterator[tuple[int, int, int]]:
    """First and last address of a READ, and what is added to it for the target, which knows its linear map alone."""
    for r in places.ranges:
        if r.end - r.start >= P4.most:
            yield places.linear + r.start, places.linear + r.end - P4.most, 0
        low, high = max(r.start, places.base), min(r.end, places.base + places.image_size)
        if high - low >= P4.most:
            moved = places.image - places.base
            yield low + moved, high + moved - P4.most, places.linear - moved & WORD


def _read(step: Step) -> Iterator[int]:
    """Offset, the last place in a page at which the READ may begin, length."""
    yield from (step.offset & WORD, PAGE - step.length, step.length)


def _arrive(step: Step, chain: Chain, first: int) -> Iterator[int]:
    """Arguments of `arrive`, in its order."""
    assert step.then != DONE and step.otherwise == DONE, "a step leads to another, or to the end"
    moved = {move.into: move for move in step.moves}
    came, end, member = (moved.get(register) for register in (CAME, END, MEMBER))
    yield step.length // 8
    yield step.check is not None
    yield step.check[0] // 8 if step.check is not None else 0
    for move in (came, end):
        assert move is None or move.source == LINK, "an end is a number behind the node"
        yield move is not None
        yield move.at & WORD if move is not None else 0
    for register in (LINK, FIRST, SECOND):
        move = moved.get(register)
        assert move is None or move.source is None, "a pointer comes from the answer"
        yield move.at // 8 if move is not None else NONE
    if member is None:
        yield from (NONE, 0)
    elif member.source is None:
        yield from (member.at // 8, 0)
    else:
        yield from (OWN, member.at & WORD)
    for flag in (step.inserts, step.outside, step.opens):
        yield flag is not None
    yield from (step.keeps, step.closes, step.stop is not None)
    after = chain.steps[step.then]
    yield from (first + step.then, after.base, *_read(after))
    yield from _test(step.tests[0]) if step.tests else (NONE, 0, 0, 0, 0)


def _test(of: Test) -> Iterator[int]:
    """The field stays in its place in the word; the numbers to which it is compared are shifted there."""
    whole, shift = (1 << 8 * of.size) - 1, 8 * (of.at % 8)
    yield of.at // 8
    yield (of.mask & whole) << shift
    yield min(of.low, whole) << shift
    yield min(of.high, whole) << shift
    yield of.inverted
