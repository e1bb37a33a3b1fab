# SPDX-License-Identifier: Apache-2.0
"""Physical memory of a machine: which addresses exist, and their bytes.

Every source knows its ranges; an address outside of them is refused before anything is asked (a read of an unmapped
address can crash a target).
"""

from __future__ import annotations

import ctypes as ct
import mmap
import os
import struct
import weakref
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from transect.base.bounded import opened
from transect.linux import elf
from transect.linux.errors import KernelDataError

HEAD = 1 << 20  # bytes of a dump in which its segments are described
LIME = struct.Struct("<IIQQQ")  # magic, version, first address, last address, reserved
LIME_MAGIC = 0x4C694D45
KDUMP = b"KDUMP   "
PAGE = 4096


class OutOfRange(KernelDataError):
    """The machine has no memory at that physical address."""


@dataclass(frozen=True, slots=True)
class Range:
    """Physical addresses with memory behind them."""

    start: int
    end: int  # exclusive


class Physical(Protocol):
    """Where physical memory is read from."""

    @property
    def ranges(self) -> Sequence[Range]:
        """By ascending address, without overlap."""
        ...

    @property
    def live(self) -> bool:
        """Whether the machine goes on running while it is read."""
        ...

    def read(self, address: int, size: int) -> bytes:
        """Raises `OutOfRange` unless one range holds all of it; `KernelDataError` when the source fails."""
        ...


@dataclass(frozen=True, slots=True)
class Extent:
    """A range and where in the file it lies."""

    start: int
    end: int
    offset: int


def _opened(owner: object, path: Path | str) -> tuple[int, Callable[[], object]]:
    """A descriptor that is closed when its owner is collected, also if the owner refuses the file; and a function that
    closes it earlier.
    """
    with opened(path) as found:
        file = os.dup(found.fileno())
    return file, weakref.finalize(owner, os.close, file)


class FileMemory:
    """Memory in a file: a live VM's shared RAM, an ELF core, a LiME dump."""

    def __init__(self, path: Path | str, extents: Sequence[Extent], live: bool) -> None:
        """Raises OSError, `KernelDataError` when the extents overlap or go beyond the file or the last address."""
        self.path = Path(path)
        self._file, self._closing = _opened(self, path)
        self._live = live
        self._extents = sorted(extents, key=lambda e: e.start)
        self._starts = [e.start for e in self._extents]
        size = os.fstat(self._file).st_size
        for e, after in zip(self._extents, [*self._extents[1:], None], strict=True):
            if after is not None and e.end > after.start:
                raise KernelDataError(f"{path}: two parts of it are for the address {after.start:#x}")
            if e.end > 1 << 64:
                raise KernelDataError(
                    f"{path}: a part of it, from {e.start:#x} on, goes beyond all addresses"
                )
            if e.offset + e.end - e.start > size:
                raise KernelDataError(
                    f"{path} is cut off: {size} bytes, but memory up to {e.end:#x} ends at "
                    f"{e.offset + e.end - e.start}"
                )

    @property
    def ranges(self) -> tuple[Range, ...]:
        return tuple(Range(e.start, e.end) for e in self._extents)

    @property
    def live(self) -> bool:
        return self._live

    def offset(self, address: int, size: int) -> int:
        """Where in the file it lies.  Raises `OutOfRange`."""
        index = bisect_right(self._starts, address) - 1
        if index < 0 or size < 0 or address + size > self._extents[index].end:
            raise OutOfRange(f"no memory at physical {address:#x} ({size} bytes)")
        e = self._extents[index]
        return e.offset + address - e.start

    def read(self, address: int, size: int) -> bytes:
        data = os.pread(self._file, size, self.offset(address, size))
        if len(data) != size:
            raise KernelDataError(f"{self.path} became shorter while it was read")
        return data

    @property
    def extents(self) -> Sequence[Extent]:
        return self._extents

    @property
    def whole(self) -> bool:
        """Whether the file is still as long as it was: a page beyond its end cannot be read where it is mapped."""
        last = max(self._extents, key=lambda e: e.offset)
        return os.fstat(self._file).st_size >= last.offset + last.end - last.start

    def map(self) -> Mapping:
        """The whole file in our address space, for reading.  Raises OSError."""
        return Mapping(self._file)

    def close(self) -> None:
        self._closing()


def ram(path: Path | str, low: int | None = None, live: bool = True) -> FileMemory:
    """A virtual machine's RAM file (`memory-backend-file`, share=on); not `live`: a copy, or what is left of one.

    `low`: bytes below the hole for devices under 4 GiB.  QEMU's q35 machine puts 2 GiB there when the machine has 2.75
    GiB or more, otherwise everything; this is the default.
    """
    size = os.stat(path).st_size
    if low is None:
        low = 2 << 30 if size >= 0xB0000000 else size
    extents = [Extent(0, min(low, size), 0)]
    if size > low:
        extents.append(Extent(1 << 32, (1 << 32) + size - low, low))
    return FileMemory(path, extents, live=live)


def dump(path: Path | str) -> Physical:
    """A file with the memory of a machine that is not running: ELF core, LiME, kdump (zlib).

    Raises `KernelDataError` when it is none of them, cut off or contradicts itself, OSError.
    """
    with opened(path) as file:
        head = file.read(HEAD)
    if head[:4] == b"\x7fELF":
        return FileMemory(path, list(_core(path, head)), live=False)
    if head[:4] == LIME_MAGIC.to_bytes(4, "little"):
        return FileMemory(path, list(_lime(path)), live=False)
    if head[: len(KDUMP)] == KDUMP:
        return Kdump(path, Plain(path))
    if head[: len(Rearranged.MAGIC)] == Rearranged.MAGIC:
        return Kdump(path, Rearranged(path))
    raise KernelDataError(
        f"{path} is neither an ELF core nor a LiME or kdump file (raw:FILE is a copy of RAM)"
    )


def _core(path: Path | str, head: bytes) -> Iterator[Extent]:
    """Segments with bytes.  A core made of virtual addresses alone has physical 0 everywhere: refused."""
    found = elf.header(head)
    size = os.stat(path).st_size
    loads = [s for s in found.segments if s.type == elf.LOAD and s.file_size]
    if found.type != elf.CORE or not loads:
        raise KernelDataError(f"{path} is an ELF file, but no core of a machine")
    if found.machine != elf.X86_64:
        raise KernelDataError(f"{path} is the core of another processor ({found.machine}), not of an x86-64")
    if len(loads) > 1 and all(s.physical == 0 for s in loads):
        raise KernelDataError(f"{path} is a core without physical addresses (of a process?)")
    for s in found.segments:
        if s.type == elf.NOTE and s.offset + s.file_size > size:
            raise KernelDataError(f"{path}: its note lies beyond its end, at {s.offset:#x}")
    for s in loads:
        if s.memory_size < s.file_size:
            raise KernelDataError(
                f"{path}: the part for {s.physical:#x} has {s.file_size} bytes, and memory for {s.memory_size}"
            )
        if s.physical + s.memory_size > 1 << 64:
            raise KernelDataError(f"{path}: the part for {s.physical:#x} goes beyond all addresses")
        if s.offset < elf.HEADER.size:
            raise KernelDataError(f"{path}: the part for {s.physical:#x} lies in the file's own head")
        yield Extent(s.physical, s.physical + s.file_size, s.offset)


def _lime(path: Path | str) -> Iterator[Extent]:
    size, at = os.stat(path).st_size, 0
    with opened(path) as file:
        while at < size:
            file.seek(at)
            record = file.read(LIME.size)
            if len(record) < LIME.size:
                raise KernelDataError(f"{path} is cut off: no whole header at {at:#x}")
            magic, version, first, last, _ = LIME.unpack(record)
            if magic != LIME_MAGIC or version != 1 or last < first:
                raise KernelDataError(f"{path}: no LiME header at {at:#x}")
            yield Extent(first, last + 1, at + LIME.size)
            at += LIME.size + last + 1 - first


class Mapping:
    """A file in our address space; it is there as long as this object."""

    def __init__(self, file: int) -> None:
        self._libc = ct.CDLL(None, use_errno=True)
        self._libc.mmap.restype = ct.c_void_p
        self._libc.mmap.argtypes = [ct.c_void_p, ct.c_size_t, ct.c_int, ct.c_int, ct.c_int, ct.c_long]
        self.size = os.fstat(file).st_size
        self.address: int = self._libc.mmap(None, self.size, mmap.PROT_READ, mmap.MAP_SHARED, file, 0)
        if self.address in (None, (1 << 64) - 1):
            raise OSError(ct.get_errno(), os.strerror(ct.get_errno()))

    def __del__(self) -> None:
        self._libc.munmap(ct.c_void_p(self.address), ct.c_size_t(self.size))


_PAGE_HEAD = struct.Struct("<qIIQ")  # offset, size, flags, page flags
_ZLIB = 1


class Rearranged:
    """makedumpfile's flattened form: pieces of a file in the order in which they were written, each with its place."""

    MAGIC = b"makedumpfile"
    PIECE = struct.Struct(">qq")  # offset, size
    START = 4096

    def __init__(self, path: Path | str) -> None:
        """Raises `KernelDataError` when it is cut off."""
        self._file, self._closing = _opened(self, path)
        self._pieces: list[tuple[int, int, int]] = []  # offset, size, place in this file; later ones win
        size, at = os.fstat(self._file).st_size, self.START
        while True:
            raw = os.pread(self._file, self.PIECE.size, at)
            if len(raw) != self.PIECE.size:
                raise KernelDataError(f"{path} is cut off: the mark of its end is missing")
            offset, length = self.PIECE.unpack(raw)
            at += self.PIECE.size
            if offset < 0:
                break
            if length <= 0 or at + length > size:
                raise KernelDataError(f"{path} is cut off within a piece of {length} bytes")
            self._pieces.append((offset, length, at))
            at += length
        self._order = sorted(self._pieces)
        self._starts = [p[0] for p in self._order]
        self._longest = max((n for _, n, _ in self._pieces), default=0)
        self.size = max((o + n for o, n, _ in self._pieces), default=0)

    def pread(self, size: int, offset: int) -> bytes:
        """As `os.pread` of the file that it stands for; holes are zeros."""
        size = max(0, min(size, self.size - offset))
        data = bytearray(size)
        last = bisect_right(self._starts, offset + size - 1)
        first = bisect_right(self._starts, offset - self._longest)
        for start, length, at in sorted(self._order[first:last], key=lambda piece: piece[2]):
            low, high = max(offset, start), min(offset + size, start + length)
            if low < high:
                data[low - offset : high - offset] = os.pread(self._file, high - low, at + low - start)
        return bytes(data)


class Plain:
    """An ordinary file."""

    def __init__(self, path: Path | str) -> None:
        self._file, self._closing = _opened(self, path)
        self.size = os.fstat(self._file).st_size

    def pread(self, size: int, offset: int) -> bytes:
        return os.pread(self._file, size, offset)


class Kdump:
    """A kdump-compressed file, as `dump-guest-memory -z` of QEMU and makedumpfile write it (zlib or plain pages).

    Format: makedumpfile's IMPLEMENTATION file, `disk_dump_header`.
    """

    live = False

    def __init__(self, path: Path | str, file: Plain | Rearranged) -> None:
        """Raises `KernelDataError`."""
        self.path = Path(path)
        self._file = file
        head = file.pread(PAGE * 2, 0)
        # disk_dump_header: signature, version, utsname (6 × 65), timestamp, status, block size, sub-header blocks,
        # bitmap blocks, highest page …; the fields wanted here stand at fixed places.
        if len(head) < PAGE * 2:
            raise KernelDataError(f"{path} is cut off within its header")
        status, block, sub, bitmap, highest = struct.unpack_from("<iiiII", head, 424)
        if block != PAGE or sub < 0 or bitmap <= 0 or status & ~7:
            raise KernelDataError(
                f"{path}: blocks of {block} bytes, status {status}: not a kdump that is known"
            )
        if status & 6:
            raise KernelDataError(f"{path} is packed by lzo or snappy; only zlib is read")
        wide = struct.unpack_from("<Q", head, block + 96)[0] if sub else 0  # max_mapnr of kdump 6
        pages = wide or highest
        start = (1 + sub) * block
        if start + bitmap * block > self._file.size:
            raise KernelDataError(f"{path} is cut off within its bitmaps")
        raw = self._file.pread(bitmap * block, start)
        dumped = raw[len(raw) // 2 :]
        if pages > len(dumped) * 8:
            raise KernelDataError(f"{path}: {pages} pages, but a bitmap of {len(dumped)} bytes")
        self._frames = [n for n in range(pages) if dumped[n >> 3] >> (n & 7) & 1]
        if not self._frames:
            raise KernelDataError(f"{path} holds no page of memory")
        self._index = {frame: i for i, frame in enumerate(self._frames)}
        self._descriptors = start + bitmap * block
        self._cache: dict[int, bytes] = {}

    @property
    def ranges(self) -> tuple[Range, ...]:
        found: list[Range] = []
        for frame in self._frames:
            if found and found[-1].end == frame * PAGE:
                found[-1] = Range(found[-1].start, (frame + 1) * PAGE)
            else:
                found.append(Range(frame * PAGE, (frame + 1) * PAGE))
        return tuple(found)

    def read(self, address: int, size: int) -> bytes:
        pieces = []
        while size > 0:
            within = address % PAGE
            part = self._page(address // PAGE)[within : within + size]
            pieces.append(part)
            address, size = address + len(part), size - len(part)
        return b"".join(pieces)

    def _page(self, frame: int) -> bytes:
        if frame in self._cache:
            return self._cache[frame]
        index = self._index.get(frame)
        if index is None:
            raise OutOfRange(f"{self.path} does not hold physical {frame * PAGE:#x}")
        raw = self._file.pread(_PAGE_HEAD.size, self._descriptors + index * _PAGE_HEAD.size)
        if len(raw) != _PAGE_HEAD.size:
            raise KernelDataError(f"{self.path} is cut off within its page table")
        offset, size, flags, _ = _PAGE_HEAD.unpack(raw)
        if size > PAGE or offset < 0:
            raise KernelDataError(f"{self.path}: page {frame:#x} has {size} bytes")
        data = self._file.pread(size, offset)
        if flags == _ZLIB:
            try:
                data = zlib.decompressobj().decompress(data, PAGE)
            except zlib.error as error:
                raise KernelDataError(f"{self.path}: page {frame:#x} is damaged: {error}") from error
        elif flags:
            raise KernelDataError(f"{self.path}: page {frame:#x} is packed in an unknown way")
        if len(data) != PAGE:
            raise KernelDataError(f"{self.path}: page {frame:#x} has {len(data)} bytes")
        if len(self._cache) > 4096:
            self._cache.clear()
        self._cache[frame] = data
        return data
