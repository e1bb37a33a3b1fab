# SPDX-License-Identifier: Apache-2.0
"""Small memories with page tables and lists in them, and chains which walk these lists."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from transect.linux.pages import HUGE, PRESENT
from transect.linux.physical import Range
from transect.memory.chaser.steps import DONE, REGISTERS, Chain, Move, Step, Test
from transect.memory.chaser.walker import Places

LINEAR = 0xFFFF888000000000
IMAGE = 0xFFFFFFFF81000000
FAR = 0xFFFFC90000000000  # where no arithmetic leads
SIZE = 8 << 20
BASE = 4 << 20  # of the image
LINK = 24  # of the link in an element of 64 bytes; a word to keep at 8, a pointer at 40


@dataclass
class Memory:
    """Physical memory, its page tables at 1 MiB, pages for `FAR` at 2 MiB."""

    levels: int = 4
    huge: int = 1  # level of the page that `FAR` is mapped by
    data: bytearray = field(default_factory=lambda: bytearray(SIZE))

    def __post_init__(self) -> None:
        table = 1 << 20
        for level in range(self.levels, self.huge, -1):
            self._entry(table, level, table + 4096 | PRESENT)
            table += 4096
        for page in range(512) if self.huge == 1 else (FAR >> (3 + 9 * self.huge) & 511,):
            target = (2 << 20) + 4096 * page if self.huge == 1 else 2 << 20 if self.huge == 2 else 0
            self.word(table + 8 * page, target | PRESENT | (HUGE if self.huge > 1 else 0))

    def _entry(self, table: int, level: int, value: int) -> None:
        self.word(table + 8 * (FAR >> (3 + 9 * level) & 511), value)

    def word(self, at: int, value: int) -> None:
        self.data[at : at + 8] = (value & (1 << 64) - 1).to_bytes(8, "little")

    def physical(self, address: int) -> int:
        for start, base in ((LINEAR, 0), (IMAGE, BASE), (FAR, 0 if self.huge == 3 else 2 << 20)):
            if start <= address < start + SIZE:
                return base + address - start
        raise AssertionError(hex(address))

    def put(self, address: int, value: int) -> None:
        self.word(self.physical(address), value)

    def read(self, address: int, size: int) -> bytes:
        return bytes(self.data[address : address + size])

    @property
    def places(self) -> Places:
        return Places(LINEAR, SIZE, IMAGE, 1 << 20, BASE, 1 << 20, self.levels, (Range(0, SIZE),))

    def ring(self, head: int, elements: list[int], seed: int = 0) -> None:
        """A circular list of elements, each with a number and a pointer to another number."""
        draw = random.Random(seed)
        links = [head, *(e + LINK for e in elements)]
        for i, link in enumerate(links):
            self.put(link, links[(i + 1) % len(links)])
            self.put(link + 8, links[i - 1])
        for e in elements:
            self.put(e + 8, draw.randrange(100))
            behind = LINEAR + (3 << 20) + 64 * draw.randrange(1000)
            self.put(e + 40, behind)
            self.put(behind + 16, draw.randrange(1 << 64))


def chain(
    head: int,
    low: int = 0,
    high: int = 1 << 63,
    reads: int = 10_000,
    inserts: int | None = None,
    outside: int | None = None,
) -> Chain:
    """Walks a ring, keeps those whose number fits, and what their pointer leads to."""
    steps = (
        Step(0, 0, 16, (Move(1, 0, 0), Move(2, 0, 0), Move(0, 0)), stop=(0, 2), then=1, otherwise=DONE),
        Step(
            0,
            8 - LINK,
            40,
            (Move(3, -LINK, 0), Move(4, 32), Move(1, 0, 0), Move(0, 16)),
            check=(24, 1),
            tests=(Test(0, 4, low, high),),
            opens=0,
            keeps=True,
            then=2,
            inserts=inserts,
            outside=outside,
        ),
        Step(4, 16, 16, keeps=True, closes=True, stop=(0, 2), then=1, otherwise=DONE),
    )
    return Chain("ring", steps, (head, *(0,) * (REGISTERS - 1)), reads)


def elements(count: int, seed: int, where: int = LINEAR + (3 << 20) + (1 << 17)) -> list[int]:
    """Addresses of elements, which never lie over the end of a page."""
    return [where + 128 * i for i in random.Random(seed).sample(range(2000), count)]
