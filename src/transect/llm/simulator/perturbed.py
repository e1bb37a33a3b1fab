# SPDX-License-Identifier: Apache-2.0
"""Many runs with perturbed step times.  Outcomes are chaotic: a noise of 2 % on step times moves the greatest
difference by a fifth, so one run proves nothing.  The same seeds serve every policy, so that runs can be compared in
pairs.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from transect.llm.policies import Loaded
from transect.llm.simulator.metric import Cost, Fairness, fairness, linear
from transect.llm.simulator.model import Model
from transect.llm.simulator.run import Run, Setting, simulate
from transect.llm.simulator.trace import Trace

RUNS = 32


@dataclass(frozen=True, slots=True)
class Spread:
    """One figure over all runs."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def half(self) -> float:
        """Half the width of the 95 % interval of the mean (normal approximation)."""
        count = len(self.values)
        return 1.96 * statistics.stdev(self.values) / count**0.5 if count > 1 else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        return self.mean - self.half, self.mean + self.half

    def percentile(self, share: float) -> float:
        """The value at that share of the runs, interpolated between the nearest two."""
        ordered = sorted(self.values)
        place = share * (len(ordered) - 1)
        low = int(place)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (ordered[high] - ordered[low]) * (place - low)

    def within(self, value: float) -> bool:
        """Whether the value lies in the 5–95 % range of the runs."""
        return self.percentile(0.05) <= value <= self.percentile(0.95)


@dataclass(frozen=True, slots=True)
class Row:
    """A policy's line in a table."""

    name: str
    greatest: Spread
    average: Spread
    variance: Spread
    throughput: Spread
    seconds: Spread
    too_large: int = field(default=0, kw_only=True)  # requests that no engine had the memory for


def row(
    name: str,
    policy: Loaded,
    trace: Trace | Callable[[int], Trace],
    model: Model,
    setting: Setting | Callable[[int], Setting] | None = None,
    *,
    runs: int = RUNS,
    service: Cost = linear,
    demand: Cost | None = None,
    by_weight: bool = False,
    each: Callable[[Run], object] = lambda run: None,
) -> Row:
    """Run it with seeds 0, 1, …; a single run is without noise.  `trace` and `setting` may depend on the seed, which is
    entered into the setting here.  `each` sees every run; `by_weight` as in `metric.fairness`.
    """
    found = []
    for seed in range(runs):
        given = (setting(seed) if callable(setting) else setting) or Setting()
        if runs > 1:
            given = replace(given, seed=seed)
        run = simulate(policy, trace(seed) if callable(trace) else trace, model, given)
        each(run)
        found.append(fairness(run.jobs, service, demand, by_weight=by_weight))
    return replace(summary(name, found), too_large=sum(job.too_large for job in run.jobs))


def summary(name: str, runs: Sequence[Fairness]) -> Row:
    def spread(figure: str) -> Spread:
        return Spread(tuple(float(getattr(run, figure)) for run in runs))

    return Row(name, *map(spread, ("greatest", "average", "variance", "throughput", "seconds")))
