# SPDX-License-Identifier: Apache-2.0
"""What a kernel's constant memory must hold while it runs: the image, moved by the slide, with marks at the places
which the kernel itself patches (alternatives, calls made direct, jump labels, ftrace, returns, locks …).

Everything comes from the image: the table of relocations behind the ELF file of a boot image, and the tables of patch
sites, which a running kernel has thrown away.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from transect.linux.errors import KernelDataError
from transect.linux.image import Image, Piece

MASK = (1 << 64) - 1
PAGE = 4096
HIGH = 0xFFFFFFFF_00000000  # upper half of every link address


class Site(NamedTuple):  # there are 400,000 of them
    """A place that the kernel patches."""

    address: int  # link address
    size: int
    kind: str


@dataclass(frozen=True)
class Relocations:
    """Link addresses of words that KASLR adjusts."""

    words: tuple[int, ...]  # 64 bits: plus the slide
    halves: tuple[int, ...]  # 32 bits: plus the slide
    inverse: tuple[int, ...]  # 32 bits: minus the slide (per-CPU code of kernels before 6.15)


def relocations(image: Image) -> Relocations:
    """From the end of the file backward: the 32-bit ones, perhaps inverse ones, the 64-bit ones; a 0 ends each group.

    Raises `KernelDataError` for a file without them (a plain vmlinux).
    """
    data, groups = image.data, list[tuple[int, ...]]()
    at = len(data) - 4
    while at >= 0 and len(groups) < 3:
        stop = at
        while at >= 0 and data[at : at + 4] != b"\0\0\0\0":
            at -= 4
        count = (stop - at) // 4
        if not count or count > len(data) // 64:
            break
        groups.append(tuple(HIGH | v for v in struct.unpack_from(f"<{count}I", data, at + 4)))
        at -= 4
    if len(groups) < 2:
        raise KernelDataError("this kernel's file has no relocations: give its vmlinuz")
    inverse = groups[1] if len(groups) == 3 else ()
    return Relocations(groups[-1], groups[0], inverse)


@dataclass
class Expected:
    """The constant memory of a kernel at one slide."""

    image: Image
    slide: int

    @cached_property
    def _piece(self) -> Piece:
        """The segment that holds text and read-only data."""
        text = self.image.symbols.address("_text")
        return next(p for p in self.image.pieces if p.address <= text < p.end)

    @property
    def start(self) -> int:
        """Link address of the first byte of `memory`."""
        return self._piece.address

    @cached_property
    def memory(self) -> bytes:
        """That segment as it must be in memory."""
        piece, data = self._piece, bytearray(self.image.loaded(self._piece))
        found = relocations(self.image)
        shift = self.slide & MASK
        for addresses, size, by in (
            (found.words, 8, shift),
            (found.halves, 4, shift),
            (found.inverse, 4, -shift),
        ):
            limit = (1 << size * 8) - 1
            for address in addresses if self.slide else ():
                at = address - piece.address
                if 0 <= at <= len(data) - size:
                    value = int.from_bytes(data[at : at + size], "little") + by & limit
                    data[at : at + size] = value.to_bytes(size, "little")
        return bytes(data)

    def read(self, address: int, size: int) -> bytes:
        """The bytes that must stand at a link address of text or read-only data.  Raises `KernelDataError`
        elsewhere.
        """
        at = address - self._piece.address
        if not 0 <= at <= len(self.memory) - size:
            raise KernelDataError(f"{address:#x} is not in the kernel's constant memory")
        return self.memory[at : at + size]

    @cached_property
    def pointers(self) -> tuple[int, ...]:
        """Link addresses of the words of data, also of what is written at start alone, in which the image has the
        address of a function, ascending."""
        symbols, (low, high) = self.image.symbols, self.text
        found: list[int] = []
        words = sorted(relocations(self.image).words)
        for first, last in (("__start_ro_after_init", "__end_ro_after_init"), ("_sdata", "_edata")):
            start, end = symbols.address(first), symbols.address(last)
            data = self.image.read(start, end - start)
            some = words[bisect_left(words, start) : bisect_left(words, end - 7)]
            values = (int.from_bytes(data[w - start : w - start + 8], "little") for w in some)
            found += [word for word, value in zip(some, values, strict=True) if low <= value < high]
        return tuple(sorted(found))

    # ------------------------------------------------------------ patch sites

    @cached_property
    def sites(self) -> tuple[Site, ...]:
        """Every place within the text that the kernel patches."""
        low, high = self.text
        return tuple(s for s in self._sites() if low <= s.address < high)

    @cached_property
    def text(self) -> tuple[int, int]:
        """Link addresses of the kernel's text."""
        symbols = self.image.symbols
        return symbols.address("_stext"), symbols.address("_etext")

    def _sites(self) -> Iterator[Site]:
        yield from self._alternatives()
        yield from self._near("static_call", "__start_static_call_sites", "__stop_static_call_sites", 8, 5)
        yield from self._near("jump", "__start___jump_table", "__stop___jump_table", 16, 5)
        yield from self._near("return", "__return_sites", "__return_sites_end", 4, 5)
        yield from self._near("retpoline", "__retpoline_sites", "__retpoline_sites_end", 4, 6)
        yield from self._near("call", "__call_sites", "__call_sites_end", 4, 5)
        yield from self._near("endbr", "__ibt_endbr_seal", "__ibt_endbr_seal_end", 4, 4)
        yield from self._near("cfi", "__cfi_sites", "__cfi_sites_end", 4, 16)
        yield from self._near("lock", "__smp_locks", "__smp_locks_end", 4, 1)
        for section in self.image.sections:
            if section.name.startswith("runtime_"):
                raw = self.image.section_data(section.name)
                yield from self._distances("constant", section.address, raw, 4, 8)
        for address in self._traced():
            yield Site(address, 5, "ftrace")
        yield from self._paravirtual()
        yield from self._trampolines()

    def _between(self, first: str, last: str) -> tuple[int, bytes]:
        symbols = self.image.symbols
        if first not in symbols or last not in symbols:
            return 0, b""  # this kernel has no such patches
        start, end = symbols.address(first), symbols.address(last)
        return start, self.image.read(start, end - start) if end > start else b""

    def _near(self, kind: str, first: str, last: str, step: int, size: int) -> Iterator[Site]:
        """Tables whose entries begin with the distance to the site."""
        start, raw = self._between(first, last)
        yield from self._distances(kind, start, raw, step, size)

    def _distances(self, kind: str, start: int, raw: bytes, step: int, size: int) -> Iterator[Site]:
        for at in range(0, len(raw) - step + 1, step):
            distance = int.from_bytes(raw[at : at + 4], "little", signed=True)
            yield Site((start + at + distance) & MASK, size, kind)

    def _alternatives(self) -> Iterator[Site]:
        start, raw = self._between("__alt_instructions", "__alt_instructions_end")
        step = self.image.btf.struct("alt_instr").size
        length = self.image.btf.field("alt_instr", "instrlen").offset
        for at in range(0, len(raw) - step + 1, step):
            distance = int.from_bytes(raw[at : at + 4], "little", signed=True)
            yield Site((start + at + distance) & MASK, raw[at + length], "alternative")

    def _traced(self) -> Iterator[int]:
        _, raw = self._between("__start_mcount_loc", "__stop_mcount_loc")
        for (address,) in struct.iter_unpack("<Q", raw[: len(raw) & ~7]):
            yield address

    def _paravirtual(self) -> Iterator[Site]:
        """Calls that a hypervisor may replace: a table of their own to 6.7, alternatives since then."""
        _, raw = self._between("__parainstructions", "__parainstructions_end")
        if not raw:
            return
        step = self.image.btf.struct("paravirt_patch_site").size
        length = self.image.btf.field("paravirt_patch_site", "len").offset
        for at in range(0, len(raw) - step + 1, step):
            yield Site(int.from_bytes(raw[at : at + 8], "little"), raw[at + length], "paravirtual")

    def _trampolines(self) -> Iterator[Site]:
        symbols = self.image.symbols
        if "__static_call_text_start" in symbols:
            start, end = (
                symbols.address("__static_call_text_start"),
                symbols.address("__static_call_text_end"),
            )
            for address in range(start, end, 8):
                yield Site(address, 5, "static_call")
        for name in ("ftrace_call", "ftrace_regs_call", "ftrace_graph_call"):
            if name in symbols:
                yield Site(symbols.address(name), 5, "ftrace")

    @cached_property
    def closed(self) -> bytes:
        """For each byte of text: 0xFF where it must be as in the image, 0 where the kernel patches."""
        low, high = self.text
        mask = bytearray(b"\xff") * (high - low)
        for site in self.sites:
            at = site.address - low
            mask[at : at + site.size] = bytes(min(site.size, len(mask) - at))
        return bytes(mask)

    def differences(self, page: int, data: bytes) -> list[int]:
        """Link addresses of bytes of a page of text which differ, patch sites apart."""
        wanted = self.read(page, len(data))
        if wanted == data:
            return []
        wrong = int.from_bytes(wanted, "little") ^ int.from_bytes(data, "little")
        at = page - self.text[0]
        wrong &= int.from_bytes(self.closed[at : at + len(data)], "little")
        return [page + i for i, b in enumerate(wrong.to_bytes(len(data), "little")) if b] if wrong else []
