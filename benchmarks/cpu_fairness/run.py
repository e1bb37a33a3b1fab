# SPDX-License-Identifier: Apache-2.0
"""CPU time of two hogs of nice 0 and nice 5 on one CPU under weighted fair sharing, against 1024 : 335.

In one boot of an emulated machine; CPU time is what the kernel accounts to each task.  The control is FIFO, which knows
no weights.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from measuring import Control, Samples, begin, claim, report, result

from transect.base.shipped import path_of
from transect.core.frontend import compile_file
from transect.core.ir import Program
from transect.cpu.machine import Bench

ROUNDS = 5
SECONDS = 4
IDEAL = 1024 / 335  # of the kernel's table of weights
HOGS = f"""
taskset -c 1 sh -c 'while :; do :; done' & a=$!
taskset -c 1 nice -n 5 sh -c 'while :; do :; done' & b=$!
sleep 0.5
before=$(cut -d' ' -f1 /proc/$a/schedstat /proc/$b/schedstat)
sleep {SECONDS}
after=$(cut -d' ' -f1 /proc/$a/schedstat /proc/$b/schedstat)
kill $a $b
echo $before $after
"""


def example(name: str) -> Program:
    (program,) = compile_file(path_of(name)).programs
    return program


def ratio(bench: Bench) -> float:
    """The CPU time of the hog of nice 0 to that of the hog of nice 5."""
    a, b, after_a, after_b = map(int, bench.shell(HOGS).split())
    return (after_a - a) / (after_b - b)


def ratios(bench: Bench, name: str | None, rounds: int) -> list[float]:
    if name:
        bench.force(example(name))
    found = [ratio(bench) for _ in range(rounds)]
    bench.stop()
    return found


def main() -> None:
    samples = Samples()
    with Bench() as bench:
        default = ratios(bench, None, 2)
        fifo = ratios(bench, "fifo", 1)
        fair = ratios(bench, "weighted_fair", ROUNDS)
        kernel = bench.vm.release
    for value in fair:
        samples.add("error", abs(value / IDEAL - 1))
    control = Control("FIFO", abs(fifo[0] / IDEAL - 1) > 0.05)
    conditions = {"guest": kernel, "ratios": fair, "default": default, "fifo": fifo, "emulated": True}
    report(result(claim(__file__), samples, [control], **conditions), __file__)


if __name__ == "__main__":
    begin(main)
