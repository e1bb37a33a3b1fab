# SPDX-License-Identifier: Apache-2.0
"""Emitted schedulers against the same ones written by hand in BPF C, each attached by itself, in one boot.

`instructions` counts the instructions that the verifier goes through, on all paths, in the operations that run all the
time (select, enqueue, dispatch, running); it is the same on every machine.  `pipe` is a pinned ping-pong, `hackbench`
two groups of processes that send to each other (Debian's package rt-tests).  The control is an emitted FIFO that does
useless work.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from cpu_machine import rounds
from measuring import Control, Samples, begin, claim, report, result
from needed import static, tools

from transect.base.shipped import path_of
from transect.core.frontend import compile_file, compile_text
from transect.cpu.build import compiled
from transect.cpu.built import Built
from transect.cpu.machine import Bench
from transect.cpu.program import runtime

HERE = Path(__file__).parent
ROUNDS = 15
HACKBENCH = "hackbench -P -g 2 -l 60 | sed -n 's/^Time: //p'"  # s
OFTEN = ("select_cpu", "enqueue", "dispatch", "running")
HAND = {
    "fifo": ("select_cpu", "enqueue", "dispatch", "init"),
    "weighted_fair": ("select_cpu", "enqueue", "dispatch", "running", "enable", "init_task", "init"),
}
SLOW = """
from transect.cpu import Fifo, Scheduler, Task
from transect.lang import Array, array, given


class Slow(Scheduler):
    ready: Fifo = given()
    work: Array[int] = array(64)

    def enqueue(self, task: Task) -> None:
        for n in range(64):
            if self.work[n] > task.pid:
                self.work[n] += task.weight // (n + 1)
            if self.work[63 - n] < n * n:
                self.work[n] -= 1
        self.ready.put(task)

    def dispatch(self, cpu: int) -> None:
        self.ready.take()
"""


def by_hand(bench: Bench, name: str) -> Built:
    for file, content in runtime().items():
        path = bench.folder / file
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    source = bench.folder / f"hand_{name}.bpf.c"
    source.write_bytes((HERE / f"{name}.bpf.c").read_bytes())
    target = compiled(source, source.with_name(f"hand_{name}.o"))
    built = Built(name=name, source="", object=target, schema={"hash": ""}, ops=HAND[name])
    target.with_suffix(".json").write_text(json.dumps(built.to_json()))
    return built


def count(instructions: dict[str, int]) -> int:
    return sum(instructions.get(op, 0) for op in OFTEN)


def main() -> None:
    tools("hackbench", "gcc")
    samples = Samples()
    counts: dict[str, tuple[int, int]] = {}
    with Bench() as bench:
        static(HERE.parent / "cpu_pipe" / "pipe.c", bench.folder / "pipe")
        loads = {"pipe": f"{bench.folder}/pipe 1 9 600", "hackbench": HACKBENCH}

        def measured(built: Built) -> tuple[int, dict[str, list[float]]]:
            """Instructions, and by load the times of two runs."""
            instructions = count(bench.force_alone(built))
            took = {name: [float(bench.shell(load)) for _ in range(2)] for name, load in loads.items()}
            bench.stop()
            return instructions, took

        for name in HAND:
            (program,) = compile_file(path_of(name)).programs
            ours, hand = bench.build(program), by_hand(bench, name)
            for _ in rounds(ROUNDS, 250):
                mine, took = measured(ours)
                theirs, base = measured(hand)
                for load in loads:
                    samples.add(load, min(took[load]) / min(base[load]), base[load][0] / base[load][1])
            counts[name] = (mine, theirs)
        samples.add("instructions", max(ours / hand for ours, hand in counts.values()))
        (slow,) = compile_text(SLOW, "slow.py").programs
        toy = count(bench.force_alone(slow)) / counts["fifo"][1]
        bench.stop()
        kernel = bench.vm.release
    control = Control("a FIFO that works for nothing", toy > 1.5)
    shown = {name: {"ours": ours, "hand": hand} for name, (ours, hand) in counts.items()}
    report(result(claim(__file__), samples, [control], guest=kernel, counts=shown, emulated=True), __file__)


if __name__ == "__main__":
    begin(main)
