# SPDX-License-Identifier: Apache-2.0
"""`memory.rate`: full rounds of all probes per second on a live machine's RAM file, in C; the speed-up of C over the
interpreter; bytes per second of comparing the kernel's text with its package / of memcpy of the same pages.

`rounds` and `speedup` are of all probes of a scan but `Text`.  The machine runs processes that come and go; both sides
look at it in turn.  A round that cannot look is tried again; one that never can ends the benchmark.  Seconds are of
this thread's processor time, which does not depend on who else uses the machine; `wall` is rounds per second by the
clock, the best of each turn.
"""

from __future__ import annotations

import ctypes as ct
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from measuring import Control, Samples, begin, claim, report, result

from transect.linux import stored
from transect.linux.errors import KernelDataError
from transect.linux.physical import ram
from transect.memory.machine import Known, Machine
from transect.memory.native.probes import Native
from transect.memory.questions import Answers
from transect.memory.scan import Prepared, Rounds, prepare
from transect.memory.standard import chosen
from transect.vm import Setup, Vm, find

ROUNDS = 15
EACH = 40  # rounds in C between two of the interpreter
TORN = 5  # tries of a round that meets a structure in mid-change


def seconds(probes: Sequence[Rounds], machine: Machine) -> float:
    """Seconds of one round of each probe."""
    began = time.thread_time()
    for probe in probes:
        for left in reversed(range(TORN)):
            try:
                probe.round(machine)
                break
            except KernelDataError:
                if not left:
                    raise
    return time.thread_time() - began


def copied(native: Native, machine: Machine) -> float:
    """Bytes a second of memcpy of the kernel's text."""
    known = native.mapped.known
    size = known.text_high - known.text_low
    there = known.memory + machine.where.base + known.text_low - machine.text
    here = ct.create_string_buffer(size)
    ct.memmove(here, there, size)  # so that the copy's own pages exist
    began = time.thread_time()
    ct.memmove(here, there, size)
    return size / (time.thread_time() - began)


def measured(samples: Samples, machine: Machine) -> float:
    """Measure all keys; returns the speed-up of the toy: the interpreter in the place of C."""
    answers = Answers(machine)
    prepared: list[Prepared] = [prepare(p, machine, answers) for p in chosen(())]
    native = Native(machine, prepared)
    slow = [p for p in prepared if p.program.name != "Text"]
    fast = [native.probes[p.program.name] for p in slow]
    text = [native.probes["Text"]]
    size = native.mapped.known.text_high - native.mapped.known.text_low
    toy = 0.0
    for _ in range(ROUNDS):
        once = seconds(slow, machine)
        many, clock = list[float](), list[float]()
        for _ in range(EACH):
            began = time.perf_counter()
            many.append(seconds(fast, machine))
            clock.append(time.perf_counter() - began)
        ours = sum(many) / EACH
        samples.add("rounds", 1 / ours)
        samples.add("speedup", once / ours)
        samples.add("wall", 1 / min(clock))
        samples.add("hash", size / seconds(text, machine) / copied(native, machine))
        toy = once / seconds(slow, machine)
    return toy


def main() -> None:
    the_claim, samples = claim(__file__), Samples()
    kernel = find()
    assert kernel.compressed is not None, "kernels of the archive are compressed"
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        memory = Path(folder) / "ram"
        setup = Setup(kernel, cpus=1, memory_mib=512, ram=memory, boot="compressed", life_s=500)
        with Vm(setup, ready_s=450) as vm:
            busy = vm.start(["/bin/sh", "-c", "while :; do /bin/sleep 0.1; done"])
            known = Known.of(stored.image(kernel.compressed))
            toy = measured(samples, Machine.find("ram", ram(memory), known))
            busy.kill()
    controls = [Control("the interpreter in place of C", not the_claim.targets["speedup"].met(toy))]
    report(result(the_claim, samples, controls, guest=kernel.release, probes=len(chosen(())) - 1), __file__)


if __name__ == "__main__":
    begin(main)
