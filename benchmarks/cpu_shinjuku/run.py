# SPDX-License-Identifier: Apache-2.0
"""Short requests among long ones on one CPU, beside a batch job: with preemption after a quantum, against without.

In one boot of an emulated machine; all times are multiplied by what a switch costs there, in units of 30 us.
`p90`, `p99`: short requests, ours / run to completion (the same policy with a quantum longer than any request, so that
only the batch job is preempted; else nothing would run beside it).  `batch`: CPU time of the batch job, ours / default
scheduler.  `default_p99`: ours / default.  The control is a quantum as long as the long requests.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from cpu_machine import compiled_load, rounds, scale
from measuring import Control, Samples, begin, claim, report, result

from transect.base.shipped import path_of
from transect.core.frontend import compile_file
from transect.cpu.machine import Bench

ROUNDS = 15
MS = 1_000_000
WHOLE = 20 * MS  # the longest request takes 10 ms


def main() -> None:
    (program,) = compile_file(path_of("shinjuku")).programs
    samples = Samples()
    lost = 0
    with Bench() as bench:
        times = scale(bench)
        load = f"{compiled_load(bench, Path(__file__).with_name('requests.c'))} {times}"

        def requests() -> tuple[float, float, float]:
            """p90 and p99 of the short ones, CPU time of the batch job."""
            nonlocal lost
            _, p90, p99, batch, more = map(int, bench.shell(load).split())
            lost += more
            return p90, p99, batch

        def ours(quantum: int) -> tuple[float, float, float]:
            bench.set("quantum", [times * quantum])
            return requests()

        for _ in rounds(ROUNDS):
            default, again = requests(), requests()
            bench.force(program)
            whole, mine, once_more = ours(WHOLE), ours(MS), ours(WHOLE)
            bench.stop()
            for key, n in (("p90", 0), ("p99", 1)):
                samples.add(key, mine[n] / ((whole[n] + once_more[n]) / 2), whole[n] / once_more[n])
            samples.add("batch", mine[2] / ((default[2] + again[2]) / 2), default[2] / again[2])
            samples.add("default_p99", mine[1] / ((default[1] + again[1]) / 2), default[1] / again[1])
        bench.force(program)
        control = ours(10 * MS)[0] / ours(WHOLE)[0]
        bench.stop()
        kernel = bench.vm.release
    toy = Control("a quantum as long as the long requests", control > 0.2)
    report(
        result(claim(__file__), samples, [toy], guest=kernel, scale=times, lost=lost, emulated=True), __file__
    )


if __name__ == "__main__":
    begin(main)
