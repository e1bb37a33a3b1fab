# SPDX-License-Identifier: Apache-2.0
"""Probes in C say what the interpreter says: of a machine that stands still, of one that lies, and of a live one."""

from __future__ import annotations

import hashlib
import random
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.systems.memory.guest import Guest
from tests.systems.memory.test_corrupt import Lying
from transect.base.unavailable import Unavailable
from transect.core.frontend import compile_text
from transect.linux import KernelDataError
from transect.linux.physical import Physical, Range, ram
from transect.memory.machine import Machine
from transect.memory.native.build import FLAGS
from transect.memory.native.probes import Native, native
from transect.memory.questions import Answers
from transect.memory.scan import Prepared, Rounds, prepare, scan
from transect.memory.standard import standard

CHECKED = (*FLAGS, "-Werror", "-O1", "-fsanitize=undefined", "-fsanitize-undefined-trap-on-error")
WHOLE = (
    "Text",
    "Tables",
    "SystemCalls",
    "ProcOperations",
)  # read megabytes, and compare them with the package
REST = [name for name in standard() if name not in WHOLE]


@dataclass
class Pair:
    """The same probes twice, on one memory."""

    machine: Machine
    prepared: Sequence[Prepared]
    native: Native

    @staticmethod
    def of(guest: Guest, memory: Path, names: Sequence[str]) -> Pair:
        machine = Machine.find("ram:frozen", ram(memory), guest.machine.known)
        answers = Answers(machine)
        prepared = [prepare(standard()[name], machine, answers) for name in names]
        return Pair(machine, prepared, Native(machine, prepared, CHECKED))

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
    pair = Pair.of(guest, copy, REST)
    assert pair.differences() == {}
    found = {n for n in REST if once(pair.native.probes[n], pair.machine)[:1] not in ((), ((),))}
    assert {"HiddenModules", "StrayCode", "HiddenChildren"} <= found
    copy.unlink()
    guest.shell(f"kill -9 {pid}")


TALKING = """
from transect.lang import {names}
from transect.memory import Probe, linux
class Talking(Probe):
    def scan(self) -> None:
        {line}
"""


def talking(machine: Machine, names: str, line: str) -> Prepared:
    program = compile_text(TALKING.format(names=names, line=line), "talking.py").programs[0]
    return prepare(program, machine, Answers(machine))


def test_both_trace_the_same(guest: Guest, frozen: Path, caplog: pytest.LogCaptureFixture) -> None:
    machine = Machine.find("ram:frozen", ram(frozen), guest.machine.known)
    line = (
        'for task in linux.tasks():\n            if task.pid < 9:\n                trace(f"pid {task.pid}")'
    )
    prepared = talking(machine, "trace", line)
    said = []
    for runs in (prepared, Native(machine, [prepared], CHECKED).probes["Talking"]):
        caplog.clear()
        with caplog.at_level("INFO", "transect"):
            runs.round(machine)
        said.append(caplog.messages)
    assert said[0] == said[1] and "pid 1" in said[0]


def test_a_probe_that_asks_for_time_or_chance_is_not_run_in_c(guest: Guest, frozen: Path) -> None:
    machine = Machine.find("ram:frozen", ram(frozen), guest.machine.known)
    prepared = talking(machine, "rand_below", 'if rand_below(2) == 0:\n            self.report("heads")')
    with pytest.raises(Unavailable, match="time or chance"):
        Native(machine, [prepared], CHECKED)


class Noting(Lying):
    """Memory that notes what is read of it."""

    def __init__(self, memory: Physical) -> None:
        super().__init__(memory, 0, 0.0)
        self.places: list[tuple[int, int]] = []

    def read(self, address: int, size: int) -> bytes:
        self.places.append((address, size))
        return self.memory.read(address, size)


def noted(pair: Pair) -> list[tuple[int, int]]:
    """What a round of each probe reads."""
    memory = pair.machine.physical
    pair.machine.physical = noting = Noting(memory)
    for probe in pair.prepared:
        once(probe, pair.machine)
    pair.machine.physical = memory
    return [place for place in noting.places if place[1] >= 8]


@contextmanager
def lied_to(
    frozen: Path, pair: Pair, places: Sequence[tuple[int, int]], draw: random.Random
) -> Iterator[None]:
    """Junk in 40 words that probes read; drawn again while it hides where the kernel is."""
    lying, banner = Lying(ram(frozen), draw.randrange(1 << 30), 1.0), pair.machine.known.banner
    for _ in range(20):
        before: dict[int, bytes] = {}
        for address, size in draw.sample(places, 40):
            at = address + draw.randrange(0, size - 7, 8)
            word = ram(frozen).read(at, 8)
            if word not in banner:
                before.setdefault(at, word)
                put(frozen, at, lying.junk(word).to_bytes(8, "little"))
        try:
            hidden = Machine.find("ram:frozen", ram(frozen), pair.machine.known).where != pair.machine.where
        except KernelDataError:
            hidden = True
        if not hidden:
            yield
        for at, word in reversed(before.items()):  # words overlap: the last one read the junk of the first
            put(frozen, at, word)
        if not hidden:
            return
    raise AssertionError("twenty draws in a row hid the kernel")


def put(frozen: Path, at: int, data: bytes) -> None:
    with open(frozen, "r+b") as file:
        file.seek(ram(frozen).offset(at, len(data)))
        file.write(data)


def digest(frozen: Path) -> str:
    with open(frozen, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def test_what_was_put_in_is_taken_out_again(guest: Guest, frozen: Path) -> None:
    pair = Pair.of(guest, frozen, ["HiddenTasks"])
    *_, (address, _) = noted(pair)
    overlapping = [(address - address % 8 + shift, 8) for shift in (0, 4, 1, 7, 3) for _ in range(8)]
    seen = [digest(frozen)]
    with lied_to(frozen, pair, overlapping, random.Random(1)):
        seen.append(digest(frozen))
    seen.append(digest(frozen))
    assert seen[0] == seen[2] != seen[1]


def test_both_say_the_same_of_a_machine_that_lies(guest: Guest, frozen: Path) -> None:
    own = ("StrayCode", "SecurityState")  # looks at page tables by the million; remembers the round before
    pair = Pair.of(guest, frozen, [name for name in REST if name not in own])
    places = noted(pair)
    for seed in range(6):
        with lied_to(frozen, pair, places, random.Random(seed)):
            assert pair.differences() == {}, seed


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
    put(frozen, at, b"someone ")
    with pytest.raises(KernelDataError, match="its place"):
        pair.native.probes["HiddenTasks"].round(pair.machine)
    with open(frozen, "r+b") as file:
        file.truncate(1 << 20)
    with pytest.raises(KernelDataError, match="not where it was"):
        pair.native.probes["HiddenTasks"].round(pair.machine)
    assert isinstance(pair.machine.physical.ranges[0], Range)


HOOKS = """
from transect.memory import Probe, linux
class Hooks(Probe):
    def scan(self) -> None:
        for place in linux.net_hooks():
            self.show("place", at=place.address)
            for hook in place.hooks:
                self.show("hook", at=place.address, function=hook.function)
"""


def test_a_count_of_0_is_no_element_and_not_as_many_as_come(guest: Guest) -> None:
    with guest.tampered("netfilter"):
        copy = copied(guest)
    machine = Machine.find("ram:frozen", ram(copy), guest.machine.known)
    program = compile_text(HOOKS).program("Hooks")
    prepared = prepare(program, machine, Answers(machine))
    in_c = Native(machine, [prepared], CHECKED).probes["Hooks"]
    _, shown = prepared.round(machine)
    places = [dict(row.evidence)["at"] for row in shown if row.what == "place"]
    assert places and len(shown) > len(places), "some hook is there"
    for place in places:
        put(copy, machine.translate(int(str(place))), bytes(2))  # `num_hook_entries`, its first field
    assert in_c.round(machine) == prepared.round(machine)
    assert [row.what for row in prepared.round(machine)[1]] == ["place"] * len(places)
    copy.unlink()


def test_selinux_that_stops_enforcing_is_found(guest: Guest, frozen: Path) -> None:
    pair = Pair.of(guest, frozen, ["SecurityState"])
    machine, btf = pair.machine, pair.machine.known.btf
    at = machine.translate(machine.symbol("selinux_state")) + btf.field("selinux_state", "enforcing").offset
    reports = []
    for enforcing in (0, 1, 0):
        put(frozen, at, bytes([enforcing]))
        reported, _ = pair.native.probes["SecurityState"].round(machine)
        reports.append(len(reported))
    assert reports == [0, 0, 1]
