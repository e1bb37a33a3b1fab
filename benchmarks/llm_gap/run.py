# SPDX-License-Identifier: Apache-2.0
"""The gap of the counters, as a share of w_q M, under prediction: two overloading clients, output lengths ± 50 %."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from measuring import Control, Samples, begin, claim, report, result
from simulated import RUNS, constant, load, measure, oracle, workload

from transect.llm.simulator.trace import Trace
from transect.llm.simulator.workloads import varied

U = 20_000 * 10**6
RUNS_HERE = min(RUNS, 8)  # fewer, since these runs simulate one step at a time


def trace(seed: int) -> Trace:
    return varied(workload("overload"), 0.5, seed)


def main() -> None:
    gaps = {}
    for name in ("foresight", "vtc_predict", "vtc", "vtc_hint"):
        found = measure(name, load(name), trace, gaps=True, hint=oracle, runs=RUNS_HERE)
        assert found.gap
        gaps[name] = found.gap
    largest = measure("constant 1024", load("vtc_hint"), trace, gaps=True, hint=constant(1024), runs=2)
    assert largest.gap
    samples = Samples()
    for value in gaps["foresight"].values:
        samples.add("predicted", value / U)
    report(
        result(
            claim(__file__),
            samples,
            [Control("a constant near the largest output, 1024", largest.gap.mean / U > 0.25)],
            runs=RUNS_HERE,
            gaps={name: {"of_U": gap.mean / U, "worst": max(gap.values) / U} for name, gap in gaps.items()},
            conditions="simulated; U = w_q M = 20,000; vtc_hint: an oracle",
            note="no prediction at all meets this target as well: with two clients and equal prompts, gaps are small",
        ),
        __file__,
    )


if __name__ == "__main__":
    begin(main)
