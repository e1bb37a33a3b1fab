# SPDX-License-Identifier: Apache-2.0
"""`memory.roce`: READs a second with 16 in flight / one at a time, of the same responder; round trips in sequence of a
whole round of probes / its longest chain of dependent reads.

The responder is soft-RoCE in a virtual machine behind a tap, in a network namespace of its own; root is needed.
`depth`: a round trip is in sequence when it waits for the one before; a burst of READs that wait for nothing is one.
The longest chain is taken to be the list of tasks, which is a lower bound. `cold` is the same for a first round, which
knows nothing of an earlier one. All probes take part but `Text`, `Tables` and `StrayCode`, which read megabytes and
follow nothing.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__)
sys.path[:0] = [str(HERE.parent.parent), str(HERE.parents[2])]

from measuring import Control, Samples, begin, claim, report, result

from tests.systems.memory.guest import booted
from tests.systems.memory.network import Network, tapped
from transect.base.unavailable import Unavailable
from transect.linux.errors import KernelDataError
from transect.memory.machine import Machine
from transect.memory.prefetch import Ahead, AheadProbe, ahead
from transect.memory.questions import Answers
from transect.memory.roce.grant import RoceMemory
from transect.memory.scan import prepare
from transect.memory.standard import chosen

ROUNDS, READS, WARM = 15, 240, 5
WHOLE = ("Text", "Tables", "StrayCode")


def rate(memory: RoceMemory, machine: Machine, window: int) -> float:
    """READs a second."""
    memory.requester.window = window
    places = [(machine.where.base + 256 * i, 64) for i in range(READS)]
    began = time.perf_counter()
    memory.read_many(places)
    return READS / (time.perf_counter() - began)


def depth(machine: Machine, probes: list[AheadProbe]) -> tuple[float, int, int]:
    """Round trips in sequence of one round of all probes; the length of the list of tasks; READs."""
    memory = machine.physical
    assert isinstance(memory, Ahead)
    before, tasks, reads = memory.trips.sequence, 0, memory.trips.ahead + memory.trips.single
    memory.begin([p.prepared.program.name for p in probes])
    for probe in probes:
        try:
            _, shown = probe.round(machine)
        except KernelDataError:
            continue  # met in mid-change: its reads count all the same
        if probe.prepared.program.name == "ProcessList":
            tasks = len(shown)
    return memory.trips.sequence - before, tasks, memory.trips.ahead + memory.trips.single - reads


def measure(samples: Samples, machine: Machine) -> float:
    """Measure all keys; returns `pipelined` of the toy: one in flight against one."""
    memory = machine.physical
    assert isinstance(memory, RoceMemory)
    toy = 0.0
    for _ in range(ROUNDS):
        one = rate(memory, machine, 1)
        samples.add("pipelined", rate(memory, machine, 16) / one)
        samples.add("one_at_a_time", one)
        toy = rate(memory, machine, 1) / one
    programs = [p for p in chosen(()) if p.name not in WHOLE] + chosen(["ProcessList"])
    answers = Answers(machine)
    runs = ahead(machine, [prepare(p, machine, answers) for p in programs])
    probes = [p for p in runs.values() if isinstance(p, AheadProbe)]
    for probe in probes:
        probe.alone = False
    trips, tasks, reads = depth(machine, probes)
    samples.add("cold", trips / (tasks + 1))
    samples.add("reads", reads)
    for _ in range(WARM):
        trips, tasks, _ = depth(machine, probes)
        samples.add("depth", trips / (tasks + 1))
    return toy


def main() -> None:
    if os.geteuid() != 0:
        raise Unavailable("memory.roce", "a tap and a network namespace need root", "run it as root")
    the_claim, samples = claim(__file__), Samples()
    with (
        tempfile.TemporaryDirectory() as folder,
        Network() as network,
        booted("6.12", Path(folder) / "tamper", ready_s=450, network=network) as guest,
        tapped(guest) as there,
    ):
        toy = measure(samples, there.machine)
        release = guest.target.kernel.release
    controls = [Control("one READ in flight", not the_claim.targets["pipelined"].met(toy))]
    report(result(the_claim, samples, controls, guest=release), __file__)


if __name__ == "__main__":
    begin(main)
