# SPDX-License-Identifier: Apache-2.0
"""Objects of the kernel, as a probe sees them, and how a field of one is read.

All fields of an object that stand close together come by one read, at the first use, so they belong to one moment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from transect.core.types import BoolType, BytesType, IntType, OptionType, TextType, Type, ViewType
from transect.linux.btf import Btf, Kind
from transect.memory.machine import Machine
from transect.memory.paths import Path, pointed

STRING = 256  # bytes of a text behind a pointer at most

Value: TypeAlias = Any
Fetch: TypeAlias = Callable[[int, int], bytes]
"""(offset, size) -> bytes of an object that may have been read already."""


class Node:
    """An object of the kernel, as a probe sees it."""

    __slots__ = ("_data", "_far", "_machine", "_start", "address")
    _low = 0  # the stretch that is read at once; names of a view's fields have no underscore
    _high = 0

    def __init__(self, machine: Machine, address: int, start: int = 0, data: bytes = b"") -> None:
        self._machine = machine
        self.address = address
        self._start = start  # address of the first byte of `_data`
        self._data = data
        self._far: dict[
            tuple[int, ...], tuple[int, bytes]
        ] = {}  # by the pointers followed: the address to which they lead, and the bytes there

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Node) and self.address == other.address

    def __hash__(self) -> int:
        return hash(self.address)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {self.address:#x}>"

    def fetch(self, offset: int, size: int) -> bytes:
        """Bytes of the object itself."""
        at = self.address + offset - self._start
        if at >= 0 and at + size <= len(self._data):
            return self._data[at : at + size]
        low, high = self._low, self._high
        if low <= offset and offset + size <= high:
            self._data = self._machine.read(self.address + low, high - low)
            self._start = self.address + low
            return self._data[offset - low : offset - low + size]
        return self._machine.read(self.address + offset, size)

    def holds(self, pointers: tuple[int, ...], address: int, data: bytes) -> None:
        """Keep what was read already: of the object itself, or behind pointers that lead to `address`."""
        if pointers:
            self._far[pointers] = address, data
        else:
            self._start, self._data = address, data

    def behind(self, path: Path, low: int, high: int) -> tuple[int, bytes]:
        """Behind the pointers of a path: the address, and its bytes from `low` to `high`, read once."""
        pointers = path.offsets[:-1]
        if pointers not in self._far:
            address = int.from_bytes(self.fetch(pointers[0], 8), "little")
            for offset in pointers[1:]:
                address = self._machine.u64(pointed(address, path) + offset)
            address = pointed(address, path)
            self._far[pointers] = address, self._machine.read(address + low, high - low)
        return self._far[pointers]


def field_reader(
    btf: Btf,
    classes: Mapping[str, type[Node]],
    t: Type,
    path: Path,
    view: str,
    stretch: tuple[int, int] | None = None,
) -> Callable[[Node], Value]:
    """Reads a field from its place.  `classes`: of views; `stretch`: what is read at once behind its pointers."""
    decode = _decoder(btf, classes, t, path, view)
    *pointers, last = path.offsets

    def read(node: Node) -> Value:
        if not pointers:
            return decode(node._machine, node.address + last, node.fetch, last)
        if stretch is not None:
            low, high = stretch
            base, data = node.behind(path, low, high)
            fetch: Fetch = lambda at, size: data[at - low : at - low + size]  # noqa: E731
            return decode(node._machine, base + last, fetch, last)
        address = int.from_bytes(node.fetch(pointers[0], 8), "little")
        for offset in pointers[1:]:
            address = node._machine.u64(pointed(address, path) + offset)
        return decode(node._machine, pointed(address, path) + last, None, last)

    return read


def _decoder(
    btf: Btf, classes: Mapping[str, type[Node]], t: Type, path: Path, view: str
) -> Callable[..., Value]:
    """(machine, address, fetch within the object or None, offset) -> value"""
    kind, size = path.type.kind, btf.size_of(path.type.id)
    signed = path.type.signed

    def take(
        machine: Machine, address: int, fetch: Callable[[int, int], bytes] | None, offset: int, count: int
    ) -> bytes:
        return fetch(offset, count) if fetch is not None else machine.read(address, count)

    def number(machine: Machine, address: int, fetch: Any, offset: int) -> int:
        if kind in (Kind.STRUCT, Kind.UNION, Kind.ARRAY):
            return address
        if path.bits:
            raw = int.from_bytes(take(machine, address, fetch, offset, 8), "little")
            value, width = raw >> path.bit & (1 << path.bits) - 1, path.bits
        else:
            value, width = int.from_bytes(take(machine, address, fetch, offset, size), "little"), size * 8
        negative = signed and width and value >> (width - 1)
        return _fit(t, value - (1 << width) if negative else value)

    def text(machine: Machine, address: int, fetch: Any, offset: int) -> bytes:
        if kind is Kind.PTR:
            pointer = int.from_bytes(take(machine, address, fetch, offset, 8), "little")
            return machine.text_at(pointer, STRING) if pointer else b""
        return take(machine, address, fetch, offset, size).split(b"\0", 1)[0]

    def node(machine: Machine, address: int, fetch: Any, offset: int) -> Node | None:
        if kind is Kind.PTR:
            pointer = int.from_bytes(take(machine, address, fetch, offset, 8), "little")
            if not pointer and isinstance(t, OptionType):
                return None
            address = pointed(pointer, path)
        return classes[view](machine, address)

    match t:
        case BytesType() | TextType():
            return text
        case ViewType() | OptionType(item=ViewType()):
            return node
        case BoolType():
            return lambda *where: number(*where) != 0
        case _:
            return number


def _fit(t: Type, value: int) -> int:
    """The value in the range of the view's type: an `int` holds 64 signed bits, a narrower type fewer."""
    match t:
        case IntType(bits=bits, signed=signed):
            value &= (1 << bits) - 1
            return value - (1 << bits) if signed and value >> (bits - 1) else value
        case _:
            return value
