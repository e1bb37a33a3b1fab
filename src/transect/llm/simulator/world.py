# SPDX-License-Identifier: Apache-2.0
"""Engines, what stands in front of them, and time: events happen in order of their times.

Several engines advance in the order of their clocks, none beyond the next arrival or the clock of another, so that each
sees the counters as they are when it chooses.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Protocol

from transect.lang.tape import use
from transect.llm.simulator.engine import Engine
from transect.llm.simulator.job import Job
from transect.llm.simulator.memory import fits_alone

NEVER = float("inf")
NANO = 1_000_000_000


class Front(Protocol):
    """Where requests arrive."""

    def arrive(self, job: Job, now: float, /) -> None: ...


class Clock:
    """Simulated time as a policy sees it, and its random draws: the same in every run with that seed."""

    def __init__(self, seed: int | None) -> None:
        self.seconds = 0.0
        self._numbers = random.Random(f"drawn {seed or 0}")

    def now(self) -> int:
        return round(self.seconds * NANO)

    def draw(self) -> int:
        return self._numbers.getrandbits(64)

    def answer(self, intrinsic: str, ask: Callable[[], object]) -> object:
        return ask()


def run(
    jobs: Sequence[Job],
    front: Front,
    engines: Sequence[Engine],
    look: Callable[[], None] | None,
    seed: int | None,
) -> None:
    """Let all requests arrive and be served.  `look` runs at every change, when all charges are up to date; with it, a
    run takes one step at a time.  `seed`: of the policies' random draws.
    """
    clock = Clock(seed)
    with use(clock):
        World(jobs, front, engines, look, clock).run()


class World:
    def __init__(
        self,
        jobs: Sequence[Job],
        front: Front,
        engines: Sequence[Engine],
        look: Callable[[], None] | None,
        clock: Clock,
    ) -> None:
        self.jobs = jobs
        self.front = front
        self.engines = engines
        self.look = look
        self.clock = clock

    def run(self) -> None:
        arrived = 0
        jobs, count = self.jobs, len(self.jobs)
        while True:
            engine = self._next()
            arrival = jobs[arrived].arrival if arrived < count else NEVER
            if engine is None and arrival == NEVER:
                return
            if engine is None or arrival <= engine.clock:
                self._arrive(jobs[arrived])
                arrived += 1
            else:
                self._advance(engine, arrival)

    def _next(self) -> Engine | None:
        if len(self.engines) == 1:
            return None if self.engines[0].idle else self.engines[0]
        return min((e for e in self.engines if not e.idle), key=lambda e: e.clock, default=None)

    def _arrive(self, job: Job) -> None:
        self.clock.seconds = job.arrival
        if not any(fits_alone(engine.model, job) for engine in self.engines):
            job.refused = job.too_large = True
            return
        self._charge()
        self.front.arrive(job, job.arrival)
        self._wake(job.arrival)
        if self.look is not None:
            self.look()

    def _advance(self, engine: Engine, arrival: float) -> None:
        self.clock.seconds = engine.clock
        until = arrival if self.look is None else 0.0
        if len(self.engines) > 1:
            others = (e.clock for e in self.engines if e is not engine and not e.idle)
            until = min(until, min(others, default=NEVER))
        idle = [e for e in self.engines if e.idle] if len(self.engines) > 1 else []
        engine.advance(until, self._charge)
        if self.look is not None:
            self._charge()
            self.look()
        for other in idle:  # a request was put back, or sent on
            if not other.idle:
                other.clock = max(other.clock, engine.clock)

    def _charge(self) -> None:
        for engine in self.engines:
            engine.charge()

    def _wake(self, now: float) -> None:
        """An engine that stood idle begins now."""
        for engine in self.engines:
            if not engine.running and engine.clock < now:
                engine.clock = now
