# SPDX-License-Identifier: Apache-2.0
"""Probes in C say what the interpreter says: of a machine that stands still, of one that lies, and of a live one."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.systems.memory.guest import Guest
from tests.systems.memory.test_corrupt import Lying
from transect.core.frontend import compile_text
from transect.linux import KernelDataError
from transect.linux.physical import Physical, Range, ram
from transect.memory.asked import Answers
from transect.memory.machine import Machine
from transect.memory.native.build import FLAGS
from transect.memory.native.probes import Native, native
from transect.memory.scan import Prepared, Rounds, prepare, scan
from transect.memory.standard import standard

CHECKED = (*FLAGS, "-Werror", "-O1", "-fsanitize=undefined", "-fsanitize-undefined-trap-on-error")
SLOW = ("Text",)  # six seconds in the interpreter


@dataclass
class Pair:
    """The same probes twice, on one memory."""

    machine: Machine
    prepared: Sequence[Prepared]
    native: Native
    names: Sequence[str] = field(default_factory=list)

    @staticmethod
    def of(guest: Guest, memory: Path, names: Sequence[str]) -> Pair:
        machine = Machine.find("ram:frozen", ram(memory), guest.machine.known)
        answers = Answers(machine)
        prepared = [prepare(standard()[name], machine, answers) for name in names]
        return Pair(machine, prepared, Native(machine, prepared, CHECKED), names)

    def differences(self) -> dict[str, tuple[object, object]]:
        """By probe: what the two say where they do not agree.  Problems may differ in words."""
        found: dict[str, tuple[object, object]] = {}
        for prepared in self.prepared:
            ours = once(self.native.probes[prepared.program.name], self.machine)
            theirs = once(prepared, self.machine)
            if ours != theirs:
                found[prepared.program.name] = theirs, ours
        return found


def once(probe: Rounds, machine: Machine) -> tuple[object, ...]:
    """What a round reports and shows; nothing at all of a round that could not look."""
    try:
        return probe.round(machine)
    except KernelDataError:
        return ()


def copied(guest: Guest) -> Path:
    """The memory as it is now, more or less: the machine goes on meanwhile."""
    copy = guest.ram.parent / "frozen"
    subprocess.run(["cp", "--sparse=always", guest.ram, copy], check=True)
    return copy


@pytest.fixture
def frozen(guest: Guest) -> Iterator[Path]:
    copy = copied(guest)
    yield copy
    copy.unlink()


def test_both_say_the_same_of_a_clean_machine(guest: Guest, frozen: Path) -> None:
    assert Pair.of(guest, frozen, list(standard())).differences() == {}


def test_both_find_the_same(guest: Guest) -> None:
    pid = guest.process()
    with guest.tampered("task_both", pid=pid):
        guest.shell("mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null; true")
        copy = copied(guest)
    names = [n for n in standard() if n not in SLOW]
    pair = Pair.of(guest, copy, names)
    assert pair.differences() == {}
    found = {n for n in names if once(pair.native.probes[n], pair.machine)[:1] not in ((), ((),))}
    assert {"HiddenModules", "StrayCode", "HiddenChildren"} <= found
    copy.unlink()
    guest.shell(f"kill -9 {pid}")


class Noting(Lying):
    """Memory that notes what is read of it."""

    def __init__(self, memory: Physical) -> None:
        super().__init__(memory, 0, 0.0)
        self.places: list[tuple[int, int]] = []

    def read(self, address: int, size: int) -> bytes:
        self.places.append((address, size))
        return self.memory.read(address, size)


@pytest.mark.parametrize("seed", range(3))
def test_both_say_the_same_of_a_machine_that_lies(guest: Guest, frozen: Path, seed: int) -> None:
    names = [
        n for n in standard() if n not in ("Text", "Tables", "SystemCalls", "ProcOperations", "StrayCode")
    ]
    noting = Noting(ram(frozen))
    machine = Machine.find("ram:frozen", noting, guest.machine.known)
    answers = Answers(machine)
    for name in names:
        once(prepare(standard()[name], machine, answers), machine)
    draw = random.Random(seed)
    lying, banner = Lying(ram(frozen), seed, 1.0), machine.known.banner
    with open(frozen, "r+b") as file:
        for address, size in draw.sample([p for p in noting.places if p[1] >= 8], 40):
            at = address + draw.randrange(0, size - 7, 8)
            word = ram(frozen).read(at, 8)
            if word not in banner:
                file.seek(ram(frozen).offset(at, 8))
                file.write(lying.junk(word).to_bytes(8, "little"))
    try:
        pair = Pair.of(guest, frozen, names)
    except KernelDataError:
        pytest.skip("the junk hit what says where the kernel is")
    assert pair.differences() == {}


def test_a_live_machine_is_scanned_in_c(guest: Guest) -> None:
    programs = [standard()[n] for n in ("HiddenTasks", "HiddenModules", "Netfilter", "StrayCode")]
    clean = scan(guest.machine, programs, engine=native).results
    assert [(r.verdict, r.problem) for r in clean] == [("clean", "")] * 4
    with guest.tampered("netfilter"):
        found = {r.probe for r in scan(guest.machine, programs, engine=native).results if r.findings}
    assert found == {"HiddenModules", "Netfilter", "StrayCode"}


COUNTING = """
from transect.lang import Tally, param, tally
from transect.memory import Probe, linux
class Busiest(Probe):
    seen: Tally[int, int] = tally(64)
    least: int = 0
    def scan(self) -> None:
        for task in linux.tasks():
            self.seen[task.pid & 15] += 1
            self.least = max(self.least, self.seen[task.pid & 15])
        self.show("most", count=self.least)
"""


def test_state_is_that_of_the_interpreter(guest: Guest, frozen: Path) -> None:
    machine = Machine.find("ram:frozen", ram(frozen), guest.machine.known)
    program = compile_text(COUNTING).program("Busiest")
    mixed, alone = (prepare(program, machine, Answers(machine)) for _ in range(2))
    in_c = Native(machine, [mixed], CHECKED).probes["Busiest"]
    for turn in range(4):
        runs: Rounds = in_c if turn % 2 else mixed
        assert runs.round(machine) == alone.round(machine)
    assert mixed.instance.image() == alone.instance.image()


def test_memory_of_a_kernel_that_is_gone_is_a_problem(guest: Guest, frozen: Path) -> None:
    pair = Pair.of(guest, frozen, ["HiddenTasks"])
    at = pair.native.mapped.known.banner
    with open(frozen, "r+b") as file:
        file.seek(ram(frozen).offset(at, 8))
        file.write(b"someone ")
    with pytest.raises(KernelDataError, match="its place"):
        pair.native.probes["HiddenTasks"].round(pair.machine)
    with open(frozen, "r+b") as file:
        file.truncate(1 << 20)
    with pytest.raises(KernelDataError, match="not where it was"):
        pair.native.probes["HiddenTasks"].round(pair.machine)
    assert isinstance(pair.machine.physical.ranges[0], Range)


def test_selinux_that_stops_enforcing_is_found(guest: Guest, frozen: Path) -> None:
    pair = Pair.of(guest, frozen, ["SecurityState"])
    machine, btf = pair.machine, pair.machine.known.btf
    at = machine.translate(machine.symbol("selinux_state")) + btf.field("selinux_state", "enforcing").offset
    reports = []
    for enforcing in (0, 1, 0):
        with open(frozen, "r+b") as file:
            file.seek(ram(frozen).offset(at, 1))
            file.write(bytes([enforcing]))
        reported, _ = pair.native.probes["SecurityState"].round(machine)
        reports.append(len(reported))
    assert reports == [0, 0, 1]
