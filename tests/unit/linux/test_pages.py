# SPDX-License-Identifier: Apache-2.0
"""Page tables of 4 and 5 levels, with pages of every size, in a small physical memory."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transect.linux import KernelDataError
from transect.linux.pages import NotMapped, PageTables

SIZE = 1 << 20
RW, NX, HUGE = 0x3, 1 << 63, 0x80


class Memory:
    """A physical memory with tables that are filled on demand."""

    def __init__(self, levels: int) -> None:
        self.data = bytearray(SIZE)
        self.next = 0x2000
        self.levels = levels

    def read(self, address: int, size: int) -> bytes:
        if address + size > SIZE:
            raise KernelDataError("outside")
        return bytes(self.data[address : address + size])

    def map(self, virtual: int, physical: int, level: int = 1, flags: int = RW) -> None:
        table = 0x1000
        for at in range(self.levels, level - 1, -1):
            entry = table + 8 * (virtual >> (12 + 9 * (at - 1)) & 511)
            if at == level:
                value = physical | flags | (HUGE if level > 1 else 0)
            else:
                value = int.from_bytes(self.data[entry : entry + 8], "little")
                if not value:
                    value, self.next = self.next | RW, self.next + 0x1000
            self.data[entry : entry + 8] = value.to_bytes(8, "little")
            table = value & 0xFFFFFFFFFF000

    @property
    def tables(self) -> PageTables:
        return PageTables(self.read, 0x1000, self.levels)


KERNEL = 0xFFFFFFFF81000000


@pytest.mark.parametrize("levels", [4, 5])
@pytest.mark.parametrize(("level", "size"), [(1, 4096), (2, 2 << 20), (3, 1 << 30)])
def test_an_address_in_a_page_of_each_size(levels: int, level: int, size: int) -> None:
    memory = Memory(levels)
    virtual = KERNEL & ~(size - 1)
    memory.map(virtual, 5 * size, level)
    assert memory.tables.translate(virtual + 0x123) == 5 * size + 0x123
    page = memory.tables.page(virtual + size - 1)
    assert (page.virtual, page.size) == (virtual, size)


def test_an_address_without_a_page() -> None:
    memory = Memory(4)
    memory.map(KERNEL, 0x5000)
    with pytest.raises(NotMapped):
        memory.tables.translate(KERNEL + 0x1000)


@pytest.mark.parametrize("levels", [4, 5])
def test_an_address_between_the_halves_is_refused(levels: int) -> None:
    with pytest.raises(NotMapped, match="canonical"):
        Memory(levels).tables.translate(0x8000_0000_0000 << 9 * (levels - 4))


def test_rights_of_every_level_count() -> None:
    memory = Memory(4)
    memory.map(KERNEL, 0x5000, flags=0x1 | NX)
    page = memory.tables.page(KERNEL)
    assert (page.writable, page.executable) == (False, False)


def test_all_pages_of_a_stretch() -> None:
    memory = Memory(5)
    memory.map(KERNEL, 0x5000)
    memory.map(KERNEL + 0x3000, 0x9000, flags=0x3 | NX)
    memory.map(KERNEL + (4 << 20), 64 << 20, 2)
    found = [
        (p.virtual - KERNEL, p.size, p.executable) for p in memory.tables.pages(KERNEL, KERNEL + (8 << 20))
    ]
    assert found == [(0, 4096, True), (0x3000, 4096, False), (4 << 20, 2 << 20, True)]


def test_tables_that_refer_to_themselves_end() -> None:
    memory = Memory(5)
    for at in range(0x1000, 0x2000, 8):
        memory.data[at : at + 8] = (0x1000 | RW).to_bytes(8, "little")
    with pytest.raises(KernelDataError, match="limit"):
        list(PageTables(memory.read, 0x1000, 5).pages(0, 1 << 64, limit=500))


@given(st.binary(min_size=8, max_size=64), st.integers(0, 2**64 - 1), st.sampled_from([4, 5]))
@settings(max_examples=200)
def test_any_tables_give_a_page_or_a_diagnostic(seed: bytes, address: int, levels: int) -> None:
    memory = Memory(levels)
    memory.data[:] = (seed * (SIZE // len(seed) + 1))[:SIZE]
    with contextlib.suppress(KernelDataError):
        memory.tables.translate(address)
