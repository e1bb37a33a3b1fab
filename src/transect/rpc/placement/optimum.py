# SPDX-License-Identifier: Apache-2.0
"""The cheapest arrangement, exactly.

An arrangement is the processors that stand in the path, and the elements of each in order.  The calls that reach an
element pay its cost; their share is the product of the shares which the elements before it let through.  For each
choice of processors, the search is dynamic programming over the sets of elements that can have been passed so far (the
ideals of the order that must be kept), processor by processor.  Three rules, each exact, keep the search small:

- a choice of processors whose least possible cost is above the best found is left out;
- elements that let everything through, and that no other element must follow, come last where they can: they are not
  part of the sets;
- of two elements with the same constraints, one that is cheaper and lets less through comes first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

from transect.rpc.chain.arrangement import PROCESSORS, Processor

TIE = 1e-6  # µs for each change: among arrangements of the same cost, the one most like the written one wins


@dataclass(frozen=True, slots=True)
class Item:
    """An element, as far as its costs and places go."""

    costs: Mapping[Processor, float]  # for each place where it may stand: its cost per call that reaches it
    passes: float = 1.0  # share of these calls that go on
    home: Processor | None = None  # as written
    # It looks at who calls, so it stands in a library only if that side has no proxy
    first_at_side: bool = False


@dataclass(frozen=True)
class Problem:
    items: Sequence[Item]  # in the written order
    # For each item: the set (bits) of the items that must stay before it; all of them are written before it
    before: Sequence[int]
    hops: Mapping[Processor, float]  # what a processor costs by itself, for each call that reaches it
    second: float = 0.0  # what the second proxy costs on top
    required: frozenset[Processor] = frozenset()
    together: Sequence[frozenset[int]] = ()  # the items of each of these sets stay in one processor


@dataclass(frozen=True, slots=True)
class Solution:
    groups: tuple[tuple[Processor, tuple[int, ...]], ...]
    cost: float
    states: int  # that were looked at


def price(problem: Problem, groups: Sequence[tuple[Processor, Sequence[int]]]) -> float:
    """What an arrangement costs."""
    cost, reach, proxies = 0.0, 1.0, 0
    for at, items in groups:
        proxies += at.proxy
        cost += reach * (problem.hops[at] + (problem.second if at.proxy and proxies == 2 else 0.0))
        for item in items:
            cost += reach * problem.items[item].costs[at]
            reach *= problem.items[item].passes
    return cost


def solve(problem: Problem) -> Solution | None:
    """The cheapest arrangement; None when there is none."""
    best: Solution | None = None
    looked = 0
    tasks = sorted(_tasks(problem), key=lambda task: task.least)
    for task in tasks:
        if best is not None and task.least > best.cost:
            break  # all others cost at least as much
        found = task.solve()
        looked += task.states
        if found is not None and (best is None or found.cost < best.cost):
            best = found
    return None if best is None else replace(best, states=looked)


def _tasks(problem: Problem) -> Iterator[_Task]:
    """One task for each choice of processors, and of a processor for each set that stays together."""
    useful = [p for p in PROCESSORS if p in problem.required or any(p in i.costs for i in problem.items)]
    for chosen in product((False, True), repeat=len(useful)):
        there = tuple(p for p, use in zip(useful, chosen, strict=True) if use)
        if problem.required <= set(there):
            for homes in product(there, repeat=len(problem.together)):
                allowed = _allowed(problem, there, homes)
                if allowed is not None:
                    yield _Task(problem, there, allowed)


Allowed = list[list[int]]
"""For each item: the places where it may stand, as indices into the chosen processors."""


def _allowed(problem: Problem, there: Sequence[Processor], homes: Sequence[Processor]) -> Allowed | None:
    """The places that a choice of processors and homes, and the order to keep, allow; None when an item has none."""
    proxied = {p.side for p in there if p.proxy}
    found: Allowed = []
    for number, item in enumerate(problem.items):
        home = {h for group, h in zip(problem.together, homes, strict=True) if number in group}
        found.append(
            [
                index
                for index, at in enumerate(there)
                if at in item.costs
                and (not home or home == {at})
                and not (item.first_at_side and not at.proxy and at.side in proxied)
            ]
        )
    for number, before in enumerate(problem.before):  # forward: not before the items that must precede it
        for other in _members(before):
            least = min(found[other], default=len(there))
            found[number] = [at for at in found[number] if at >= least]
    for number in reversed(range(len(found))):  # backward
        most = max(found[number], default=-1)
        for other in _members(problem.before[number]):
            found[other] = [at for at in found[other] if at <= most]
    return found if all(found) else None


def _members(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


@dataclass
class _Task:
    """The cheapest arrangement with just these processors."""

    problem: Problem
    there: tuple[Processor, ...]
    allowed: Allowed
    states: int = 0
    least: float = field(init=False)

    def __post_init__(self) -> None:
        items = self.problem.items
        passing = math.prod(item.passes for item in items)
        self.hops = self._hops()
        # All calls meet the first processor; those which pass all elements meet everything else as well.
        self.least = sum(self.hops[:1]) + passing * (
            sum(self.hops[1:])
            + sum(
                min(item.costs[self.there[at]] for at in places)
                for item, places in zip(items, self.allowed, strict=True)
            )
        )

    def _hops(self) -> list[float]:
        proxies = 0
        found = []
        for at in self.there:
            proxies += at.proxy
            extra = self.problem.second if at.proxy and proxies == 2 else 0.0
            found.append(self.problem.hops[at] + extra)
        return found

    def cost(self, item: int, at: int) -> float:
        return self.problem.items[item].costs[self.there[at]]

    # ------------------------------------------------------------ those that come last

    def split(self) -> tuple[list[int], dict[int, int]]:
        """The items for the sets; and those that come last, each with its last possible place."""
        last: dict[int, int] = {}
        after = self._after()
        for number in reversed(range(len(self.problem.items))):
            followers = after[number]
            if self.problem.items[number].passes < 1.0 or any(f not in last for f in followers):
                continue
            bound = min((last[f] for f in followers), default=len(self.there))
            at = max((a for a in self.allowed[number] if a <= bound), default=None)
            if at is None or any(self.cost(number, a) < self.cost(number, at) for a in self.allowed[number]):
                continue
            last[number] = at
            for other in _members(self.problem.before[number]):
                self.allowed[other] = [a for a in self.allowed[other] if a <= at]
        return [n for n in range(len(self.problem.items)) if n not in last], last

    def _after(self) -> list[list[int]]:
        after: list[list[int]] = [[] for _ in self.problem.items]
        for number, before in enumerate(self.problem.before):
            for other in _members(before):
                after[other].append(number)
        return after

    # ------------------------------------------------------------ the others

    def solve(self) -> Solution | None:
        core, last = self.split()
        if not all(self.allowed):
            return None
        search = _Search(self, core, last)
        order = search.run()
        self.states += search.states
        if order is None:
            return None
        groups = self._groups(order, last)
        made = tuple((at, tuple(items)) for at, items in zip(self.there, groups, strict=True))
        changes = sum(at is not self.problem.items[item].home for at, items in made for item in items)
        return Solution(made, price(self.problem, made) + TIE / 100 * changes, 0)

    def _groups(self, order: list[list[int]], last: dict[int, int]) -> list[list[int]]:
        """The whole arrangement: those that come last stay nearest to where they are written, at the same cost."""
        groups = [list(items) for items in order]
        passing = [math.prod(self.problem.items[i].passes for i in items) for items in groups]
        reach = [math.prod(passing[: at + 1]) for at in range(len(groups))]
        place = {item: at for at, items in enumerate(groups) for item in items}
        lowest = self._lowest(last)
        after = self._after()
        for number in sorted(last, reverse=True):
            bound = min((place[f] for f in after[number]), default=len(groups))
            choice = [a for a in self.allowed[number] if lowest[number] <= a <= bound]
            choice = [
                a for a in choice if all(place.get(b, 0) <= a for b in _members(self.problem.before[number]))
            ]
            home = self.problem.items[number].home
            place[number] = min(
                choice,
                key=lambda a: (
                    self.cost(number, a) * reach[a],
                    self.there[a] is not home,
                    home is not None and self.there[a].side != home.side,
                    -a,
                ),
            )
            groups[place[number]].append(number)
        return [self._ordered(items, last) for items in groups]

    def _lowest(self, last: Mapping[int, int]) -> dict[int, int]:
        """The earliest place of each item that comes last, given the items that must stay before it."""
        lowest: dict[int, int] = {}
        for number in sorted(last):
            before = [lowest[b] for b in _members(self.problem.before[number]) if b in lowest]
            lowest[number] = min(a for a in self.allowed[number] if a >= max(before, default=0))
        return lowest

    def _ordered(self, items: list[int], last: Mapping[int, int]) -> list[int]:
        if all(self.problem.items[i].passes == 1.0 for i in items):
            return sorted(items)
        return [i for i in items if i not in last] + sorted(i for i in items if i in last)


class _Search:
    """Dynamic programming over sets of items, processor by processor."""

    def __init__(self, task: _Task, core: Sequence[int], last: Mapping[int, int]) -> None:
        self.task = task
        self.core = core
        self.whole = (1 << len(core)) - 1
        self.bit = {item: index for index, item in enumerate(core)}
        self.states = 0
        self.items = [task.problem.items[item] for item in core]
        self.before = [self._translated(task.problem.before[item]) for item in core]
        self._twins()
        self.late = [0.0] * len(task.there)  # what those that come last cost at the end of each processor
        for item, at in last.items():
            self.late[at] += task.cost(item, at)
        self._reach: dict[int, float] = {0: 1.0}
        self.parents: list[dict[int, tuple[int, int]]] = []  # for each processor: set → (set before, item)

    def _translated(self, mask: int) -> int:
        return sum(1 << self.bit[item] for item in _members(mask) if item in self.bit)

    def _twins(self) -> None:
        """Put the better of two items with the same constraints first: wherever they stand, that never costs more."""
        original = [
            (b, tuple(i for i, o in enumerate(self.before) if o >> n & 1)) for n, b in enumerate(self.before)
        ]
        for a in range(len(self.core)):
            for b in range(len(self.core)):
                if a != b and original[a] == original[b] and self._first(a, b):
                    self.before[b] |= 1 << a

    def _first(self, a: int, b: int) -> bool:
        allowed = self.task.allowed
        if allowed[self.core[a]] != allowed[self.core[b]]:
            return False
        costs = [{self.task.cost(self.core[x], at) for at in allowed[self.core[x]]} for x in (a, b)]
        if len(costs[0]) > 1 or len(costs[1]) > 1:
            return False
        one = (min(costs[0]), self.items[a].passes)
        two = (min(costs[1]), self.items[b].passes)
        return one[0] <= two[0] and one[1] <= two[1] and (one != two or a < b)

    def reach(self, mask: int) -> float:
        found = self._reach.get(mask)
        if found is None:
            low = mask & -mask
            found = self.reach(mask ^ low) * self.items[low.bit_length() - 1].passes
            self._reach[mask] = found
        return found

    def run(self) -> list[list[int]] | None:
        states: dict[int, float] = {0: 0.0}
        for at, hop in enumerate(self.task.hops):
            entered = {mask: cost + hop * self.reach(mask) for mask, cost in states.items()}
            states = self._through(at, entered)
            done = sum(1 << b for b, item in enumerate(self.core) if max(self.task.allowed[item]) <= at)
            states = {
                mask: cost + self.late[at] * self.reach(mask)
                for mask, cost in states.items()
                if mask & done == done
            }
        return self._order() if self.whole in states else None

    def _through(self, at: int, entered: dict[int, float]) -> dict[int, float]:
        """The sets that can have been passed at the end of a processor, and the least cost of each."""
        here = [b for b, item in enumerate(self.core) if at in self.task.allowed[item]]
        costs = [self.task.cost(item, at) if b in here else 0.0 for b, item in enumerate(self.core)]
        strange = [self.task.there[at] is not item.home for item in self.items]
        parents: dict[int, tuple[int, int]] = {}
        best = dict(entered)
        layers: list[list[int]] = [[] for _ in range(len(self.core) + 1)]
        for mask in entered:
            layers[mask.bit_count()].append(mask)
        for size, layer in enumerate(layers):
            for mask in layer:
                self.states += 1
                cost, reach = best[mask], self.reach(mask)
                for b in here:
                    bit = 1 << b
                    if mask & bit or self.before[b] & ~mask:
                        continue
                    after = mask | bit
                    # Changes: items written before this one and not yet passed, and a place that is not its own.
                    changes = (bit - 1 & ~mask).bit_count() + strange[b]
                    new = cost + costs[b] * reach + TIE * changes
                    known = best.get(after)
                    if known is None:
                        layers[size + 1].append(after)
                    if known is None or new < known:
                        best[after] = new
                        parents[after] = (mask, b)
        self.parents.append(parents)
        return best

    def _order(self) -> list[list[int]]:
        """Go back from the whole set, processor by processor."""
        mask = self.whole
        found: list[list[int]] = []
        for parents in reversed(self.parents):
            items: list[int] = []
            while mask in parents:
                mask, b = parents[mask]
                items.append(self.core[b])
            found.append(items[::-1])
        assert mask == 0, "it begins with nothing passed"
        return found[::-1]
