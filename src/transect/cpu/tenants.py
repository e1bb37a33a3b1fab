# SPDX-License-Identifier: Apache-2.0
"""Tenants that an operator names, in a scheduler with a lane for each: two arrays of its state, by lane.

A policy has such lanes if it declares `tenants` (their numbers) and `weights`, both `Array[int] = array(64)`.  Lane 0
belongs to `anonymous`, and to all tenants that are not named.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from transect.base.followed import LOOK_S, Followed
from transect.base.tenant import number_of
from transect.base.weights import ORDINARY, NoWeights, read_weights
from transect.core.ir import Program
from transect.core.types import ArrayType, IntType
from transect.cpu.platform import LANES

logger = logging.getLogger("transect.cpu")

NUMBERS, WEIGHTS = "tenants", "weights"
SEATS = range(1, LANES - 1)  # the last lane stays free: policies begin their search there
LEAST = 100  # no weight is less than this fraction of the sum: each tenant gets a turn before the kernel loses patience

Words = Mapping[str, Sequence[int]]


class State(Protocol):
    """The state of a scheduler in force."""

    def status(self) -> Mapping[str, Words]: ...
    def set(self, field: str, words: Sequence[int], /) -> list[int]: ...


def takes(program: Program) -> bool:
    """Whether the policy has lanes for tenants."""
    wanted = ArrayType(IntType(64, signed=True), LANES)
    found = {f.name: f.type for f in program.state}
    return found.get(NUMBERS) == found.get(WEIGHTS) == wanted


def arranged(now: Words, named: Mapping[str, int]) -> dict[str, list[int]]:
    """The words of both fields, weights first: a lane has its weight before a tenant is in it.

    `named`: at most as many tenants as there are lanes.  A tenant keeps its lane.  A lane without a tenant keeps its
    weight, since threads may wait in it.
    """
    ours = {number_of(name): weight for name, weight in named.items()}
    ours.setdefault(0, ORDINARY)
    numbers = [number if number in ours else 0 for number in now[NUMBERS]]
    free = [lane for lane in SEATS if not numbers[lane]]
    for lane, number in zip(free, sorted(ours.keys() - {0, *numbers}), strict=False):
        numbers[lane] = number
    least = -(-sum(ours.values()) // LEAST)
    weights = list(now[WEIGHTS])
    for lane, number in enumerate(numbers):
        if number or not lane:
            weights[lane] = max(ours[number], least)
    return {WEIGHTS: weights, NUMBERS: numbers}


def read_named(path: Path) -> Mapping[str, int]:
    """Weights by tenant.  Raises `NoWeights`, also if there are more tenants than lanes."""
    named = read_weights(path)
    if len(named) > len(SEATS):
        raise NoWeights(f"names {len(named)} tenants, and a scheduler has lanes for {len(SEATS)}")
    return named


class Shares:
    """The weights of a file, given to the scheduler in force."""

    def __init__(self, path: Path) -> None:
        """Raises `NoWeights`."""
        self._weights = Followed(path, read_named, NoWeights)
        self._given: Mapping[str, int] = {}

    def give(self, state: State) -> None:
        """Give it what the file says now."""
        weights = self._weights.now()
        for field, words in arranged(state.status()["fields"], weights).items():
            state.set(field, words)
        self._given = weights

    @contextmanager
    def followed(self, give: Callable[[], None]) -> Iterator[None]:
        """Until the block ends, call `give` whenever the file changes; it is tried until it succeeds."""
        ended = threading.Event()

        def follow() -> None:
            said = ""
            while not ended.wait(LOOK_S):
                if self._weights.now() == self._given:
                    continue
                try:
                    give()
                    said = ""
                except (
                    Exception
                ) as wrong:  # whatever it is, the previous weights stay in force until it has passed
                    if str(wrong) != said:
                        logger.warning("the weights of tenants are not in force yet: %s", wrong)
                    said = str(wrong)

        thread = threading.Thread(target=follow, name="weights", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
