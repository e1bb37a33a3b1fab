# SPDX-License-Identifier: Apache-2.0
"""What chains mean: the reference to which XDP and P4 are compared, and the client that walks from user space.

A walker asks for one physical READ at a time (`wanted`), and is given its answer (`answer`).  Addresses in the linear
map and the kernel's image are found by arithmetic; others through the page tables, by one READ for each level.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field

from transect.linux.pages import FRAME, HUGE, MASK, PRESENT
from transect.linux.physical import Range
from transect.memory.chaser.steps import DONE, Chain, Status, Step
from transect.memory.machine import PAGE, Machine

ROOM = 248 << 10  # bytes of records that a chain may hold at most when another record begins
Sets = MutableMapping[int, set[int]]


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are in a target, for code without symbols."""

    linear: int  # virtual address of physical 0
    top: int  # where the linear map ends, counted from its beginning
    image: int  # virtual address at which the kernel's image begins
    image_size: int
    base: int  # its physical address
    root: int  # physical address of the page tables
    levels: int
    ranges: tuple[Range, ...]

    @staticmethod
    def of(machine: Machine) -> Places:
        ranges = tuple(machine.physical.ranges)
        where = machine.where
        image = machine.running(machine.text)
        top = max(r.end for r in ranges)
        return Places(
            where.linear, top, image, machine.image_size, where.base, where.root, where.levels, ranges
        )

    def granted(self, address: int, length: int) -> bool:
        return any(r.start <= address and address + length <= r.end for r in self.ranges)


@dataclass
class Walker:
    """The state of a chain while it runs."""

    chain: Chain
    places: Places
    sets: Sets = field(default_factory=dict)
    status: Status = Status.RUNNING
    wanted: tuple[int, int] = (0, 0)  # physical address and length of the READ that it waits for
    fault: int = 0
    hops: int = 0
    elements: int = 0
    records: list[tuple[int, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.registers = list(self.chain.registers)
        self.left = self.chain.reads
        self.pc = 0
        self.level = 0
        self.target = 0
        self._record: tuple[int, bytes] = (0, b"")
        self._matched = True
        self._locate(self.step)

    @property
    def step(self) -> Step:
        return self.chain.steps[self.pc]

    def answer(self, data: bytes) -> None:
        """What stands where it wanted to know."""
        self.hops += 1
        if self.level:
            self._descend(int.from_bytes(data, "little"))
        else:
            self._advance(self.step, data)
        if self.status is Status.RUNNING:
            if not self.left:
                self._stop(Status.TOO_LONG, self.wanted[0])
            self.left -= 1

    def _stop(self, status: Status, fault: int = 0) -> None:
        self.status, self.fault = status, fault

    # ------------------------------------------------------------ what to read

    def _want(self, address: int, length: int) -> None:
        if not self.places.granted(address, length):
            return self._stop(Status.OUTSIDE, address)
        self.wanted = address, length

    def _want_entry(self, table: int) -> None:
        index = self.target >> (3 + 9 * self.level) & 511
        self._want(table + 8 * index, 8)

    def _locate(self, step: Step) -> None:
        address, places = self.registers[step.base] + step.offset & MASK, self.places
        if address - places.linear & MASK < places.top:
            self._want(address - places.linear, step.length)
        elif address - places.image & MASK < places.image_size:
            self._want(places.base + address - places.image, step.length)
        elif not self.registers[step.base] >> 63:
            self._stop(Status.OUTSIDE, address)
        elif address % PAGE + step.length > PAGE:
            self._stop(Status.STRADDLES, address)
        else:
            self.target, self.level = address, places.levels
            self._want_entry(places.root)

    def _descend(self, entry: int) -> None:
        level = self.level
        if not entry & PRESENT:
            return self._stop(Status.UNMAPPED, self.target)
        if level > 1 and not (level <= 3 and entry & HUGE):
            self.level = level - 1
            return self._want_entry(entry & FRAME)
        within = (1 << (3 + 9 * level)) - 1
        self.level = 0
        self._want(entry & FRAME & ~within | self.target & within, self.step.length)

    # ------------------------------------------------------------ what an answer does

    def _advance(self, step: Step, data: bytes) -> None:
        if step.check is not None and _word(data, step.check[0]) != self.registers[step.check[1]]:
            return self._stop(Status.BROKEN, self.registers[step.base])
        if step.opens is not None:
            if len(self.records) * self.chain.record > ROOM:
                return self._stop(Status.FULL, self.registers[step.base])
            self._record, self._matched = (self.registers[step.opens], b""), True
            self.elements += 1
        self._matched &= all(test.passes(data) for test in step.tests)
        if step.keeps:
            self._record = self._record[0], self._record[1] + data
        for move in step.moves:
            self.registers[move.into] = (
                _word(data, move.at) if move.source is None else self.registers[move.source] + move.at & MASK
            )
        if step.inserts is not None:
            self.sets.setdefault(step.set, set()).add(self.registers[step.inserts])
        if step.outside is not None and self.registers[step.outside] in self.sets.get(step.set, ()):
            self._matched = False
        if step.closes and self._matched:
            self.records.append(self._record)
        equal = step.stop is not None and self.registers[step.stop[0]] == self.registers[step.stop[1]]
        self.pc = step.otherwise if equal else step.then
        if self.pc == DONE:
            return self._stop(Status.FINISHED)
        self._locate(self.step)


def _word(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 8], "little")


def walk(chain: Chain, places: Places, read: Callable[[int, int], bytes], sets: Sets | None = None) -> Walker:
    """The whole chain, one READ after the other."""
    walker = Walker(chain, places, {} if sets is None else sets)
    while walker.status is Status.RUNNING:
        walker.answer(read(*walker.wanted))
    return walker
