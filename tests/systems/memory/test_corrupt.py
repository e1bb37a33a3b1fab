# SPDX-License-Identifier: Apache-2.0
"""Memory that lies: pointers into nowhere, circles, junk lengths, a kernel that is gone in mid-scan.

Whatever is read, a scan ends in time, with verdicts; it never breaks off, and never calls clean what it could not read.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

import pytest

from tests.systems.memory.guest import Guest
from transect.linux import KernelDataError
from transect.linux.physical import Physical, Range, ram
from transect.memory.findings import Verdict
from transect.memory.machine import Machine
from transect.memory.scan import scan
from transect.memory.standard import chosen

ALL = [p.name for p in chosen(()) if p.name not in ("Text", "Tables")] + [
    "MemoryAreas",
    "OpenFiles",
    "Processes",
]
ROUND_S = 60  # for all probes; a machine that is busy takes ten seconds


class Lying:
    """Memory some of whose words are junk when they are read: each time another."""

    live = True

    def __init__(self, memory: Physical, seed: int, share: float) -> None:
        self.memory = memory
        self.share = share
        self.draw = random.Random(seed)
        self.quiet = True
        self.reads = 0

    @property
    def ranges(self) -> Sequence[Range]:
        return self.memory.ranges

    def read(self, address: int, size: int) -> bytes:
        data = self.memory.read(address, size)
        self.reads += 1
        if self.quiet or size < 8 or self.draw.random() > self.share:
            return data
        at = self.draw.randrange(0, size - 7, 8)
        return data[:at] + self.junk(data).to_bytes(8, "little") + data[at + 8 :]

    def junk(self, data: bytes) -> int:
        kinds = (
            0,
            1,
            (1 << 64) - 1,
            self.draw.getrandbits(64),
            0xFFFF800000000000 | self.draw.getrandbits(46) & ~7,
            0xFFFFFFFF80000000 | self.draw.getrandbits(30) & ~7,
            0xDEAD000000000100,
            int.from_bytes(data[:8], "little") ^ 1 << self.draw.randrange(64),
        )
        return self.draw.choice(kinds)


@pytest.mark.parametrize("share", [0.002, 0.05, 0.5])
@pytest.mark.parametrize("seed", range(2))
def test_junk_ends_in_verdicts(guest: Guest, seed: int, share: float) -> None:
    lying = Lying(ram(guest.ram), seed, share)
    machine = Machine.find("lying", lying, guest.machine.known)
    lying.quiet = False
    began = time.monotonic()
    made = scan(machine, chosen(ALL), rounds=2)
    assert time.monotonic() - began < ROUND_S
    assert {r.verdict for r in made.results} <= set(Verdict)
    assert all(r.problem or r.findings for r in made.results if r.verdict is not Verdict.CLEAN)
    if share == 0.5:
        assert sum(r.verdict is Verdict.CLEAN for r in made.results) < len(made.results) / 2


def test_memory_that_is_gone_is_no_clean_bill(guest: Guest) -> None:
    class Gone(Lying):
        def read(self, address: int, size: int) -> bytes:
            if not self.quiet:
                raise KernelDataError("the file became shorter while it was read")
            return self.memory.read(address, size)

    gone = Gone(ram(guest.ram), 0, 0)
    machine = Machine.find("gone", gone, guest.machine.known)
    gone.quiet = False
    made = scan(machine, chosen(ALL), rounds=2)
    assert {r.verdict for r in made.results} == {Verdict.UNCHECKED}


def test_a_target_that_starts_again_is_noticed(guest: Guest) -> None:
    """The kernel is gone from its place for some rounds, as while a machine boots; then it is back."""

    class Rebooting(Lying):
        def read(self, address: int, size: int) -> bytes:
            data = self.memory.read(address, size)
            return data if self.quiet else data.replace(b"Linux version", b"Booting Linux")

    rebooting = Rebooting(ram(guest.ram), 0, 0)
    machine = Machine.find("rebooting", rebooting, guest.machine.known)
    rebooting.quiet = False
    made = scan(machine, chosen(["HiddenTasks"]), rounds=2)
    assert made.results[0].verdict is Verdict.UNCHECKED and "place" in made.results[0].problem
    rebooting.quiet = True
    assert scan(machine, chosen(["HiddenTasks"])).results[0].verdict is Verdict.CLEAN
