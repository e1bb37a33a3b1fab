# SPDX-License-Identifier: Apache-2.0
"""One simulated run: a policy, a trace, an engine or several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

from transect.llm.adapter import Chooser, chooser_of
from transect.llm.policies import Loaded
from transect.llm.queue import TenantQueues
from transect.llm.simulator import world
from transect.llm.simulator.engine import Engine, Source, noise
from transect.llm.simulator.job import Job
from transect.llm.simulator.model import Model
from transect.llm.simulator.trace import Arrival, Trace
from transect.llm.watch import Watcher

SPREAD = 0.02  # of step times, in perturbed runs


@dataclass(frozen=True, slots=True)
class Setting:
    """The settings of a run besides policy, trace and engine."""

    seed: int | None = (
        None  # of the policy's random draws, and of the noise on step times; None: without noise
    )
    spread: float = SPREAD
    engines: int = 1
    booked: Callable[[Arrival], int] | None = None  # what admission reserves; None: the true output
    hint: Callable[[Arrival], int] | None = None
    asked: Callable[[Arrival], int] | None = None  # `max_tokens`, which clients may set to anything
    watch: Watcher | None = None  # looks at every step


@dataclass(slots=True)
class Run:
    """What happened."""

    jobs: list[Job]
    queues: TenantQueues
    engines: list[Engine] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return max((job.done for job in self.jobs), default=0.0)


class Direct:
    """Requests go directly into the queue that all engines share."""

    def __init__(self, queues: TenantQueues) -> None:
        self.queues = queues

    def arrive(self, job: Job, now: float) -> None:
        job.refused = self.queues.add(job) is not None


def simulate(
    policy: Loaded,
    trace: Trace,
    model: Model,
    setting: Setting | None = None,
    queues_of: Callable[[Chooser], TenantQueues] = TenantQueues,
) -> Run:
    """Run the trace.  `queues_of`: makes the queues, if they are to count differently from ours.

    Raises `BoundBroken` if the setting's watcher enforces the bound.
    """
    setting = setting or Setting()
    jobs = trace.jobs(
        model.longest_output,
        prompt_extra=model.prompt_extra,
        booked=setting.booked,
        hint=setting.hint,
        asked=setting.asked,
    )
    queues = queues_of(chooser_of(policy.make(), policy.program))
    source = cast(Source, queues)  # each engine gets back the jobs that went in
    made = [
        Engine(model, source, noise(_seed(setting.seed, i), setting.spread)) for i in range(setting.engines)
    ]
    world.run(jobs, Direct(queues), made, _look(setting.watch, queues), setting.seed)
    return Run(jobs, queues, made)


def _seed(seed: int | None, engine: int) -> int | None:
    return None if seed is None else seed * 1000 + engine


def _look(watch: Watcher | None, queues: TenantQueues) -> Callable[[], None] | None:
    if watch is None:
        return None

    def look() -> None:
        watch.look(queues)

    return look


__all__ = ["SPREAD", "Direct", "Run", "Sequence", "Setting", "simulate"]
