# SPDX-License-Identifier: Apache-2.0
"""The published table of the real trace, row by row, on the calibrated simulator."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from artifact import ArtifactQueues
from measuring import Control, Samples, begin, claim, report, result
from simulated import A10G, RUNS, beyond, interval, load, measure, oracle, plain, ratio, workload

HERE = Path(__file__).parent

PUBLISHED = {  # max, average, variance, tokens/s
    "fcfs": (759.97, 433.53, 32112.00, 777),
    "lcf": (750.49, 323.82, 29088.90, 778),
    "vtc": (368.40, 251.66, 6549.16, 779),
    "vtc_predict": (365.47, 240.33, 5321.62, 773),
    "vtc_hint": (329.46, 227.51, 4475.76, 781),  # the oracle
    "rpm 5": (143.86, 83.58, 1020.0, 340),
    "rpm 20": (446.76, 195.71, 7450.0, 694),
    "rpm 30": (693.66, 309.45, 24221.0, 747),
}


SPEEDS = (0.99, 0.995)


def _shorter() -> dict[str, list[dict[str, Any]]]:
    """Rows with figures outside the range, with all steps a little shorter: what an error of the one scalar does."""
    real = workload("real")
    policies = {"fcfs": load("fcfs")} | {f"rpm {n}": load("rpm", limit=n) for n in (5, 20, 30)}
    return {
        f"steps x {speed}": [
            plain(measure(name, policy, real, model=A10G.but(times=A10G.times.scaled(speed)), runs=8).row)
            for name, policy in policies.items()
        ]
        for speed in SPEEDS
    }


def main() -> None:
    real = workload("real")
    rows = {}
    for name in PUBLISHED:
        example, _, limit = name.partition(" ")
        policy = load(example, limit=int(limit)) if limit else load(example)
        rows[name] = measure(name, policy, real, hint=oracle).row
    artifact = measure(
        "vtc as in the artifact", load(str(HERE / "artifact_vtc.py")), real, queues_of=ArtifactQueues
    ).row
    throughput, average = {}, {}
    outside: dict[str, dict[str, float]] = {}
    for name, (greatest, mean, variance, rate) in PUBLISHED.items():
        row = rows[name]
        throughput[name] = abs(row.throughput.mean / rate - 1)
        average[name] = abs(row.average.mean / mean - 1)
        for of, figure, published in (("max", row.greatest, greatest), ("variance", row.variance, variance)):
            if found := beyond(figure, published):
                outside[f"{name} {of}"] = found
    order = [rows[name].average.interval for name in ("fcfs", "lcf", "vtc")]
    samples = Samples()
    samples.add("throughput_error", max(throughput.values()))
    samples.add("average_error", max(average.values()))
    samples.add("outside", len(outside))
    samples.add("order", float(order[0][0] > order[1][1] and order[1][0] > order[2][1]))
    toy = abs(rows["fcfs"].average.mean / PUBLISHED["vtc"][1] - 1)
    controls = [Control("first come, first served in the row of VTC", toy > 0.06)]
    report(
        result(
            claim(__file__),
            samples,
            controls,
            runs=RUNS,
            figures_outside=outside,
            with_shorter_steps=_shorter(),
            throughput_errors=throughput,
            average_errors=average,
            table=[plain(row) for row in rows.values()],
            artifact={
                "what": "no rule of who left last; the first output token is free; whenever a request ends, all that "
                "run are charged one more",
                "row": plain(artifact),
                "average, of the paper's algorithm": ratio(artifact.average, rows["vtc"].average),
                "interval": interval(artifact.average, rows["vtc"].average),
            },
            conditions="simulated; step times ± 2 %; one scalar fitted, on the total time of the row fcfs",
        ),
        __file__,
    )


if __name__ == "__main__":
    begin(main)
