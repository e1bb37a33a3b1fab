# SPDX-License-Identifier: Apache-2.0
"""Paths of layouts, resolved once in a kernel's BTF before anything is read, so that missing names are
reported first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from transect.linux.btf import Btf, Kind, Type
from transect.linux.errors import KernelDataError

_STEP = re.compile(r"\.?([A-Za-z_]\w*)|\[(\d+)\]")
_ROOT = re.compile(r"^(?:(\w+)\s+)?(\*?)(\w+)((?:\.|\[).*)?$")


class NullPointer(KernelDataError):
    """A pointer on the way to a field is empty."""


@dataclass(frozen=True, slots=True)
class Path:
    """How to go from an address to a place: at each offset except the last stands a pointer to follow."""

    offsets: tuple[int, ...]
    type: Type  # of the value at the end
    bit: int = 0
    bits: int = 0  # 0: no bit field
    text: str = ""

    @property
    def first(self) -> int:
        return self.offsets[0]


@dataclass(frozen=True, slots=True)
class Root:
    """A path from a symbol."""

    symbol: str
    pointer: bool  # the symbol holds a pointer to the structure in which the path begins
    path: Path


def resolve(btf: Btf, start: Type, text: str) -> Path:
    """Raises `KernelDataError`, which names the structure and the field that it lacks."""
    offsets, current, at, last = [0], start, 0, None
    while at < len(text):
        step = _STEP.match(text, at)
        if step is None:
            raise KernelDataError(f"`{text}` is not a path: fields are joined by dots, `[2]` is an element")
        at = step.end()
        last = None
        if step[2] is not None:
            current = _element(btf, current, int(step[2]), offsets, text)
            continue
        if current.kind is Kind.PTR:
            offsets.append(0)
            current = btf.resolve(current.target)
        if current.kind not in (Kind.STRUCT, Kind.UNION):
            raise KernelDataError(f"`{text}`: `{step[1]}` is asked of something that is no structure")
        last = btf.field(current, step[1])
        offsets[-1] += last.offset
        current = last.type
    bit, bits = (last.bit, last.bits) if last is not None else (0, 0)
    return Path(tuple(offsets), current, bit, bits, f"{start.name}.{text}" if text else start.name)


def _element(btf: Btf, current: Type, index: int, offsets: list[int], text: str) -> Type:
    if current.kind is Kind.PTR:
        offsets.append(0)
        item = btf.resolve(current.target)
    elif current.kind is Kind.ARRAY:
        item = btf.resolve(current.target)
        if current.length and index >= current.length:
            raise KernelDataError(f"`{text}`: the array has {current.length} elements")
    else:
        raise KernelDataError(f"`{text}`: `[{index}]` is asked of something that is no array")
    offsets[-1] += index * btf.size_of(item.id)
    return item


def root(btf: Btf, text: str) -> Root:
    """`modules`, `task_struct init_task.tasks`, `kset *module_kset.list`.  Raises `KernelDataError`."""
    found = _ROOT.match(text)
    if found is None:
        raise KernelDataError(f"`{text}` is no path from a symbol")
    of, star, symbol, rest = found[1], found[2], found[3], (found[4] or "").removeprefix(".")
    if rest and not of:
        raise KernelDataError(
            f"`{text}`: write the type of the symbol before it: `task_struct init_task.tasks`"
        )
    start = btf.struct(of) if of else Type(0, Kind.VOID, symbol, 0, 0, 0, False, (), ())
    return Root(symbol, bool(star), resolve(btf, start, rest))


# ---------------------------------------------------------------- going them


class Readable(Protocol):
    """What a path is followed in: a machine."""

    def symbol(self, name: str) -> int: ...

    def u64(self, address: int) -> int: ...


def follow(machine: Readable, address: int, path: Path) -> int:
    """The address to which a path leads."""
    *pointers, last = path.offsets
    for offset in pointers:
        address = pointed(machine.u64(address + offset), path)
    return address + last


def pointed(address: int, path: Path) -> int:
    """A pointer on the way.  Raises `NullPointer`."""
    if address == 0:
        raise NullPointer(f"an empty pointer on the way to `{path.text}`")
    return address


def begin(machine: Readable, start: Root) -> int:
    """The address of the structure in which a root's path begins."""
    address = machine.symbol(start.symbol)
    return pointed(machine.u64(address), start.path) if start.pointer else address
