# SPDX-License-Identifier: Apache-2.0
"""One engine with continuous batching, an iteration at a time: admit what fits, else one decode step.

Where nothing can happen between two steps (no admission is tried, nobody finishes), steps follow each other in a tight
loop, and clients are charged for all of them together before anybody looks.  The first token comes with the prefill.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Protocol

from transect.llm.simulator.job import Job
from transect.llm.simulator.memory import Room, room_of
from transect.llm.simulator.model import Model

Noise = Callable[[], float]


class Source(Protocol):
    """Where an engine gets its requests from, and what it reports their progress to."""

    def __len__(self) -> int: ...
    def peek(self) -> Job | None: ...
    def pop(self) -> Job: ...
    def put_back(self, request: Job, /) -> None: ...
    def produced(self, request: Job, tokens: int, /) -> None: ...
    def finish(self, request: Job, /) -> None: ...


def noise(seed: int | None, spread: float) -> Noise | None:
    """Factors on step times, uniform within ± spread; None: exactly as the model says."""
    if seed is None or not spread:
        return None
    draw = random.Random(seed).random
    low, width = 1 - spread, 2 * spread
    return lambda: low + width * draw()


class Engine:
    """A batch, its clock, and the steps that it has made."""

    def __init__(self, model: Model, source: Source, noise: Noise | None = None) -> None:
        self.model = model
        self.source = source
        self.noise = noise
        self.room: Room = room_of(model)
        self.clock = 0.0
        self.steps = 0
        self.running: list[Job] = []
        self.context = 0  # tokens of all running requests
        self.next_end = 0  # the step at which the first running request finishes
        self.since_admission = model.quiet_steps  # decode steps
        self.busy = 0.0  # seconds
        self.preemptions = 0

    @property
    def idle(self) -> bool:
        """Nothing runs, and nothing that waits could run."""
        return not self.running and not len(self.source)

    def advance(self, until: float, charge: Callable[[], None]) -> None:
        """Iterate once, or go on while nothing can happen, to `until` at most (the last step may end later).

        `charge` brings everybody's charges up to date; it runs before an admission is tried.
        """
        if len(self.source) and (not self.running or self.since_admission >= self.model.quiet_steps):
            charge()
            batch = self._admit()
            if batch:
                self._prefill(batch)
                return
            assert self.running, "a request that fits alone does not fit"
        self._decode(until)

    # ---------------------------------------------------------------- admission

    def _admit(self) -> list[Job]:
        """The requests that the policy chooses, until one does not fit; then nobody else is tried."""
        batch: list[Job] = []
        source, room = self.source, self.room
        room.begin(self.running, self.steps, self.context)
        left = self.model.batch_tokens
        while (job := source.peek()) is not None:
            left -= job.prompt + job.produced
            if (batch and left < 0) or not room.take(job):
                break
            source.pop()
            batch.append(job)
        return batch

    def _prefill(self, batch: list[Job]) -> None:
        times = self.model.times
        tokens = sum(job.prompt + job.produced for job in batch)
        self._spend(times.prefill + times.prefill_per_token * tokens + times.prefill_per_request * len(batch))
        self.since_admission = 0
        for job in batch:
            job.born = self.steps - job.produced - 1
            job.end = job.born + job.output
            job.until = job.born + max(job.booked, job.produced + 1)
            job.marked = self.steps - 1
            self.context += job.prompt + job.produced + 1
            if job.first < 0:
                job.first = self.clock
        self.running += batch
        self._settle_ends()

    def _spend(self, seconds: float) -> None:
        seconds *= 1.0 if self.noise is None else self.noise()
        self.clock += seconds
        self.busy += seconds

    # ---------------------------------------------------------------- decoding

    def _decode(self, until: float) -> None:
        """Make at least one step, and then all until the next one could change anything."""
        last = self._last_step()  # may preempt
        count = len(self.running)
        noise = self.noise
        fixed, per_token, last = self._plane(count, last)
        context, clock = self.context, self.clock
        began, steps = clock, self.steps
        while True:
            seconds = fixed + per_token * context
            clock += seconds if noise is None else seconds * noise()
            context += count
            steps += 1
            if steps >= last or clock >= until:
                break
        self.since_admission += steps - self.steps
        self.busy += clock - began
        self.clock, self.context, self.steps = clock, context, steps
        # The last token of each was not stored yet.
        assert context - count <= self.model.memory, f"{context} tokens in a memory of {self.model.memory}"
        if steps >= self.next_end:
            self._settle_ends()

    def _plane(self, count: int, last: int) -> tuple[float, float, int]:
        """The longer one of the two times that a step may take, as a constant and a factor for each token of context;
        and the last step at which it is the longer one.
        """
        times = self.model.times
        fixed = (
            times.step_small + times.step_small_per_sequence * count,
            times.step_large + times.step_large_per_sequence * count,
        )
        each = times.step_small_per_token, times.step_large_per_token
        context, end = self.context, self.context + count * (last - self.steps)
        now = fixed[1] + each[1] * context > fixed[0] + each[0] * context
        then = fixed[1] + each[1] * end > fixed[0] + each[0] * end
        return fixed[now], each[now], last if now == then else self.steps + 1

    def _last_step(self) -> int:
        """The step after which somebody may finish, be admitted or be preempted."""
        last = self.next_end
        if len(self.source):
            last = min(last, self.steps + max(1, self.model.quiet_steps - self.since_admission))
        short = self.room.steps_left(len(self.running), self.context)
        if short < 1:
            self._preempt()
            return self._last_step()
        return min(last, self.steps + short)

    def _preempt(self) -> None:
        """The request that came last gives up its memory, waits again, and is computed anew when it returns."""
        assert len(self.running) > 1, "one request alone finds no memory"
        self.charge()
        job = self.running.pop()
        self.context -= job.prompt + job.produced
        self.preemptions += 1
        self.since_admission = 0
        self.source.put_back(job)
        self.next_end = min(job.end for job in self.running)

    def charge(self) -> None:
        """Tell the source what was produced since the last time."""
        steps, produced = self.steps, self.source.produced
        for job in self.running:
            if job.marked < steps:
                tokens, job.marked = steps - job.marked, steps
                produced(job, tokens)

    def _settle_ends(self) -> None:
        """Requests that have produced everything leave."""
        ended = [job for job in self.running if job.end <= self.steps]
        if ended:
            self.charge()
            self.running = [job for job in self.running if job.end > self.steps]
            for job in ended:
                self.context -= job.prompt + job.produced
                job.done = self.clock
                self.source.finish(job)
        self.next_end = min((job.end for job in self.running), default=0)
