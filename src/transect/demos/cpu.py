# SPDX-License-Identifier: Apache-2.0
"""`transect demo cpu`: two hogs of unequal weight on one CPU, under FIFO and under weighted fair sharing.

It runs in a real kernel, in a virtual machine; without the programs for that, on a simulated machine, and says so.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from itertools import pairwise

from transect.base.shipped import path_of
from transect.base.unavailable import Unavailable
from transect.core.frontend import compile_file, compile_text
from transect.core.ir import Program
from transect.cpu.check import check
from transect.cpu.simulator import Work, simulate
from transect.demos.paint import GREEN, YELLOW, painted
from transect.demos.shown import Shown
from transect.vm import Running, Vm, VmError

EXAMPLES = ("fifo", "weighted_fair")
WINDOWS = 5  # the median of them counts
# The program that looks at the hogs must not wait: it has real-time priority and the other CPU, and starts no process.
HOGS = """
taskset -c 1 sh -c 'while :; do :; done' & a=$!
taskset -c 1 nice -n 5 sh -c 'while :; do :; done' & b=$!
exec taskset -c 0 chrt -f 1 "$0" -E -s -S -c "$LOOK" $a $b
"""
LOOK = """
import sys, time
while True:
    print(*(open(f"/proc/{pid}/schedstat").read().split()[0] for pid in sys.argv[1:]), flush=True)
    time.sleep(0.2)
"""
PATIENCE_S = 300  # for the windows of one scheduler: a busy host takes its time
LOST = """
from transect.cpu import Fifo, Scheduler, Task
from transect.lang import given


class Lost(Scheduler):
    ready: Fifo = given()

    def enqueue(self, task: Task) -> None:
        if task.weight >= 100:
            self.ready.put(task)

    def dispatch(self, cpu: int) -> None:
        self.ready.take()
"""
Say = Callable[[str], None]


def run(say: Say = print, *, color: bool = False) -> Shown:
    """The demo; right when shares came out by weight."""
    began = time.monotonic()
    stand_ins: tuple[str, ...] = ()
    try:
        done = _real(say, color)
    except Unavailable as lacking:
        say(painted(f"cpu: SIMULATED, for lack of {lacking}", YELLOW, color))
        done, stand_ins = _simulated(say), ("a simulated machine for a real kernel",)
    except VmError as problem:
        say(painted(f"cpu: the machine failed: {problem}", YELLOW, color))
        done = False
    _refusal(say)
    say(f"\n{time.monotonic() - began:.1f} s.  Try next:")
    say("  transect new first.py --for cpu           a scheduler of your own, and its test")
    say("  transect cpu run --vm first.py -- COMMAND a command under it, in such a machine")
    return Shown(done, stand_ins)


def _example(name: str) -> Program:
    (program,) = compile_file(path_of(name)).programs
    return program


def _real(say: Say, color: bool) -> bool:
    from transect.cpu.build import clang
    from transect.cpu.machine import Bench

    clang()
    programs = [_example(name) for name in EXAMPLES]
    with Bench(ahead=programs, say=lambda text: say(f"  {text}")) as bench:
        how = "under KVM" if bench.vm.accelerator == "kvm" else "emulated"
        say(
            painted(
                f"cpu: real schedulers in a real kernel, Linux {bench.vm.release}, in a machine of its own ({how})",
                GREEN,
                color,
            )
        )
        ratios, hogs = [], None
        for program in programs:
            bench.force(program)
            hogs = hogs or _hogs(bench.vm)  # the same two for all schedulers
            ratios.append(_ratio(hogs))
            bench.stop()
            say(_line(program, ratios[-1]))
        say(f"  the default scheduler is back: sched_ext is {bench.scheduler()}")
    return ratios[0] < 2 < ratios[1]


def _hogs(vm: Vm) -> Running:
    return vm.start(["sh", "-c", HOGS, vm.setup.python], env={"LOOK": LOOK})


def _ratio(hogs: Running) -> float:
    """The first hog's CPU time to the second's, from now on: the median of several windows, since a busy host takes the
    machine's processors away for moments."""
    lines, end = len(hogs.output().splitlines()) + 1, time.monotonic() + PATIENCE_S
    while len(said := hogs.output().splitlines(keepends=True)) <= lines + WINDOWS or not said[-1].endswith(
        b"\n"
    ):
        if hogs.ended or time.monotonic() > end:
            raise VmError(
                f"the hogs in the machine say nothing: {hogs.wait(1).stderr.decode(errors='replace')}"
            )
        time.sleep(0.02)
    times = [tuple(map(int, line.split())) for line in said[lines:]]
    return statistics.median((b[0] - a[0]) / max(b[1] - a[1], 1) for a, b in pairwise(times))


def _simulated(say: Say) -> bool:
    ratios = []
    for program in map(_example, EXAMPLES):
        machine = simulate(program, [Work("nice 0"), Work("nice 5", weight=33)], cpus=1, seconds=2)
        ratios.append(machine.tasks[0].ran_ns / machine.tasks[1].ran_ns)
        say(_line(program, ratios[-1]))
    return ratios[0] < 2 < ratios[1]


def _line(program: Program, ratio: float) -> str:
    return f"  {program.name:14} CPU time of nice 0 : nice 5 on one CPU   {ratio:4.2f} : 1"


def _refusal(say: Say) -> None:
    (program,) = compile_text(LOST, "lost.py").programs
    (found,) = check(program)
    say("  and one that forgets tasks is refused before any kernel sees it:")
    say(f"    {found.code}, line {found.span.line}: {found.message}")
