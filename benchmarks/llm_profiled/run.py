# SPDX-License-Identifier: Apache-2.0
"""The real trace, measured and charged in the profiled cost h: the average difference with our forecast and without."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from measuring import Control, Samples, begin, claim, report, result
from simulated import RUNS, interval, load, measure, plain, ratio, workload

from transect.llm.simulator.metric import Fairness, fairness, linear, profiled
from transect.llm.simulator.perturbed import summary
from transect.llm.simulator.run import Run


def also(into: list[Fairness]) -> Callable[[Run], None]:
    """The same run, measured as the published table has it: service in h, demand in x + 2 y."""
    return lambda run: into.append(fairness(run.jobs, profiled, linear))


def main() -> None:
    real = workload("real")
    names = ("foresight_profiled", "vtc", "vtc_profiled", "fcfs")
    rows, mixed = {}, []
    for name in names:
        others: list[Fairness] = []
        rows[name] = measure(name, load(name), real, service=profiled, each=also(others)).row
        mixed.append(summary(name, others))
    again = measure("vtc", load("vtc"), real, service=profiled, first_seed=RUNS).row
    ours = rows["foresight_profiled"]
    samples = Samples()
    samples.add("linear", ratio(ours.average, rows["vtc"].average))
    samples.add("unpredicted", ratio(ours.average, rows["vtc_profiled"].average))
    samples.add("throughput", ratio(ours.throughput, rows["fcfs"].throughput))
    toy = ratio(rows["vtc_profiled"].average, rows["vtc"].average)
    report(
        result(
            claim(__file__),
            samples,
            [Control("charging h without a forecast", toy > 0.97)],
            runs=RUNS,
            intervals={
                "linear": interval(ours.average, rows["vtc"].average),
                "unpredicted": interval(ours.average, rows["vtc_profiled"].average),
            },
            same_against_itself={"average": ratio(again.average, rows["vtc"].average)},
            table=[plain(row) for row in rows.values()],
            published_variant={
                "what": "service in h, demand in x + 2 y, as the published table has it",
                "rows": [plain(row) for row in mixed],
            },
            conditions="simulated; service and demand in h",
        ),
        __file__,
    )


if __name__ == "__main__":
    begin(main)
