# SPDX-License-Identifier: Apache-2.0
"""`memory.detect`: each technique of the tests' fixture, with and without its counter-measure, on Debian's 6.12 and on
7.x: detected, by which views, after how long; false alarms while a clean machine is busy and traced.

A technique counts as missed unless every view that ought to disagree does.  Techniques: module taken out of the list,
also with junk pointers, out of sysfs, out of the tree; hooks of each kind by a module that hides; task taken out of the
list, of the table of numbers, of both; credentials; flags; the table of system calls and its direct calls; text.  A
clean machine traces functions, kprobes and tracepoints, filters by BPF, and starts processes without end, for MINUTES
(environment; 10) on each kernel.  What the tests expect of each technique is what is expected here.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__)
sys.path[:0] = [str(HERE.parent.parent), str(HERE.parents[2])]

from measuring import Control, Samples, begin, claim, report, result

from tests.systems.memory import guest as guests
from tests.systems.memory.guest import Guest, booted
from tests.systems.memory.test_clean import FILTER, OFF, ON
from tests.systems.memory.test_detection import HIDDEN, QUICK, TASKS, TECHNIQUES
from transect.core.ir import Program
from transect.memory.native.probes import native
from transect.memory.scan import scan
from transect.memory.standard import chosen
from transect.memory.watch import Event, Watch

KERNELS = ("6.12", "7.3")
MINUTES = float(os.environ.get("MINUTES", "10"))
CODE = {"direct_call": {"Text", "SystemCalls", *HIDDEN}, "text": {"Text", *HIDDEN}}
RANGES = ("SystemCallTable", "ProcOperations", "SequenceOperations", "KeyboardNotifiers", "NetfilterHooks")


def found(guest: Guest, programs: list[Program]) -> set[str]:
    return {r.probe for r in scan(guest.machine, programs, engine=native).results if r.findings}


def techniques(guest: Guest) -> dict[str, dict[str, object]]:
    """By technique: which views found it, which should have, and seconds from the look to the answer."""
    every, ranges = chosen([*QUICK, "Text"]), chosen(RANGES)
    found(guest, every)  # so that probes are compiled before times count
    told: dict[str, dict[str, object]] = {}
    for how, wanted in (TECHNIQUES | TASKS | CODE | {"taint": {"Taint"}}).items():
        pid = guest.process() if how in TASKS else 0
        with guest.tampered(how, pid=pid, **({"hide": 0} if how == "taint" else {})):
            began = time.perf_counter()
            views = found(guest, every)
            took = time.perf_counter() - began
            toy = found(guest, ranges)
        if pid:
            guest.shell(f"kill -9 {pid}")
        told[how] = {
            "views": sorted(views),
            "missed": sorted(set(wanted) - views),
            "seconds": round(took, 3),
            "by_ranges": bool(toy),
        }
    return told


def false_alarms(guest: Guest) -> tuple[int, int]:
    """Findings that were told while the machine was clean and busy; rounds of probes."""
    guest.shell(ON)
    filtered = guest.process(f'{guest.vm.setup.python} -S -E -c "{FILTER}"')
    working = guest.process("sh -c 'while :; do /bin/true; done'")
    events: list[Event] = []
    watch = Watch(guest.machine, chosen(QUICK), events.append, every_s=0.2, engine=native)
    stop = threading.Event()
    timer = threading.Timer(MINUTES * 60, stop.set)
    timer.start()
    watch.run(stop)
    guest.shell(f"kill -9 {working}; kill -9 {filtered} 2>/dev/null; {OFF}")
    return sum(e.kind == "found" for e in events), sum(w.rounds for w in watch.probes.values())


def main() -> None:
    the_claim, samples = claim(__file__), Samples()
    guests.LIFE_S = int(MINUTES * 60) + 900
    told: dict[str, object] = {}
    missed = alarms = rounds = 0
    by_ranges: list[str] = []
    for version in KERNELS:
        with tempfile.TemporaryDirectory() as folder, booted(version, Path(folder), ready_s=450) as guest:
            found_here = techniques(guest)
            missed += sum(bool(t["missed"]) for t in found_here.values())
            by_ranges += [how for how, t in found_here.items() if t["by_ranges"]]
            here, looks = false_alarms(guest)
            alarms, rounds = alarms + here, rounds + looks
            told[guest.target.kernel.release] = found_here
    samples.add("missed", missed)
    samples.add("false", alarms)
    all_found = len(set(by_ranges)) == len(TECHNIQUES | TASKS | CODE) + 1
    controls = [Control("ranges of fixed tables, as RDMI's policies check them", not all_found)]
    conditions = {"clean_minutes": MINUTES * len(KERNELS), "clean_rounds": rounds, "techniques": told}
    report(result(the_claim, samples, controls, **conditions), __file__)


if __name__ == "__main__":
    begin(main)
