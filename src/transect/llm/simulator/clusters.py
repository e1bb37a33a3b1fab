# SPDX-License-Identifier: Apache-2.0
"""Runs with several engines: behind a gateway, or each with a queue of its own and counters that are shared."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import cast

from transect.lang.tape import current
from transect.llm.adapter import chooser_of
from transect.llm.policies import Loaded
from transect.llm.simulator import world
from transect.llm.simulator.engine import Engine, Source, noise
from transect.llm.simulator.front import Account, Gateway, Replicas, Route, anywhere
from transect.llm.simulator.job import Job
from transect.llm.simulator.metric import services
from transect.llm.simulator.model import Model
from transect.llm.simulator.run import SPREAD
from transect.llm.simulator.trace import Trace


def behind_gateway(
    policy: Loaded,
    trace: Trace,
    model: Model,
    *,
    engines: int = 1,
    window: int | None = None,
    account: Account = Account.STREAM,
    estimate: int = 128,
    seed: int | None = None,
) -> list[Job]:
    """Engines which know nothing of clients.  `window`: tokens in flight at each; None: what its memory holds."""
    jobs = trace.jobs(model.longest_output, prompt_extra=model.prompt_extra)
    made = policy.make()
    gateway = Gateway(
        chooser_of(made, policy.program),
        engines,
        model.memory if window is None else window,
        account=account,
        estimate=estimate,
    )
    world.run(jobs, gateway, _engines(model, gateway.engines, seed), None, seed)
    return jobs


def replicated(
    policy: Loaded,
    trace: Trace,
    model: Model,
    *,
    engines: int,
    route: Route | None = None,
    period: float | None = 0.25,
    seed: int | None = None,
) -> list[Job]:
    """A queue and a policy at each engine.  `period`: seconds between exchanges of counters; None: never."""
    jobs = trace.jobs(model.longest_output, prompt_extra=model.prompt_extra)
    choosers = [chooser_of(policy.make(), policy.program) for _ in range(engines)]
    nanoseconds = None if period is None else round(period * world.NANO)
    front = Replicas(choosers, route or anywhere(engines), lambda: current().now(), period=nanoseconds)
    world.run(jobs, front, _engines(model, front.engines, seed), None, seed)
    return jobs


def _engines(model: Model, sources: Sequence[object], seed: int | None) -> list[Engine]:
    return [
        Engine(model, cast(Source, source), noise(None if seed is None else seed * 1000 + i, SPREAD))
        for i, source in enumerate(sources)
    ]


def pinned(client: Hashable, engines: int) -> Route:
    """One client may use the first half of the engines, the others all."""
    half, everyone = range((engines + 1) // 2), range(engines)
    return lambda job: half if job.client == client else everyone


def shares(jobs: Sequence[Job], start: float, end: float) -> Mapping[Hashable, float]:
    """Weighted tokens that each client got from `start` to `end`, in seconds."""
    return services(jobs, start, end)
