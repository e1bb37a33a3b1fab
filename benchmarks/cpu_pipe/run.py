# SPDX-License-Identifier: Apache-2.0
"""A pinned ping-pong over pipes: weighted fair sharing as `cpu run` ships it, and without the upgrade shim, against the
default scheduler.  In one boot of an emulated machine, in turn; a measurement is the smallest of several rounds.

The control is a version of FIFO that does twenty thousand steps of work whenever it enqueues.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from cpu_machine import rounds
from measuring import Control, Samples, begin, claim, report, result
from needed import static

from transect.base.shipped import path_of
from transect.core.frontend import compile_file, compile_text
from transect.core.ir import Program
from transect.cpu.machine import Bench

ROUNDS = 15
SLOW = """
from transect.cpu import Fifo, Scheduler, Task
from transect.lang import given


class Slow(Scheduler):
    ready: Fifo = given()
    work: int = 0

    def enqueue(self, task: Task) -> None:
        for n in range(20000):
            self.work += n
        self.ready.put(task)

    def dispatch(self, cpu: int) -> None:
        self.ready.take()
"""


def ping_pong(bench: Bench) -> float:
    """Nanoseconds a round trip."""
    return float(bench.shell(f"{bench.folder}/pipe 1 9 600"))


def main() -> None:
    (fair,) = compile_file(path_of("weighted_fair")).programs
    (slow,) = compile_text(SLOW, "slow.py").programs
    samples = Samples()
    with Bench() as bench:
        source = Path(__file__).with_name("pipe.c")
        static(source, bench.folder / "pipe")
        for _ in rounds(ROUNDS):
            first, again = ping_pong(bench), ping_pong(bench)
            default = (first + again) / 2
            samples.add("shipped", forced(bench, fair) / default, first / again)
            bench.force_alone(fair)
            samples.add("direct", ping_pong(bench) / default, first / again)
            bench.stop()
        control = forced(bench, slow) / ping_pong(bench)
        kernel = bench.vm.release
    toy = Control("a FIFO that works for nothing", control > 1.15)
    report(result(claim(__file__), samples, [toy], guest=kernel, control=control, emulated=True), __file__)


def forced(bench: Bench, program: Program) -> float:
    bench.force(program)
    took = ping_pong(bench)
    bench.stop()
    return took


if __name__ == "__main__":
    begin(main)
