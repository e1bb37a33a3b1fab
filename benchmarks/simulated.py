# SPDX-License-Identifier: Apache-2.0
"""What the simulated claims of the llm stratum share: perturbed rows, gaps of counters, and ratios of means.

Step times vary by ± 2 %, seeds are paired.  Simulated figures are means over the runs; a ratio is one of means, with a
bootstrap 95 % interval over the paired runs.  The A/A control is the baseline with other seeds against itself.
"""

from __future__ import annotations

import os
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from transect.llm.adapter import Chooser
from transect.llm.policies import Loaded, load
from transect.llm.queue import TenantQueues
from transect.llm.simulator.metric import Cost, fairness, linear
from transect.llm.simulator.model import Model, engine
from transect.llm.simulator.perturbed import Row, Spread, summary
from transect.llm.simulator.run import Run, Setting, simulate
from transect.llm.simulator.trace import Arrival, Trace
from transect.llm.simulator.workloads import workload
from transect.llm.watch import Watcher

RUNS = int(os.environ.get("RUNS", "32"))
A10G = engine("a10g-llama-2-7b")
UNBOUNDED = 1 << 62
Hint = Callable[[Arrival], int]


@dataclass(frozen=True, slots=True)
class Measured:
    """A policy over all runs."""

    row: Row
    gap: Spread | None  # between the counters of waiting clients, micro-tokens


def measure(
    name: str,
    policy: Loaded,
    trace: Trace | Callable[[int], Trace],
    *,
    hint: Callable[[int], Hint] | None = None,
    gaps: bool = False,
    model: Model = A10G,
    service: Cost = linear,
    demand: Cost | None = None,
    first_seed: int = 0,
    runs: int = RUNS,
    each: Callable[[Run], object] = lambda run: None,
    queues_of: Callable[[Chooser], TenantQueues] = TenantQueues,
) -> Measured:
    found, worst = [], []
    for seed in range(first_seed, first_seed + runs):
        watch = Watcher(UNBOUNDED) if gaps else None
        setting = Setting(seed=seed, hint=hint(seed) if hint else None, watch=watch)
        run = simulate(policy, trace(seed) if callable(trace) else trace, model, setting, queues_of)
        each(run)
        found.append(fairness(run.jobs, service, demand))
        if watch is not None:
            worst.append(float(watch.worst))
    return Measured(summary(name, found), Spread(tuple(worst)) if gaps else None)


def ratio(ours: Spread, base: Spread) -> float:
    return ours.mean / base.mean


def interval(ours: Spread, base: Spread) -> dict[str, float]:
    """Bootstrap over pairs, 95 %."""
    draw = random.Random(0)
    pairs = list(zip(ours.values, base.values, strict=True))
    found = []
    for _ in range(2000):
        chosen = draw.choices(pairs, k=len(pairs))
        found.append(statistics.fmean(a for a, _ in chosen) / statistics.fmean(b for _, b in chosen))
    found.sort()
    return {"low": found[50], "high": found[1949]}


def plain(row: Row) -> dict[str, Any]:
    """A row for the record."""
    figures = {
        "greatest": row.greatest,
        "average": row.average,
        "variance": row.variance,
        "throughput": row.throughput,
    }
    return {"name": row.name} | {
        key: {
            "mean": round(f.mean, 3),
            "half": round(f.half, 3),
            "p5": round(f.percentile(0.05), 3),
            "p95": round(f.percentile(0.95), 3),
        }
        for key, f in figures.items()
    }


def beyond(figure: Spread, published: float) -> dict[str, float] | None:
    """By which share a published figure lies beyond the 5–95 % range of the runs; None: it lies inside."""
    low, high = figure.percentile(0.05), figure.percentile(0.95)
    if low <= published <= high:
        return None
    nearest = low if published < low else high
    return {"published": published, "p5": low, "p95": high, "beyond": published / nearest - 1}


def constant(tokens: int) -> Callable[[int], Hint]:
    return lambda seed: lambda a: tokens


def oracle(seed: int) -> Hint:
    return lambda a: a.output


__all__ = [
    "A10G",
    "RUNS",
    "Measured",
    "Sequence",
    "beyond",
    "constant",
    "interval",
    "load",
    "measure",
    "oracle",
    "plain",
    "ratio",
    "workload",
]
