# SPDX-License-Identifier: Apache-2.0
"""A plan: the cheapest arrangement of a chain that means the same, what it costs, and the reason for each step."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from transect.core.text import dump
from transect.rpc.chain.arrangement import (
    PROCESSORS,
    PROXIES,
    Carrier,
    Group,
    Layout,
    Processor,
    Wishes,
    order_of,
    places_of,
)
from transect.rpc.chain.constraints import Piece, pieces, written
from transect.rpc.chain.model import ChainFile
from transect.rpc.equivalence.arrangement import Judge
from transect.rpc.equivalence.cache import Cache
from transect.rpc.equivalence.levels import Level
from transect.rpc.equivalence.oneofs import oneofs_of
from transect.rpc.equivalence.pairs import Settings
from transect.rpc.placement.built_in import BuiltIn, Carriers, built_in, carriers
from transect.rpc.placement.costs import Costs
from transect.rpc.placement.moves import (
    Relations,
    comes_first,
    looks_at_peer,
    permitted,
    relations,
    together,
)
from transect.rpc.placement.optimum import Item, Problem, solve
from transect.rpc.placement.profile import Cost, Profile
from transect.rpc.placement.streamed import apart
from transect.rpc.wasm.carrier import WASM

SAME_SIDE = "the same side of the network: the same calls come to it, and its state is one"


class Goal(StrEnum):
    """What to minimise."""

    LATENCY = "latency"
    CPU = "cpu"


@dataclass(frozen=True)
class Step:
    """Something that changes, or must not, and why."""

    who: str
    what: str
    why: str


@dataclass(frozen=True)
class Plan:
    chain: ChainFile
    level: Level
    goal: Goal
    before: Layout
    after: Layout
    cost_before: Cost
    cost_after: Cost
    passes: Mapping[str, float]  # the share of calls that an element lets through, where it was observed
    moves: Sequence[Step]
    refused: Sequence[Step]
    kept: Sequence[tuple[int, int]]  # pairs that keep their order
    states: int
    seconds: float
    pieces: Sequence[Piece] = field(repr=False)
    # The cost of `before` without the proxies that have nothing to do; None: there are no such proxies
    cost_busy: Cost | None = None


def judge() -> Judge:
    """A judge that keeps its answers in the user's cache.  Streams that show a refusal are found only when wanted."""
    return Judge(Settings(witnesses=False), Cache())


def mesh(found: Sequence[Piece], places: Sequence[Processor], wishes: Wishes) -> Layout:
    """The written order as a mesh runs it: a proxy at either side, with a WASM plugin for each element (a native module
    where WASM is not allowed or cannot run them)."""
    groups = []
    for at in PROCESSORS:
        elements = tuple(i for i, place in enumerate(places) if place is at)
        if at.proxy:
            wasm = Carrier.WASM in wishes.carriers and all(_fits_wasm(found[i]) for i in elements)
            groups.append(Group(at, elements, Carrier.WASM if wasm else Carrier.NATIVE, fused=not wasm))
        elif elements:
            groups.append(Group(at, elements))
    return tuple(groups)


def _fits_wasm(piece: Piece) -> bool:
    from transect.rpc.chain.needs import structs_made

    return WASM.respond or not any(
        m.name == "Respond" and m.hook == "request" for m in structs_made(piece.program)
    )


# ---------------------------------------------------------------- planning


@dataclass(frozen=True)
class Way:
    """The problem under one choice of the proxies' carriers."""

    carriers: Carriers
    problem: Problem


Apart = Sequence[Mapping[Processor, str]]
"""For each element: the processors where another carrier would change what it does, and why."""


@dataclass(frozen=True)
class Posed:
    """The problems posed to the optimum for a chain, and what they were made of."""

    pieces: Sequence[Piece]
    reference: Sequence[Processor]  # where the elements are written
    answers: Relations
    costs: Costs
    ways: Sequence[Way]  # the first: a module (or plugin) in each proxy
    apart: Apart

    @property
    def problem(self) -> Problem:
        return self.ways[0].problem

    def layout(self, groups: Sequence[tuple[Processor, Sequence[int]]], way: Way | None = None) -> Layout:
        """The groups of a solution as an arrangement; a library without elements is not in the path."""
        carriers = (way or self.ways[0]).carriers
        return tuple(
            Group(at, tuple(items), carriers[at] if at.proxy else Carrier.NATIVE)
            for at, items in groups
            if items or at.proxy
        )

    def elsewhere(self, element: int, home: Processor) -> float | None:
        """The cost of the cheapest arrangement in which an element is not at this place; None: there is none."""
        found = [solve(_without(way.problem, element, home)) for way in self.ways]
        return min((one.cost for one in found if one is not None), default=None)

    def best(self) -> tuple[Layout, int]:
        """The cheapest arrangement, and how many states were looked at."""
        found = [(way, one) for way in self.ways if (one := solve(way.problem)) is not None]
        assert found, "the written arrangement is one"
        way, best = min(found, key=lambda pair: pair[1].cost)
        return self.layout(best.groups, way), sum(one.states for _, one in found)


def posed(
    chain: ChainFile,
    profile: Profile,
    level: Level,
    passes: Mapping[str, float],
    goal: Goal,
    judging: Judge,
) -> Posed:
    """Raises Unavailable when an element of the chain was not measured, ProtoError when its protos cannot be read."""
    found = pieces(chain.elements, chain.wishes)
    reference = written(found)
    assert reference is not None, "contradictions are told when the file is read"
    known = built_in(found, chain.elements, chain.wishes, judging.settings.limit)
    text = dump if judging.cache is None else judging.cache.text
    costs = Costs.of(found, profile, known, passes, text)
    answers = relations(found, reference, chain.wishes.order, level, judging.of(oneofs_of(chain)))
    elsewhere = apart(chain, found, reference)
    asked = _Asked(costs, reference, answers, elsewhere, chain.wishes.required, goal)
    ways = [Way(chosen, asked.problem(chosen)) for chosen in carriers(chain.wishes, known)]
    return Posed(found, reference, answers, costs, ways, elsewhere)


def plan(
    chain: ChainFile,
    profile: Profile,
    level: Level,
    passes: Mapping[str, float] | None = None,
    goal: Goal = Goal.LATENCY,
    judging: Judge | None = None,
) -> Plan:
    """Raises Unavailable when an element of the chain was not measured, ProtoError when its protos cannot be read."""
    start = time.perf_counter()
    known = dict(passes or {})
    task = posed(chain, profile, level, known, goal, judging or judge())
    found, filters = task.pieces, task.costs.built_in
    after, states = task.best()
    before = mesh(found, task.reference, chain.wishes)
    busy = tuple(group for group in before if group.elements or group.processor in chain.wishes.required)
    return Plan(
        chain,
        level,
        goal,
        before,
        after,
        task.costs.of_layout(before),
        task.costs.of_layout(after),
        known,
        [*_moves(found, before, after, task.answers), *_filters(found, after, filters)],
        [
            *_refusals(found, task.reference, task.answers, task.apart),
            *_stays(task, after),
            *_no_filters(found, filters),
        ],
        list(task.answers.kept),
        states,
        time.perf_counter() - start,
        found,
        task.costs.of_layout(busy) if len(busy) < len(before) else None,
    )


@dataclass(frozen=True)
class _Asked:
    """The part of the problem that does not depend on the proxies' carriers."""

    costs: Costs
    reference: Sequence[Processor]
    answers: Relations
    apart: Apart
    required: Sequence[Processor]
    goal: Goal

    def problem(self, chosen: Carriers) -> Problem:
        items = [self._item(index, chosen) for index in range(len(self.reference))]
        return Problem(
            items,
            self.answers.before(len(items)),
            {at: self._of(self.costs.processor(at, chosen.get(at, Carrier.NATIVE))) for at in PROCESSORS},
            self._of(self.costs.profile.second),
            frozenset(self.required),
            list(together(self.reference, self.answers)),
        )

    def _of(self, cost: Cost) -> float:
        return cost.latency if self.goal is Goal.LATENCY else cost.cpu

    def _item(self, index: int, chosen: Carriers) -> Item:
        piece, home = self.costs.pieces[index], self.reference[index]
        own = {
            at: self._of(self.costs.element(index, chosen.get(at, Carrier.NATIVE)))
            for at in permitted(self.costs.pieces, self.reference, self.answers, self.apart)[index]
            if comes_first(piece, at, home, self.answers.level)
            and (chosen.get(at) is not Carrier.BUILT_IN or index in self.costs.built_in.filters)
        }
        return Item(own, self.costs.share(index), home, looks_at_peer(piece, self.answers.level))


# ---------------------------------------------------------------- reasons


def _moves(found: Sequence[Piece], before: Layout, after: Layout, answers: Relations) -> Iterator[Step]:
    was, now = places_of(before), places_of(after)
    for index, piece in enumerate(found):
        if was[index].side != now[index].side:
            yield Step(piece.name, f"from the {was[index]} to the {now[index]}", answers.sides[index].why)
        elif was[index] is not now[index]:
            yield Step(piece.name, f"from the {was[index]} to the {now[index]}", SAME_SIDE)
    order = order_of(after)
    place = {element: index for index, element in enumerate(order)}
    for first in range(len(found)):
        for second in range(first + 1, len(found)):
            if place[first] > place[second]:
                why = f"proved at `{answers.level}`: they may change places"
                yield Step(found[second].name, f"before {found[first].name}", why)
    there = {group.processor for group in after}
    for group in before:
        if group.processor in PROXIES and group.processor not in there:
            yield Step(f"the {group.processor}", "out of the path", "no element stands there any more")


def _refusals(
    found: Sequence[Piece], reference: Sequence[Processor], answers: Relations, elsewhere: Apart
) -> Iterator[Step]:
    for index, piece in enumerate(found):
        told: dict[str, list[Processor]] = {}
        for at in PROCESSORS:
            if at is reference[index]:
                continue
            if piece.bars[at]:
                told.setdefault(piece.bars[at][0].why, []).append(at)
            elif at.side != reference[index].side and not answers.sides[index].holds:
                told.setdefault(answers.sides[index].why, []).append(at)
            elif at in elsewhere[index]:
                told.setdefault(elsewhere[index][at], []).append(at)
        for why, places in told.items():
            yield Step(piece.name, f"not in the {' or '.join(places)}", why)
    for (first, second), why in answers.kept.items():
        yield Step(found[second].name, f"not before {found[first].name}", why)


def _without(problem: Problem, element: int, home: Processor) -> Problem:
    items = list(problem.items)
    costs = {at: cost for at, cost in items[element].costs.items() if at is not home}
    items[element] = replace(items[element], costs=costs)
    return replace(problem, items=items)


def _stays(task: Posed, after: Layout) -> Iterator[Step]:
    """Elements that may stand elsewhere, and do not."""
    now = places_of(after)
    best = min(one.cost for way in task.ways if (one := solve(way.problem)) is not None)
    for index, piece in enumerate(task.pieces):
        others = [at for at in task.problem.items[index].costs if at is not now[index]]
        if now[index] is not task.reference[index] or not others:
            continue
        cost = task.elsewhere(index, now[index])
        where = " or ".join(others)
        what = f"stays in the {now[index]}, and might go to the {where}"
        if cost is None:
            yield Step(piece.name, what, "not without elements that stay with it, or before it")
        elif cost - best < LEAST:
            yield Step(piece.name, what, "that costs no less")
        else:
            yield Step(piece.name, what, f"that costs {cost - best:.1f} µs more")


LEAST = 0.05  # µs: a smaller difference is not told


PROVED = "proved: it refuses and changes headers just so, keeps nothing and says nothing"


def _filters(found: Sequence[Piece], after: Layout, known: BuiltIn) -> Iterator[Step]:
    for group in after:
        for index in group.elements if group.carrier is Carrier.BUILT_IN else ():
            yield Step(found[index].name, known.said(index), PROVED)


def _no_filters(found: Sequence[Piece], known: BuiltIn) -> Iterator[Step]:
    for index, why in known.refused.items():
        yield Step(found[index].name, "none of Envoy's own filters", why)
