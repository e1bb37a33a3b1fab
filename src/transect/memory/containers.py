# SPDX-License-Identifier: Apache-2.0
"""Containers bound to a kernel: where they begin, and what they hold.  Every name is resolved before
anything is read.
"""

from __future__ import annotations

import struct as packed
from collections.abc import Callable, Iterator
from typing import TypeAlias

from transect.base.counted import counted
from transect.linux.btf import Btf, Kind
from transect.linux.btf import Type as KernelType
from transect.linux.errors import KernelDataError
from transect.memory import walks
from transect.memory.fitting import fitting
from transect.memory.layout import Layout
from transect.memory.machine import Machine
from transect.memory.paths import Path, begin, follow, resolve, root

Heads: TypeAlias = Callable[[Machine, int], Iterator[tuple[int, int]]]
"""(machine, owner) -> where containers begin, and how many elements each has (0: the container itself tells its end)"""

Step: TypeAlias = Callable[[Machine, int, int], Iterator[tuple[int, int, bytes]]]
"""(machine, head, count) -> address of each element, with the bytes from an address on that were read together with it
"""

Elements: TypeAlias = Callable[[Machine, int], Iterator[tuple[int, int, bytes]]]
"""(machine, owner) -> the same, for the elements of all its containers"""

NONE = -1  # a count that was read and is 0
CHUNK = 512  # pointers read at once


class Containers:
    """What layouts name, in one kernel."""

    def __init__(self, machine: Machine, window: Callable[[str, int], walks.Window]) -> None:
        """`window`: the bytes to read together with a link of an element, by its view and the link's offset."""
        self.machine, self.window = machine, window
        self.btf: Btf = machine.known.btf

    def elements(
        self, found: Layout, struct: KernelType | None, of: KernelType | None, view: str
    ) -> Elements:
        """Of a layout, within a structure or not; what they are, and are seen as."""
        found = fitting(found, self.btf, self.machine.known.symbols, struct)
        if found.kind == "together":
            parts = [self.elements(part, struct, of, view) for part in found.parts]
            return lambda machine, owner: (e for part in parts for e in part(machine, owner))
        heads = self._heads(found, struct)
        step = self._step(found, of, view)

        def run(machine: Machine, owner: int) -> Iterator[tuple[int, int, bytes]]:
            for number, (head, count) in enumerate(heads(machine, owner)):
                if number > found.most:
                    raise KernelDataError(f"`{named(found)}` has more than {found.most} parts")
                yield from step(machine, head, count)

        return run

    def _heads(self, found: Layout, struct: KernelType | None) -> Heads:
        """Where containers of this kind begin: one, or one in each element of another container.

        Each comes with its number of elements, if the layout gives one.
        """
        if found.kind == "percpu":
            return self._percpu(found)
        if found.inner is not None:
            return self._heads_within(found, found.inner, struct)
        if struct is not None:
            path = resolve(self.btf, struct, found.path)
            count = self._count(found, struct)
            behind = self._behind(found, path)
            return lambda machine, owner: iter(
                ((behind(machine, follow(machine, owner, path)), count(machine, owner)),)
            )
        start = root(self.btf, found.path)
        self.machine.known.symbols.address(
            start.symbol
        )  # resolved now, so that a missing symbol is reported before a scan
        fixed = found.count if isinstance(found.count, int) else 0
        after = self._behind(found, start.path)
        return lambda machine, _: iter(
            ((after(machine, follow(machine, begin(machine, start), start.path)), fixed),)
        )

    def _heads_within(self, found: Layout, inner: Layout, struct: KernelType | None) -> Heads:
        of = self._type_of_elements(inner)
        elements = self.elements(inner, struct, of, "")
        path = resolve(self.btf, of, found.path)
        count = self._count(found, of)
        behind = self._behind(found, path)

        def run(machine: Machine, owner: int) -> Iterator[tuple[int, int]]:
            seen = 0
            for address, _, _ in elements(machine, owner):
                seen += 1
                yield behind(machine, follow(machine, address, path)), count(machine, address)
            if seen < inner.least:
                raise KernelDataError(
                    f"`{named(inner)}` gave {counted(seen, 'element')}, and at least {inner.least} must be there"
                )

        return run

    def _count(self, found: Layout, struct: KernelType) -> Callable[[Machine, int], int]:
        if isinstance(found.count, int):
            fixed = found.count
            return lambda machine, owner: fixed
        path = resolve(self.btf, struct, found.count)
        size = self.btf.size_of(path.type.id)

        def count(machine: Machine, owner: int) -> int:
            total = int.from_bytes(machine.read(follow(machine, owner, path), size), "little")
            if total > found.most:
                raise KernelDataError(f"`{found.count}` says {total} elements; {found.most} are the most")
            return total or NONE

        return count

    def _behind(self, found: Layout, path: Path) -> Callable[[Machine, int], int]:
        """Goes behind the pointer, if an array stands behind one."""
        if found.kind in ("array", "pointers") and path.type.kind is Kind.PTR:
            return lambda machine, at: machine.u64(at)
        return lambda machine, at: at

    def _type_of_elements(self, inner: Layout) -> KernelType:
        if inner.of:
            return self.btf.struct(inner.of)
        raise KernelDataError(f"`{named(inner)}` needs `of=`: the type of its elements")

    def _percpu(self, found: Layout) -> Heads:
        start = root(self.btf, found.path)
        self.machine.known.symbols.address(start.symbol)
        pointer = start.path.type.kind is Kind.PTR

        def each(machine: Machine, _: int) -> Iterator[tuple[int, int]]:
            for offset in machine.processors():
                at = (machine.symbol(start.symbol) + offset) & (1 << 64) - 1
                if start.pointer:
                    at = machine.u64(at)
                at = follow(machine, at, start.path)
                yield machine.u64(at) if pointer else at, 0

        return each

    def _step(self, found: Layout, of: KernelType | None, view: str) -> Step:
        """Walks the elements from a head."""
        most = found.most
        if found.by:
            if of is None:
                raise KernelDataError(f"`{named(found)}` needs `of=`: the type of its elements")
            link = resolve(self.btf, of, found.by)
            if len(link.offsets) > 1:
                raise KernelDataError(f"`{found.by}` is behind a pointer: a link lies within its element")
            return self._linked(found, link.first, view, most)
        return self._plain(found, of, most)

    def _linked(self, found: Layout, link: int, view: str, most: int) -> Step:
        def run(machine: Machine, head: int, _: int) -> Iterator[tuple[int, int, bytes]]:
            window = self.window(view, link)
            nodes: Iterator[tuple[int, bytes]]
            match found.kind:
                case "listed":
                    nodes = walks.doubly(machine.read, head, most, window)
                case "hlist":
                    nodes = walks.singly_headed(machine.read, head, most, window)
                case "hashed":
                    nodes = self._buckets(machine, found, head, window)
                case "chain":
                    first = machine.u64(head)
                    at = first + link if first else 0
                    nodes = self._chained(machine, at, link, most, window)
                case "tree":
                    nodes = ((n, b"") for n in walks.red_black(machine.read, head, most))
                case "latch":
                    nodes = self._latched(machine, head, most)
                case _:
                    raise KernelDataError(f"`{found.kind}` has no links")
            for node, data in nodes:
                yield node - link, node - window.before, data

        return run

    def _chained(
        self, machine: Machine, first: int, link: int, most: int, window: walks.Window
    ) -> Iterator[tuple[int, bytes]]:
        """Elements that name the next element (not its link)."""
        node, seen = first, set[int]()
        while node:
            if len(seen) > most or node in seen:
                raise walks.WalkError(f"the chain at {first:#x} runs in a circle or beyond {most} elements")
            seen.add(node)
            data = machine.read(node - window.before, window.before + max(window.after, 16))
            yield node, data
            after = int.from_bytes(data[window.before : window.before + 8], "little")
            node = after + link if after else 0

    def _buckets(
        self, machine: Machine, found: Layout, head: int, window: walks.Window
    ) -> Iterator[tuple[int, bytes]]:
        if not isinstance(found.count, int) or not 0 < found.count <= 1 << 20:
            raise KernelDataError(f"`{named(found)}` needs `count=`: how many buckets it has")
        raw = machine.read(head, 8 * found.count)
        for index in range(found.count):
            if any(raw[8 * index : 8 * index + 8]):
                yield from walks.singly_headed(machine.read, head + 8 * index, found.most, window)

    def _latched(self, machine: Machine, head: int, most: int) -> Iterator[tuple[int, bytes]]:
        """`struct latch_tree_root`: a sequence number, then two trees; its last bit says which one is whole.

        In the second tree each node is the second of its element's pair, 24 bytes behind.
        """
        latch = self.btf.struct("latch_tree_root")
        which = machine.u32(head + self.btf.field(latch, "seq").offset) & 1
        trees = self.btf.field(latch, "tree").offset
        back = which * self.btf.struct("rb_node").size
        for node in walks.red_black(machine.read, head + trees + 8 * which, most):
            yield node - back, b""

    def _plain(self, found: Layout, of: KernelType | None, most: int) -> Step:
        match found.kind:
            case "percpu" | "single":
                return lambda machine, head, _: iter(((head, 0, b""),) if head else ())
            case "idr":
                shape = walks.XArrayLayout.of(self.btf)
                return lambda machine, head, _: (
                    (e, 0, b"") for e in walks.xarray(machine.read, head + shape.idr, most, shape)
                )
            case "maple":
                nodes = walks.MapleLayout.of(self.btf)
                return lambda machine, head, _: (
                    (e, 0, b"") for e in walks.maple(machine.read, head, most, nodes)
                )
            case "array":
                return _array(8 if of is None else of.size, values=of is None, most=most)
            case "offsets":
                self.machine.known.symbols.address(found.until)
                return self._offsets(found)
            case "pointers":
                return _pointers(most)
            case _:
                raise KernelDataError(f"`{named(found)}` needs `by=`: the link within an element")

    def _offsets(self, found: Layout) -> Step:
        def run(machine: Machine, head: int, _: int) -> Iterator[tuple[int, int, bytes]]:
            size = machine.symbol(found.until) - head
            if not 0 <= size <= 4 * found.most:
                raise KernelDataError(f"`{found.path}` and `{found.until}` are {size} bytes apart")
            for at, (distance,) in enumerate(packed.iter_unpack("<i", machine.read(head, size & ~3))):
                yield head + 4 * at + distance, 0, b""

        return run


def _array(size: int, values: bool, most: int) -> Step:
    """Elements of that size; or the 64-bit values themselves.  Without a count, up to one that begins with 0."""

    def run(machine: Machine, head: int, count: int) -> Iterator[tuple[int, int, bytes]]:
        if count == NONE or not head:
            return
        raw = machine.read(head, size * count) if values and count else b""
        for index in range(count or most):
            at = index * size
            if not count and machine.u64(head + at) == 0:
                return
            yield (int.from_bytes(raw[at : at + size], "little") if values else head + at), 0, b""

    return run


def _pointers(most: int) -> Step:
    """`head` is where the pointers stand.  Without a count, up to the first empty one."""

    def run(machine: Machine, head: int, count: int) -> Iterator[tuple[int, int, bytes]]:
        total = 0 if count == NONE or not head else count or most
        for first in range(0, total, CHUNK if count else 1):
            some = min(CHUNK, total - first) if count else 1
            for (pointer,) in packed.iter_unpack("<Q", machine.read(head + 8 * first, 8 * some)):
                if pointer:
                    yield pointer, 0, b""
                elif not count:
                    return

    return run


def named(found: Layout) -> str:
    """For people."""
    return f"{found.kind} {found.path}" if found.inner is None else f"{named(found.inner)} → {found.path}"
