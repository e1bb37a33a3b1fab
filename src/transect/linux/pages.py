# SPDX-License-Identifier: Apache-2.0
"""Page tables of x86-64: 4 and 5 levels, pages of 4 KiB, 2 MiB and 1 GiB.

An address is translated by reading one entry a level; nothing is remembered, so every answer is as fresh as its reads.

Intel SDM, volume 3A, section 4.5.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from transect.linux.errors import KernelDataError

ENTRIES = 512
PRESENT, WRITE, USER, HUGE = 1, 2, 4, 1 << 7
NO_EXECUTE = 1 << 63
FRAME = 0x000F_FFFF_FFFF_F000  # physical address within an entry, before the machine's own limit
MASK = (1 << 64) - 1

Read = Callable[[int, int], bytes]
"""(physical address, size) -> bytes; raises `KernelDataError`."""


class NotMapped(KernelDataError):
    """No page stands behind a virtual address."""


@dataclass(frozen=True, slots=True)
class Page:
    """A mapped page."""

    virtual: int  # where it begins
    physical: int
    size: int
    writable: bool  # in every level above, too
    executable: bool
    user: bool


@dataclass(frozen=True, slots=True)
class PageTables:
    """One set of page tables."""

    read: Read
    root: int  # physical address of the top table
    levels: int  # 4 or 5

    def translate(self, address: int) -> int:
        """The physical address.  Raises `NotMapped`; `KernelDataError` when a table lies outside of memory."""
        page = self.page(address)
        return page.physical + (address - page.virtual)

    def page(self, address: int) -> Page:
        """The page that holds an address.  Raises as `translate`."""
        address &= MASK
        if not self._canonical(address):
            raise NotMapped(f"{address:#x} is not a canonical address")
        table, writable, executable, user = self.root & FRAME, True, True, True
        for level in range(self.levels, 0, -1):
            shift = 12 + 9 * (level - 1)
            index = address >> shift & (ENTRIES - 1)
            entry = int.from_bytes(self.read(table + 8 * index, 8), "little")
            if not entry & PRESENT:
                raise NotMapped(f"no page is mapped at {address:#x}")
            writable &= bool(entry & WRITE)
            executable &= not entry & NO_EXECUTE
            user &= bool(entry & USER)
            if level == 1 or (level <= 3 and entry & HUGE):
                size = 1 << shift
                return Page(
                    address & ~(size - 1), entry & FRAME & ~(size - 1), size, writable, executable, user
                )
            table = entry & FRAME
        raise AssertionError("a walk ends at level 1")

    def _canonical(self, address: int) -> bool:
        top = address >> (11 + 9 * self.levels)
        return top in (0, (1 << (64 - (11 + 9 * self.levels))) - 1)

    def pages(self, start: int, end: int, limit: int = 1 << 20, executable: bool = False) -> Iterator[Page]:
        """All mapped pages that touch [start, end), by ascending address; `executable`: those alone.

        Raises `KernelDataError` beyond `limit` tables: page tables that refer to each other do not go on for ever.
        """
        self_left = [limit]
        yield from self._below(
            self.root & FRAME, self.levels, 0, (True, True, True), start, end, self_left, executable
        )

    def _below(
        self,
        table: int,
        level: int,
        base: int,
        rights: tuple[bool, bool, bool],
        start: int,
        end: int,
        left: list[int],
        executables: bool,
    ) -> Iterator[Page]:
        left[0] -= 1
        if left[0] < 0:
            raise KernelDataError("these page tables have more tables than the limit")
        shift = 12 + 9 * (level - 1)
        entries = struct.unpack(f"<{ENTRIES}Q", self.read(table, 8 * ENTRIES))
        for index, entry in enumerate(entries):
            if not entry & PRESENT:
                continue
            virtual = base + (index << shift)
            if level == self.levels and index >= ENTRIES // 2:
                virtual |= MASK << (shift + 9) & MASK
            if virtual + (1 << shift) <= start or virtual >= end:
                continue
            writable, executable, user = rights
            now = (
                writable and bool(entry & WRITE),
                executable and not entry & NO_EXECUTE,
                user and bool(entry & USER),
            )
            if executables and not now[1]:
                continue
            if level == 1 or (level <= 3 and entry & HUGE):
                size = 1 << shift
                yield Page(virtual, entry & FRAME & ~(size - 1), size, *now)
            else:
                yield from self._below(entry & FRAME, level - 1, virtual, now, start, end, left, executables)
