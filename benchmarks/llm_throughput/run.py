# SPDX-License-Identifier: Apache-2.0
"""Tokens per second under VTC / first come, first served: the real trace on the simulator.

The real engine (`engine`) is measured where there is one; without it the claim is undecided.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path[:0] = [
    str(Path(__file__).parents[1]),
    str(Path(__file__).parents[1] / "llm_engine"),
    str(Path(__file__).parents[2]),
]

from measured import engine_ratio
from measuring import Control, Samples, begin, claim, report, result
from simulated import A10G, RUNS, interval, load, measure, ratio, workload

from tests.parts import need
from transect.base.unavailable import Unavailable
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
    of_engine: dict[str, Any] = {}
    try:
        python = need("vllm")
        assert isinstance(python, Path)
        control, of_engine = engine_ratio(python, samples)
        controls.append(control)
    except Unavailable as lacking:
        of_engine["engine_not_measured"] = str(lacking)
    report(
        result(
            claim(__file__),
            samples,
            controls,
            runs=RUNS,
            intervals={"simulator": interval(vtc, fcfs)},
            same_against_itself={"simulator": ratio(again, fcfs)},
            whole_reservation=whole.mean / vtc.mean,
            conditions="simulated; the engine is real",
            **of_engine,
        ),
        __file__,
    )


if __name__ == "__main__":
    begin(main)
