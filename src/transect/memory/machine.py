# SPDX-License-Identifier: Apache-2.0
"""A running kernel that is observed: its physical memory, what is known of the kernel, and where it lies.

Virtual addresses in the linear map and the kernel's image are translated by arithmetic, others through its page tables.
Nothing is ever written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, runtime_checkable

from transect.linux.btf import Btf
from transect.linux.errors import KernelDataError
from transect.linux.expected import Expected
from transect.linux.image import Image
from transect.linux.kallsyms import Symbols
from transect.linux.kaslr import Location, locate, still_there
from transect.linux.pages import PageTables
from transect.linux.physical import OutOfRange, Physical

MASK = (1 << 64) - 1
PAGE = 4096
PERCPU_ZERO = 1 << 32  # a symbol with an address below it is an offset within a processor's own area


@runtime_checkable
class Closable(Protocol):
    """Memory that holds a socket."""

    def close(self) -> None: ...


class Rebooted(KernelDataError):
    """The kernel is no longer where it was: the target started again."""


@dataclass(frozen=True)
class Known:
    """What is known of a kernel, and from where."""

    banner: bytes
    symbols: Symbols
    btf: Btf
    image: Image | None  # None: all of it was found in the target's own memory
    release: str
    _expected: dict[int, Expected] = field(default_factory=dict, repr=False, compare=False)  # by slide

    @property
    def anchored(self) -> bool:
        """Whether symbols and types come from the kernel's package rather than from the target."""
        return self.image is not None

    def expected(self, slide: int) -> Expected:
        """The contents of its constant memory, moved by that much.  Raises `KernelDataError` without the kernel's
        package.
        """
        if self.image is None:
            raise KernelDataError("the kernel's package is needed for this; give it by --kernel")
        if slide not in self._expected:
            self._expected.clear()  # drop those of a target that started again
            self._expected[slide] = Expected(self.image, slide)
        return self._expected[slide]

    @staticmethod
    def of(image: Image) -> Known:
        return Known(image.banner, image.symbols, image.btf, image, image.release)


@dataclass
class Counts:
    """What a scan cost."""

    reads: int = 0
    bytes: int = 0


@dataclass
class Machine:
    """One target."""

    name: str  # as the user wrote it: `ram:/dev/shm/vm`
    physical: Physical
    known: Known
    where: Location
    counts: Counts = field(default_factory=Counts)
    _pages: dict[int, int] = field(default_factory=dict)  # virtual page -> physical, of this round

    @staticmethod
    def find(name: str, physical: Physical, known: Known) -> Machine:
        """Raises `KernelDataError` when that kernel is not there."""
        return Machine(name, physical, known, locate(physical, known.symbols, known.btf, known.banner))

    def close(self) -> None:
        """Close the socket that its memory is read through, if there is one."""
        if isinstance(self.physical, Closable):
            self.physical.close()

    # ------------------------------------------------------------ rounds

    def begin(self) -> None:
        """A round begins: what was remembered of page tables is forgotten.  Raises `Rebooted`."""
        self._pages.clear()
        if not still_there(self.physical, self.known.symbols, self.known.banner, self.where):
            self._again()

    def _again(self) -> None:
        """The target may be booting; a later round will find the kernel at its new place."""
        try:
            self.where = locate(self.physical, self.known.symbols, self.known.btf, self.known.banner)
        except KernelDataError as error:
            raise Rebooted(f"the kernel has left its place ({error})") from error
        self.__dict__.pop("tables", None)
        raise Rebooted("the target started again: its kernel has moved; this round was not checked")

    # ------------------------------------------------------------ addresses

    @cached_property
    def tables(self) -> PageTables:
        return PageTables(self._physical, self.where.root, self.where.levels)

    @cached_property
    def text(self) -> int:
        """Link address of the start of the kernel."""
        return self.known.symbols.address("_text")

    @cached_property
    def image_size(self) -> int:
        return self.known.symbols.address("_end") - self.text

    @cached_property
    def _top(self) -> int:
        return max(r.end for r in self.physical.ranges)

    def running(self, link_address: int) -> int:
        """The virtual address at which something of the kernel's image is now."""
        return (link_address + self.where.slide) & MASK

    def linked(self, address: int) -> int:
        """The link address of an address in the running kernel."""
        return (address - self.where.slide) & MASK

    def symbol(self, name: str) -> int:
        """Where a symbol is now.  Raises `KernelDataError` for one that the kernel does not have."""
        address = self.known.symbols.address(name)
        return address if address < PERCPU_ZERO else self.running(address)

    def in_image(self, address: int) -> bool:
        return 0 <= (address - self.running(self.text)) & MASK < self.image_size

    def in_linear_map(self, address: int) -> bool:
        return 0 <= address - self.where.linear < self._top

    def translate(self, address: int) -> int:
        """The physical address.  Raises `KernelDataError`."""
        if self.in_linear_map(address):
            return address - self.where.linear
        if self.in_image(address):
            return self.where.base + (address - self.running(self.text) & MASK)
        page = address & ~(PAGE - 1)
        found = self._pages.get(page)
        if found is None:
            found = self._pages[page] = self.tables.translate(page)
        return found + (address & (PAGE - 1))

    # ------------------------------------------------------------ reading

    def _physical(self, address: int, size: int) -> bytes:
        self.counts.reads += 1
        self.counts.bytes += size
        return self.physical.read(address, size)

    def read(self, address: int, size: int) -> bytes:
        """Bytes at a virtual address.  Raises `KernelDataError` where nothing is mapped."""
        address &= MASK
        if self.in_linear_map(address) or self.in_image(address):
            try:
                return self._physical(self.translate(address), size)
            except OutOfRange:
                raise KernelDataError(f"{address:#x} points to where the machine has no memory") from None
        pieces = []
        while size > 0:
            part = min(size, PAGE - address % PAGE)
            pieces.append(self._physical(self.translate(address), part))
            address, size = address + part, size - part
        return b"".join(pieces)

    def u64(self, address: int) -> int:
        return int.from_bytes(self.read(address, 8), "little")

    def u32(self, address: int) -> int:
        return int.from_bytes(self.read(address, 4), "little")

    def text_at(self, address: int, most: int = 256) -> bytes:
        """Bytes up to the first NUL, and at most `most`."""
        found = b""
        while len(found) < most:
            part = min(64, most - len(found), PAGE - (address + len(found)) % PAGE)
            data = self.read(address + len(found), part)
            end = data.find(b"\0")
            if end >= 0:
                return found + data[:end]
            found += data
        return found

    # ------------------------------------------------------------ processors

    def processors(self) -> tuple[int, ...]:
        """Offsets of the per-CPU areas of the processors that are online."""
        count = min(max(self.u32(self.symbol("nr_cpu_ids")), 1), 8192)
        mask = int.from_bytes(self.read(self.symbol("__cpu_online_mask"), -(-count // 64) * 8), "little")
        offsets = self.symbol("__per_cpu_offset")
        return tuple(self.u64(offsets + 8 * cpu) for cpu in range(count) if mask >> cpu & 1)


Reader = Callable[[int, int], bytes]
