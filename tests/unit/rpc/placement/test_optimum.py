# SPDX-License-Identifier: Apache-2.0
"""The optimum, against looking at every arrangement."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from itertools import combinations_with_replacement, permutations

import pytest

from transect.rpc.chain.arrangement import PROCESSORS, PROXIES, SIDES, Processor
from transect.rpc.placement.optimum import Item, Problem, price, solve

Groups = tuple[tuple[Processor, tuple[int, ...]], ...]


def arrangements(problem: Problem) -> Iterator[Groups]:
    """All that are admitted."""
    count = len(problem.items)
    for chosen in range(16):
        there = [p for i, p in enumerate(PROCESSORS) if chosen >> i & 1]
        if not problem.required <= set(there) or (count and not there):
            continue
        for order in permutations(range(count)):
            for cuts in combinations_with_replacement(range(count + 1), max(0, len(there) - 1)):
                ends = [0, *cuts, count]
                groups = tuple((p, order[ends[i] : ends[i + 1]]) for i, p in enumerate(there))
                if admitted(problem, groups):
                    yield groups


def admitted(problem: Problem, groups: Groups) -> bool:
    place = {item: at for at, items in groups for item in items}
    proxied = {at.side for at, _ in groups if at.proxy}
    passed = 0
    for _, items in groups:
        for item in items:
            if problem.before[item] & ~passed:
                return False
            passed |= 1 << item
    return (
        all(at in problem.items[item].costs for item, at in place.items())
        and not any(
            problem.items[item].first_at_side and not at.proxy and at.side in proxied
            for item, at in place.items()
        )
        and all(len({place[item] for item in group}) == 1 for group in problem.together)
    )


def random_problem(rng: random.Random, count: int) -> Problem:
    items = []
    for _ in range(count):
        places = [p for p in PROCESSORS if rng.random() < 0.6]
        same = rng.choice([1.0, 2.0, 5.0, rng.random() * 10])
        costs = {p: same if rng.random() < 0.8 else rng.choice([1.0, 3.0]) for p in places}
        passes = rng.choice([1.0, 1.0, 0.9, 0.5, rng.random()])
        items.append(Item(costs, passes, rng.choice(places or [None]), rng.random() < 0.15))
    dense = rng.random() * 0.7
    return Problem(
        items,
        [sum(1 << j for j in range(i) if rng.random() < dense) for i in range(count)],
        {p: rng.choice([0.0, 1.0, 10.0, 100.0]) for p in PROCESSORS},
        rng.choice([0.0, 5.0]),
        frozenset(p for p in PROXIES if rng.random() < 0.15),
        [frozenset(rng.sample(range(count), 2))] if count > 1 and rng.random() < 0.3 else [],
    )


def test_nothing_is_cheaper() -> None:
    solved = 0
    for seed in range(300):
        rng = random.Random(seed)
        problem = random_problem(rng, rng.randint(0, 4))
        least = min((price(problem, groups) for groups in arrangements(problem)), default=None)
        found = solve(problem)
        if found is None:
            assert least is None, seed
            continue
        solved += 1
        assert least is not None, seed
        assert admitted(problem, found.groups), seed
        assert price(problem, found.groups) == pytest.approx(least, abs=1e-4), seed
    assert solved > 150


def test_what_costs_the_same_stays_as_it_is_written() -> None:
    everywhere = {p: 1.0 for p in PROCESSORS}
    items = [Item(everywhere, 1.0, Processor.SERVER_PROXY), Item(everywhere, 1.0, Processor.SERVER_PROXY)]
    found = solve(Problem(items, [0, 0], {p: 7.0 for p in PROCESSORS}))
    assert found is not None
    assert found.groups == ((Processor.SERVER_PROXY, (0, 1)),)


def test_who_rejects_more_for_less_comes_first() -> None:
    at = Processor.SERVER_LIBRARY
    items = [Item({at: 5.0}, 0.9, at), Item({at: 1.0}, 0.5, at), Item({at: 3.0}, 1.0, at)]
    found = solve(Problem(items, [0, 0, 0], {at: 0.0 for at in PROCESSORS}))
    assert found is not None
    assert found.groups == ((at, (1, 0, 2)),)
    assert found.cost == pytest.approx(1 + 0.5 * 5 + 0.45 * 3, abs=1e-4)


@pytest.mark.parametrize("rejecting", [0, 6, 12])
def test_twenty_elements_take_no_time(rejecting: int) -> None:
    rng = random.Random(rejecting)
    items = []
    for index in range(20):
        places = rng.choice([PROCESSORS, SIDES["server"]])
        items.append(
            Item(
                {p: 1 + index * 0.1 for p in places},
                rng.uniform(0.9, 0.99) if index < rejecting else 1.0,
                Processor.SERVER_PROXY,
            )
        )
    before = [sum(1 << j for j in range(i) if rng.random() < 0.2) for i in range(20)]
    start = time.process_time()
    assert solve(Problem(items, before, {p: 150.0 if p.proxy else 10.0 for p in PROCESSORS}, 50.0))
    assert time.process_time() - start < 1.5
