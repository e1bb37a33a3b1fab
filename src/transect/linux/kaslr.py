# SPDX-License-Identifier: Apache-2.0
"""Where a running kernel is: physical base, slide, levels of paging, the linear map; without any help from that kernel.

The kernel's banner stands at a known distance from its start, which is aligned to 2 MiB.  A pointer of a known value
(`init_mm.pgd`) gives the slide, and the page tables must then lead back to the physical base.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from transect.linux.btf import Btf
from transect.linux.errors import KernelDataError
from transect.linux.kallsyms import Symbols
from transect.linux.pages import PageTables
from transect.linux.physical import OutOfRange, Physical

SHOWN = 3  # reasons
ALIGN = 2 << 20  # bytes; CONFIG_PHYSICAL_ALIGN of every distribution
MASK = (1 << 64) - 1


@runtime_checkable
class Told(Protocol):
    """Memory that comes with a claim of where the kernel is.  The claim saves a search, and proves nothing."""

    @property
    def init_task(self) -> int | None:
        """Its physical address."""
        ...


@dataclass(frozen=True, slots=True)
class Location:
    """Where a kernel runs."""

    base: int  # physical address of `_text`
    slide: int  # added to every link address, modulo 2^64
    levels: int  # of page tables
    root: int  # physical address of `init_top_pgt`
    linear: int  # virtual address of physical 0 (`page_offset_base`)

    def physical(self, link_address: int, text: int) -> int:
        """Physical address of something within the kernel's image."""
        return self.base + (link_address - text)


def locate(memory: Physical, symbols: Symbols, btf: Btf, banner: bytes) -> Location:
    """Where the kernel of that banner runs in this memory.

    Raises `KernelDataError` when it is not there, or its page tables do not lead to it.
    """
    problems: list[str] = []
    found = False
    for base in bases(memory, symbols, banner):
        found = True
        try:
            return _at(memory, symbols, btf, base)
        except KernelDataError as error:
            problems.append(f"at {base:#x}: {error}")
    if not found:
        release = banner.split(b" ")[2].decode("ascii", "replace") if banner.count(b" ") > 2 else "?"
        raise KernelDataError(f"no kernel {release} in this memory (is it the kernel that runs there?)")
    raise KernelDataError(
        "the kernel is in this memory, but its page tables are not; " + "; ".join(problems[:SHOWN])
    )


def bases(memory: Physical, symbols: Symbols, banner: bytes) -> Iterator[int]:
    """Physical addresses at which the kernel may begin; first the one that the memory's owner tells, if it does."""
    text = symbols.address("_text")
    distance = symbols.address("linux_banner") - text
    told = memory.init_task if isinstance(memory, Told) else None
    if told is not None:
        base = told - (symbols.address("init_task") - text)
        with suppress(OutOfRange):
            if memory.read(base + distance, len(banner)) == banner:
                yield base
    for r in memory.ranges:
        first = -(-r.start // ALIGN) * ALIGN
        for base in range(first, r.end - distance - len(banner), ALIGN):
            try:
                if memory.read(base + distance, len(banner)) == banner:
                    yield base
            except OutOfRange:
                continue


def still_there(memory: Physical, symbols: Symbols, banner: bytes, where: Location) -> bool:
    """Whether the kernel is still at its place (the machine may have rebooted, and KASLR moved it)."""
    at = where.physical(symbols.address("linux_banner"), symbols.address("_text"))
    return memory.read(at, len(banner)) == banner


def _at(memory: Physical, symbols: Symbols, btf: Btf, base: int) -> Location:
    text, top = symbols.address("_text"), symbols.address("init_top_pgt")
    place = base + symbols.address("init_mm") - text + btf.field("mm_struct", "pgd").offset
    slide = (int.from_bytes(memory.read(place, 8), "little") - top) & MASK
    if slide % ALIGN:
        raise KernelDataError(f"`init_mm.pgd` gives a slide of {slide:#x}, which is not a multiple of 2 MiB")
    root = base + top - text
    problem: Exception | None = None
    for levels in (5, 4):
        tables = PageTables(memory.read, root, levels)
        try:
            if tables.translate(text + slide & MASK) != base:
                continue
            linear = int.from_bytes(
                memory.read(base + symbols.address("page_offset_base") - text, 8), "little"
            )
            if tables.translate(linear + base) != base:
                raise KernelDataError(f"the linear map is not at `page_offset_base` ({linear:#x})")
        except (OutOfRange, KernelDataError) as error:
            problem = error
            continue
        return Location(base, slide, levels, root, linear)
    raise KernelDataError(f"neither 4 nor 5 levels lead to it ({problem or 'they lead elsewhere'})")
