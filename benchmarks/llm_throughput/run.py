# SPDX-License-Identifier: Apache-2.0
"""Tokens per second under VTC / first come, first served: the real trace on the simulator.

The real engine (`engine`) is measured by its own part, on a machine that has one; without it the claim is undecided.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from measuring import Control, Samples, claim, report, result
from simulated import A10G, RUNS, interval, load, measure, ratio, workload

from transect.llm.simulator.model import Reserve


def main() -> None:
    real = workload("real")
    vtc = measure("vtc", load("vtc"), real).row.throughput
    fcfs = measure("fcfs", load("fcfs"), real).row.throughput
    again = measure("fcfs", load("fcfs"), real, first_seed=RUNS).row.throughput
    limited = measure("rpm", load("rpm", limit=20), real, runs=2).row.throughput
    whole = measure("vtc", load("vtc"), real, model=A10G.but(reserve=Reserve.SUM), runs=2).row.throughput
    samples = Samples()
    samples.add("simulator", ratio(vtc, fcfs))
    controls = [Control("20 requests per client and minute", limited.mean / fcfs.mean < 0.99)]
    report(
        result(
            claim(__file__),
            samples,
            controls,
            runs=RUNS,
            intervals={"simulator": interval(vtc, fcfs)},
            same_against_itself={"simulator": ratio(again, fcfs)},
            whole_reservation=whole.mean / vtc.mean,
            conditions="simulated",
        ),
        __file__,
    )


if __name__ == "__main__":
    main()
