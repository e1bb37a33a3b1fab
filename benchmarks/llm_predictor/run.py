# SPDX-License-Identifier: Apache-2.0
"""The counter gap under predictions of the output length, on the real trace; all rows reserve the same memory."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from measuring import Control, Samples, begin, claim, report, result
from simulated import RUNS, constant, interval, load, measure, oracle, plain, ratio, workload

CONSTANTS = (256, 288, 320, 352, 384)
U = 20_000 * 10**6  # w_q M, micro-tokens


def main() -> None:
    real, hinted = workload("real"), load("vtc_hint")
    ours = measure("foresight", load("foresight"), real, gaps=True)
    ema = measure("vtc_predict", load("vtc_predict"), real, gaps=True)
    exact = measure("oracle", hinted, real, gaps=True, hint=oracle)
    fixed = {c: measure(f"constant {c}", hinted, real, gaps=True, hint=constant(c)) for c in CONSTANTS}
    fcfs = measure("fcfs", load("fcfs"), real)
    none = measure("vtc", load("vtc"), real, gaps=True)
    again = measure("vtc_predict", load("vtc_predict"), real, gaps=True, first_seed=RUNS)
    assert ours.gap and ema.gap and exact.gap and none.gap and again.gap
    best = min((m for m in fixed.values() if m.gap), key=lambda m: m.gap.mean if m.gap else 0.0)
    assert best.gap
    samples = Samples()
    samples.add("gap_ema", ratio(ours.gap, ema.gap))
    samples.add("gap_constant", ratio(ours.gap, best.gap))
    samples.add("gap_oracle", ratio(ours.gap, exact.gap))
    samples.add("avg_ema", ratio(ours.row.average, ema.row.average))
    samples.add("throughput", ratio(ours.row.throughput, fcfs.row.throughput))
    everyone = [ours, ema, exact, none, *fixed.values()]
    report(
        result(
            claim(__file__),
            samples,
            [Control("no prediction at all", ratio(none.gap, ema.gap) > 0.85)],
            runs=RUNS,
            best_constant=best.row.name,
            gaps={m.row.name: {"of_U": m.gap.mean / U, "half": m.gap.half / U} for m in everyone if m.gap},
            intervals={
                "gap_ema": interval(ours.gap, ema.gap),
                "gap_constant": interval(ours.gap, best.gap),
                "gap_oracle": interval(ours.gap, exact.gap),
                "avg_ema": interval(ours.row.average, ema.row.average),
            },
            same_against_itself={
                "gap": ratio(again.gap, ema.gap),
                "avg": ratio(again.row.average, ema.row.average),
            },
            table=[plain(m.row) for m in (*everyone, fcfs)],
            conditions="simulated; U = w_q M = 20,000; foresight was chosen on reshuffled traces with other seeds",
        ),
        __file__,
    )


if __name__ == "__main__":
    begin(main)
