# SPDX-License-Identifier: Apache-2.0
"""Whether one more request fits: the admission tests of engines.  Sizes in tokens."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Sequence
from typing import Protocol

from transect.llm.simulator.job import Job
from transect.llm.simulator.model import Model, Reserve

FOREVER = 1 << 40  # steps


class Room(Protocol):
    """The memory of one engine."""

    def begin(self, running: Sequence[Job], steps: int, context: int) -> None:
        """Admission begins, with these requests running."""
        ...

    def take(self, job: Job) -> bool:
        """Whether the job fits beside those running and those taken before; if so, it is taken."""
        ...

    def steps_left(self, count: int, context: int) -> int:
        """How many decode steps there is memory for, with so many running."""
        ...


def room_of(model: Model) -> Room:
    match model.reserve:
        case Reserve.PEAK:
            return Peak(model)
        case Reserve.SUM:
            return Sum(model)
        case Reserve.NONE:
            return Unreserved(model)


def fits_alone(model: Model, job: Job) -> bool:
    """Whether an engine that does nothing else can serve it to its end; if not, it refuses it."""
    room = room_of(model)
    room.begin((), 0, 0)
    return job.prompt + job.output <= model.memory and room.take(job)


class Peak:
    """The peak of future use.  With the remaining outputs in descending order, all that runs while the k-th is still
    running is those up to it: remaining_k · k + Σ_{j ≤ k} (input_j + produced_j) must stay below M for every k.  The
    last token of a request is never stored; the adapter of each client that runs takes its part of M."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._left: list[int] = []  # −(output still reserved), ascending
        self._sizes: list[int] = []  # input and output so far, in that order
        self._clients: set[Hashable] = set()

    def begin(self, running: Sequence[Job], steps: int, context: int) -> None:
        next_step = steps + 1
        both = sorted(
            (next_step - job.until if job.until > next_step else 0, job.prompt - job.born + steps)
            for job in running
        )
        self._left = [left for left, _ in both]
        self._sizes = [size for _, size in both]
        self._clients = {job.client for job in running}

    def take(self, job: Job) -> bool:
        if len(self._left) >= self._model.sequences:
            return False
        # The prefill of the job makes one token, while the others stand still.
        left, size = min(job.produced + 1 - job.booked, 0), job.prompt + job.produced + 1
        place = bisect_left(self._left, left)
        self._left.insert(place, left)
        self._sizes.insert(place, size)
        clients = self._clients | {job.client}
        if self._peak() < self._model.memory - self._model.client_tokens * len(clients):
            self._clients = clients
            return True
        del self._left[place], self._sizes[place]
        return False

    def _peak(self) -> int:
        most = sizes = 0
        for count, left in enumerate(self._left, 1):
            sizes += self._sizes[count - 1]
            use = sizes - left * count
            if use > most:
                most = use
        return most

    def steps_left(self, count: int, context: int) -> int:
        return FOREVER


class Sum:
    """The prompt and the whole reserved output of each, at the same time."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._used = 0
        self._count = 0

    def begin(self, running: Sequence[Job], steps: int, context: int) -> None:
        self._used = sum(job.prompt + job.until - job.born for job in running)
        self._count = len(running)

    def take(self, job: Job) -> bool:
        size = job.prompt + max(job.booked, job.produced + 1)
        if self._count >= self._model.sequences or self._used + size > self._model.memory:
            return False
        self._used += size
        self._count += 1
        return True

    def steps_left(self, count: int, context: int) -> int:
        return FOREVER


class Unreserved:
    """The prompt, and one token for everybody: what comes later is preempted when memory ends."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._used = 0
        self._count = 0

    def begin(self, running: Sequence[Job], steps: int, context: int) -> None:
        self._used = context + len(running)
        self._count = len(running)

    def take(self, job: Job) -> bool:
        size = job.prompt + job.produced + 2  # the token that comes with the prefill, and the next one
        if self._count >= self._model.sequences or self._used + size > self._model.memory:
            return False
        self._used += size
        self._count += 1
        return True

    def steps_left(self, count: int, context: int) -> int:
        return (self._model.memory - context) // count if count else FOREVER
