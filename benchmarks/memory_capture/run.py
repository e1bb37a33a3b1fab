# SPDX-License-Identifier: Apache-2.0
"""`memory.capture`: credentials that are changed and restored, RATES times a second, caught by the ordinary probe.

A target with one virtual processor is pinned to core 0, the observer to core 1.  A victim drawn at random among 70
tasks gets the kernel's credentials for half of each period; the fixture's log is the truth.  The observer runs whole
rounds of `BorrowedCredentials` in C, one after the other, and counts what they confirm, which takes two in a row.
Caught: changes of the log that appear in the same order among what was told (the longest common subsequence); `false`:
what was told and is not among them.  `slowdown`: the time of a program in the target that only computes, while it is
observed / while it is not, in turn.  `dwell_10`: 500 changes a second, each for a tenth of its period (no target).
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__)
sys.path[:0] = [str(HERE.parent.parent), str(HERE.parents[2])]

from measuring import Control, Samples, begin, claim, report, result

from tests.systems.memory.guest import Guest, booted
from transect.base.unavailable import Unavailable
from transect.linux.errors import KernelDataError
from transect.memory.confirmation import Confirmation, progress_of
from transect.memory.native.probes import native
from transect.memory.questions import Answers
from transect.memory.scan import Rounds, prepare
from transect.memory.standard import standard

RATES = (50, 200, 500, 1000)
SECONDS, TURNS, TASKS = 3, 3, 70
WORK = "import time;b=time.perf_counter();sum(range(4000000));print(time.perf_counter()-b)"
WORKS = 61


def pin(guest: Guest) -> None:
    """Pin the machine to core 0, and ourselves to core 1."""
    if len(os.sched_getaffinity(0)) < 2:
        raise Unavailable("memory.capture", "it needs two processors", "run it on another machine")
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        words = entry.read_bytes()
        if b"qemu-system" in words and str(guest.ram).encode() in words:
            for task in (entry.parent / "task").iterdir():
                os.sched_setaffinity(int(task.name), {0})
    os.sched_setaffinity(0, {1})


class Observer:
    """Rounds without a pause, and what they confirm."""

    def __init__(self, guest: Guest, pause_s: float = 0.0) -> None:
        prepared = prepare(standard()["BorrowedCredentials"], guest.machine, Answers(guest.machine))
        self.runs: Rounds = native(guest.machine, [prepared])[prepared.program.name]
        self.machine, self.pause_s = guest.machine, pause_s
        self.told: list[int] = []
        self.rounds = self.torn = 0
        self.stop = threading.Event()

    def watch(self) -> None:
        heard, active = Confirmation(progress_of(self.machine)), frozenset[int]()
        while not self.stop.is_set():
            try:
                heard.begin()
                said = heard.said(self.runs.round(self.machine)[0])
            except KernelDataError:
                self.torn += 1
                continue
            self.rounds += 1
            confirmed = frozenset(int(dict(s.evidence)["pid"]) for s in said)
            self.told += confirmed - active
            active = confirmed
            if self.pause_s:
                time.sleep(self.pause_s)


def caught(guest: Guest, rate: int, dwell: int, pause_s: float = 0.0) -> tuple[float, int, float]:
    """The share of changes that was caught; how many were told and did not happen; rounds a second."""
    observer = Observer(guest, pause_s)
    thread = threading.Thread(target=observer.watch)
    thread.start()
    began = time.perf_counter()
    with guest.tampered("alternate", hide=0, rate=rate, dwell=dwell, seconds=SECONDS):
        time.sleep(SECONDS)
        log = guest.shell("cat /proc/transect_log").split()
        while log[-1] != "done":
            time.sleep(0.5)
            log = guest.shell("cat /proc/transect_log").split()
    took = time.perf_counter() - began
    observer.stop.set()
    thread.join()
    truth = [int(pid) for pid in log[:-1]]
    matched = in_order(truth, observer.told)
    return matched / len(truth), len(observer.told) - matched, observer.rounds / took


def in_order(truth: Sequence[int], told: Sequence[int]) -> int:
    """The length of their longest common subsequence (Hunt and Szymanski, 1977)."""
    places: dict[int, list[int]] = {}
    for at, pid in enumerate(truth):
        places.setdefault(pid, []).insert(0, at)
    ends: list[int] = []  # by length: the earliest end in `truth` of a common subsequence
    for pid in told:
        for at in places.get(pid, ()):
            length = bisect_left(ends, at)
            ends[length : length + 1] = [at]
    return len(ends)


def worked(guest: Guest, observed: bool) -> float:
    """Seconds that the program in the target took."""
    observer = Observer(guest)
    thread = threading.Thread(target=observer.watch)
    if observed:
        thread.start()
    took = float(guest.shell(f"{guest.vm.setup.python} -S -E -c '{WORK}'"))
    observer.stop.set()
    if observed:
        thread.join()
    return took


def measure(samples: Samples, guest: Guest) -> float:
    """Measure all keys; returns what the toy, a round every 10 ms, catches at 500 changes a second."""
    guest.shell(f"for i in $(seq {TASKS}); do sleep 1000 >/dev/null 2>&1 </dev/null & done; echo")
    pin(guest)
    for _ in range(WORKS):
        first, ours, second = worked(guest, False), worked(guest, True), worked(guest, False)
        samples.add("slowdown", 2 * ours / (first + second), first / second)
    for _ in range(TURNS):
        alarms = 0
        for rate in RATES:
            share, wrong, rounds = caught(guest, rate, 50)
            samples.add(f"caught_{rate}", share)
            samples.add("rounds", rounds)
            alarms += wrong
        share, wrong, _ = caught(guest, 500, 10)
        samples.add("dwell_10", share)
        samples.add("false", alarms + wrong)
    return caught(guest, 500, 50, pause_s=0.01)[0]


def main() -> None:
    the_claim, samples = claim(__file__), Samples()
    with tempfile.TemporaryDirectory() as folder, booted("7.3", Path(folder), ready_s=450) as guest:
        toy = measure(samples, guest)
        release = guest.target.kernel.release
    controls = [Control("a round every 10 ms", not the_claim.targets["caught_500"].met(toy))]
    report(result(the_claim, samples, controls, guest=release, tasks=TASKS), __file__)


if __name__ == "__main__":
    begin(main)
