# SPDX-License-Identifier: Apache-2.0
"""The suites whose published numbers we have, with nothing fitted on any of them; tables of the other suites."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from measuring import Control, Samples, begin, claim, report, result
from simulated import A10G, RUNS, Hint, beyond, load, measure, oracle, plain, workload

from transect.llm.simulator.metric import linear, profiled
from transect.llm.simulator.perturbed import Row
from transect.llm.simulator.workloads import NAMES, forecast

PUBLISHED = {  # average; tokens/s, where it is given
    "overload vtc": (103.77, 893.16),
    "overload ± 50 %": (12.54, 898.5),  # the middle of the published 893 … 904
    "overload oracle": (0.51, 898.5),
    "real profiled vtc": (368.74, None),
    "real profiled fcfs": (457.29, None),
}
OTHERS = ("fcfs", "vtc")
SPEEDS = (0.96, 0.97, 0.98, 0.985, 0.99, 1.0, 1.01)


def half(seed: int) -> Hint:
    return forecast(0.5, seed)


def main() -> None:
    overload, real, hinted = workload("overload"), workload("real"), load("vtc_hint")
    rows = {
        "overload vtc": measure("vtc", load("vtc"), overload).row,
        "overload ± 50 %": measure("vtc ± 50 %", hinted, overload, hint=half).row,
        "overload oracle": measure("vtc oracle", hinted, overload, hint=oracle).row,
        "real profiled vtc": measure(
            "vtc_profiled", load("vtc_profiled"), real, service=profiled, demand=linear
        ).row,
        "real profiled fcfs": measure("fcfs", load("fcfs"), real, service=profiled, demand=linear).row,
    }
    # Two clients alternate in a cycle of 23 s, which beats with the windows of the measure (60 s, every 28.5 s).
    beat = {
        f"steps x {speed}": {
            "overload vtc": measure("vtc", load("vtc"), overload, model=model, runs=1).row.average.mean,
            "overload oracle": measure(
                "vtc oracle", hinted, overload, hint=oracle, model=model, runs=1
            ).row.average.mean,
        }
        for speed, model in ((s, A10G.but(times=A10G.times.scaled(s))) for s in SPEEDS)
    }
    average = {name: abs(rows[name].average.mean / want[0] - 1) for name, want in PUBLISHED.items()}
    rates = {n: abs(rows[n].throughput.mean / want[1] - 1) for n, want in PUBLISHED.items() if want[1]}
    outside = {
        name: found for name, want in PUBLISHED.items() if (found := beyond(rows[name].average, want[0]))
    }
    samples = Samples()
    samples.add("throughput_error", max(rates.values()))
    samples.add("average_error", max(average.values()))
    fcfs = measure("fcfs", load("fcfs"), overload, runs=1).row
    report(
        result(
            claim(__file__),
            samples,
            [
                Control(
                    "first come, first served in the row of VTC", abs(fcfs.average.mean / 103.77 - 1) > 0.10
                )
            ],
            runs=RUNS,
            average_errors=average,
            throughput_errors=rates,
            table={name: plain(row) for name, row in rows.items()},
            averages_outside=outside,
            averages_by_speed=beat,
            others={
                "holds": None,
                "why": "no published number at hand",
                "tables": {name: [plain(row) for row in _others(name)] for name in NAMES[2:]},
            },
            conditions="simulated; step times ± 2 %",
        ),
        __file__,
    )


def _others(name: str) -> list[Row]:
    policies = (*OTHERS, "vtc_weighted") if name == "weighted" else OTHERS
    return [measure(policy, load(policy), workload(name), runs=min(RUNS, 4)).row for policy in policies]


if __name__ == "__main__":
    begin(main)
