# SPDX-License-Identifier: Apache-2.0
"""A kernel found in memory alone: symbols, types and banner, for when its package is not at hand.  These facts come
from the very machine that is examined, which may lie, so callers mark them as such.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from transect.linux.btf import Btf
from transect.linux.errors import KernelDataError
from transect.linux.kallsyms import AROUND, DIGITS, Symbols, find_at, is_table
from transect.linux.pages import PageTables
from transect.linux.physical import Physical, Range

STEP = 4 << 20  # bytes looked through at once
BEFORE, AFTER = 32 << 20, 16 << 20  # of the kernel around its token table, at most
SEEN = 10_000  # most places with the digits that are examined; the programs of a Debian system have some 500
TABLES = 64  # most places that look like a table: a host's memory has one for each guest kernel
TOO_MANY = "too much in this memory looks like a table of symbols: give the kernel that runs there"
BANNER = 512  # bytes; a kernel's has some 200
TYPES = 64 << 20  # bytes of BTF; a kernel has some ten million
IMAGE = (0xFFFFFFFF80000000, 0xFFFFFFFFC0000000)  # where x86-64 maps kernels
MASK = (1 << 64) - 1


@dataclass(frozen=True)
class Found:
    """A kernel as it lies in memory, at its running addresses."""

    banner: bytes
    symbols: Symbols
    btf: Btf


def find_kernel(memory: Physical) -> Found:
    """Raises `KernelDataError` when there is no kernel, or one without BTF or kallsyms; also if too much looks like
    one, as any program of that machine can arrange.
    """
    problem = "no kernel with kallsyms is in this memory"
    for r, place in _tables(memory):
        start = max(r.start, place - BEFORE) & ~4095
        data = memory.read(start, min(r.end, place + AFTER) - start)
        try:
            symbols = find_at(data, None, place - start)
            if symbols is not None:
                return _found(memory, start, data, symbols)
        except KernelDataError as error:
            problem = str(error)
    raise KernelDataError(problem)


def release(memory: Physical) -> str:
    """The release that the memory's kernel says it is (`6.12.118+deb13-amd64`), to look for its package."""
    return find_kernel(memory).banner.split(b" ")[2].decode("ascii", "replace")


def _tables(memory: Physical) -> Iterator[tuple[Range, int]]:
    """Physical addresses of the digits in what looks like a token table."""
    seen = tables = 0
    for r in memory.ranges:
        for start in range(r.start, r.end, STEP):
            data = memory.read(start, min(STEP + len(DIGITS), r.end - start))
            at = data.find(DIGITS)
            while at >= 0:
                seen += 1
                if _looks_so(memory, r, start + at):
                    tables += 1
                    yield r, start + at
                if seen == SEEN or tables == TABLES:
                    raise KernelDataError(f"{TOO_MANY} ({seen:,} places)")
                at = data.find(DIGITS, at + 1)


def _looks_so(memory: Physical, r: Range, place: int) -> bool:
    start = max(r.start, place - AROUND)
    return is_table(memory.read(start, min(r.end, place + AROUND) - start), place - start)


def _found(memory: Physical, start: int, data: bytes, symbols: Symbols) -> Found:
    """The kernel, with its addresses turned into running ones; `start` is the physical address of the data."""
    banner_at = data.find(b"Linux version ")
    relative = symbols.address("_text") >> 63 == 0 or symbols.address("_text") > IMAGE[1]
    while banner_at >= 0:
        shift = start + banner_at - symbols.address("linux_banner")  # physical - address
        base = (symbols.address("_text") + shift) & MASK
        try:
            if base % (2 << 20) == 0:
                return _rebased(memory, data, banner_at, symbols, shift, relative)
        except KernelDataError:
            pass
        banner_at = data.find(b"Linux version ", banner_at + 1)
    raise KernelDataError("the kernel's banner is not where its symbols say")


def _rebased(
    memory: Physical, data: bytes, banner_at: int, symbols: Symbols, shift: int, relative: bool
) -> Found:
    text = symbols.address("_text")
    base = (text + shift) & MASK
    root = (symbols.address("init_top_pgt") + shift) & MASK
    virtual = _mapped_at(memory, root, base)
    move = (virtual - text) & MASK
    if relative:
        moved = tuple((a + move) & MASK for a in symbols.addresses)
        symbols = replace(symbols, addresses=moved)
    elif move:
        raise KernelDataError("the kernel's symbols and its page tables disagree")
    banner = data[banner_at : banner_at + BANNER].partition(b"\0")[0]
    first, last = (symbols.address(name) - virtual + base for name in ("__start_BTF", "__stop_BTF"))
    if not 0 <= last - first <= TYPES:
        raise KernelDataError(f"the types of this kernel have {last - first:,} bytes")
    return Found(banner, symbols, Btf(memory.read(first, last - first)))


def _mapped_at(memory: Physical, root: int, base: int) -> int:
    """The virtual address of the kernel's text."""
    for levels in (5, 4):
        try:
            for page in PageTables(memory.read, root, levels).pages(*IMAGE):
                if page.physical == base:
                    return page.virtual
        except KernelDataError:
            continue
    raise KernelDataError("no page tables lead to the kernel's text")
