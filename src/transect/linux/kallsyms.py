# SPDX-License-Identifier: Apache-2.0
"""kallsyms: the symbol table that a kernel carries in its read-only data, found without any help from outside.

Names are compressed: each byte of a name stands for one of 256 tokens.  The tokens of the ten digits stand for
themselves, one after the other, which is how the table is found; the index of tokens behind it, the marks of every
256th name before it and the symbols' order check that it is one.

| kernel        | an address is                                                                             |
|---------------|-------------------------------------------------------------------------------------------|
| to 6.x        | `relative_base - 1 - offset` for negative offsets, the offset itself (per-CPU) for others |
| from about 7  | the place of its offset in the table plus the offset                                      |

Format: `scripts/kallsyms.c` and `kernel/kallsyms.c` of the kernel.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from operator import gt

from transect.linux.errors import KernelDataError

DIGITS = b"".join(b"%d\0" % d for d in range(10))
TOKENS = 256
ZERO = ord("0")  # token number of the first digit
STEP = 256  # names between two marks
LONGEST = 4096  # bytes of a token table at most (it has about 1,000)
MOST = 1 << 22  # symbols at most
MASK = (1 << 64) - 1
BANNER = b"Linux version "
_KNOWN = frozenset({b"linux_banner", b"kallsyms_offsets"})


@dataclass(frozen=True)
class Symbol:
    name: str
    kind: (
        str  # as nm prints it: T text, D data, R read-only data, B zeroed data, A absolute …; capital: global
    )
    address: int


@dataclass(frozen=True)
class Symbols:
    """The symbols of a kernel, at the addresses for which it was linked (or was running, when read from memory)."""

    names: Sequence[bytes]  # by ascending address, each with its kind as the first byte
    addresses: Sequence[int]

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Symbol]:
        for name, address in zip(self.names, self.addresses, strict=True):
            yield Symbol(name[1:].decode("utf-8", "replace"), chr(name[0]), address)

    @cached_property
    def _by_name(self) -> Mapping[bytes, int]:
        """Name -> index; the first of several."""
        last = len(self.names) - 1
        return dict(zip((name[1:] for name in reversed(self.names)), range(last, -1, -1), strict=True))

    def index(self, name: bytes) -> int | None:
        """Of the first symbol of that name."""
        return self._by_name.get(name)

    def __contains__(self, name: str) -> bool:
        return self.index(name.encode()) is not None

    def address(self, name: str) -> int:
        """Raises `KernelDataError` when the kernel has no such symbol."""
        index = self.index(name.encode())
        if index is None:
            raise KernelDataError(f"this kernel has no symbol `{name}`")
        return self.addresses[index]

    def all(self, name: str) -> tuple[int, ...]:
        """Addresses of every symbol of that name."""
        wanted = name.encode()
        return tuple(a for n, a in zip(self.names, self.addresses, strict=True) if n[1:] == wanted)

    def starting(self, prefix: str) -> Iterator[Symbol]:
        """Symbols whose names begin so."""
        wanted = prefix.encode()
        for name, address in zip(self.names, self.addresses, strict=True):
            if name.startswith(wanted, 1):
                yield Symbol(name[1:].decode("utf-8", "replace"), chr(name[0]), address)

    def near(self, address: int) -> tuple[str, int] | None:
        """The last symbol at or before an address, and how far behind it the address is."""
        index = bisect_right(self.addresses, address) - 1
        if index < 0:
            return None
        return self.names[index][1:].decode("utf-8", "replace"), address - self.addresses[index]

    def next_address(self, address: int) -> int | None:
        """Where the next symbol begins."""
        index = bisect_right(self.addresses, address)
        return self.addresses[index] if index < len(self.addresses) else None


def find(data: bytes, address: int | None) -> Symbols | None:
    """The symbols in a stretch of a kernel's memory that begins at `address`; None when there is no table.

    When the address is not known, it is found where the format tells it; else (from about 7) addresses count from the
    beginning of the stretch.  Raises `KernelDataError` when there is a table that cannot be read.
    """
    problem: KernelDataError | None = None
    at = data.find(DIGITS)
    while at >= 0:
        table = _token_table(data, at)
        if table is not None:
            try:
                return _decode(data, address, *table)
            except KernelDataError as error:
                problem = error
        at = data.find(DIGITS, at + 1)
    if problem is not None:
        raise problem
    return None


def _token_table(data: bytes, digits: int) -> tuple[int, int, list[bytes]] | None:
    """Start of the token table whose digits are here, end of its index, and the tokens."""
    start = digits
    for _ in range(ZERO + 1):  # the NUL before the first token ends what is before: padding
        start = data.rfind(b"\0", max(0, digits - LONGEST), start)
        if start < 0:
            return None
    for first in _first_tokens(data, start + 1, digits):
        tokens = data[first : first + LONGEST].split(b"\0", TOKENS)
        if len(tokens) <= TOKENS or tokens[ZERO] != b"0":
            continue
        offsets, at = [], 0
        for token in tokens[:TOKENS]:
            offsets.append(at)
            at += len(token) + 1
        index = struct.pack(f"<{TOKENS}H", *(o & 0xFFFF for o in offsets))
        place = data.find(index, first + at, first + at + 16 + len(index))
        if place >= 0:
            return first, place + len(index), tokens[:TOKENS]
    return None


def _first_tokens(data: bytes, start: int, digits: int) -> Iterator[int]:
    """Where the first token may begin: there, or one aligned place earlier or later (tokens may be empty)."""
    yield start
    for at in range(start & ~7, max(0, digits - LONGEST), -8):
        if data.count(b"\0", at, digits) == ZERO:
            yield at


def _decode(data: bytes, address: int | None, tokens_at: int, after: int, tokens: list[bytes]) -> Symbols:
    marks_at, marks = _marks(data, tokens_at)
    count, names = _names(data, marks_at, marks, tokens)
    offsets_at = -(-after // 4) * 4
    for at in dict.fromkeys((-(-offsets_at // 8) * 8, offsets_at)):
        if at + 4 * count + 16 > len(data):
            continue
        offsets = struct.unpack_from(f"<{count}i", data, at)
        relative = _relative(data, at, offsets)
        if relative is not None and _plausible(names, relative, data, address, at):
            return _sorted(names, relative)
        placed = _from_place((address or 0) + at, offsets)
        if _plausible(names, placed, data, address or 0, at):
            return _sorted(names, placed)
    raise KernelDataError("kallsyms: the addresses of the symbols are in no form that is known")


def _marks(data: bytes, end: int) -> tuple[int, list[int]]:
    """Offsets of every 256th name: the ascending numbers from 0 which end (padded) where the tokens begin."""
    at = end & ~3
    while at >= 4 and end - at < 16 and data[at - 4 : at] == b"\0\0\0\0":
        at -= 4
    stop, last = at, 1 << 32
    while at >= 4:
        value = int.from_bytes(data[at - 4 : at], "little")
        if value >= last:
            break
        at, last = at - 4, value
        if value == 0:
            return at, list(struct.unpack_from(f"<{(stop - at) // 4}I", data, at))
    raise KernelDataError("kallsyms: the marks of the names do not begin with 0")


def _names(data: bytes, end: int, marks: list[int], tokens: list[bytes]) -> tuple[int, list[bytes]]:
    """How many symbols there are, and their names: the number stands (padded to 8 bytes) before the names."""
    low, high = STEP * (len(marks) - 1), STEP * len(marks)
    if high > MOST:
        raise KernelDataError(f"kallsyms: {high} symbols are too many")
    nearest = end - marks[-1]
    for start in range(nearest & ~3, max(8, nearest - STEP * 1024) - 1, -4):
        for pad in (8, 4):
            count = int.from_bytes(data[start - pad : start - pad + 4], "little")
            if low < count <= high and data[start - pad + 4 : start] == bytes(pad - 4):
                names = _expand(data, start, end, count, marks, tokens)
                if names is not None:
                    return count, names
    raise KernelDataError("kallsyms: the names before the marks are not found")


def _expand(
    data: bytes, start: int, end: int, count: int, marks: list[int], tokens: list[bytes]
) -> list[bytes] | None:
    """All names, or None when the marks do not fit."""
    found: list[bytes] = []
    token, join, at = tokens.__getitem__, b"".join, start
    for number in range(count):
        if number % STEP == 0 and at - start != marks[number // STEP]:
            return None
        if at >= end:
            return None
        size = data[at]
        at += 1
        if size & 0x80:
            size = size & 0x7F | data[at] << 7
            at += 1
        found.append(join(map(token, data[at : at + size])))
        at += size
    return found if 0 <= end - at < 16 and all(found) else None


def _relative(data: bytes, at: int, offsets: tuple[int, ...]) -> list[int] | None:
    """Addresses by `relative_base`, which stands behind the offsets."""
    place = -(-(at + 4 * len(offsets)) // 8) * 8
    base = int.from_bytes(data[place : place + 8], "little")
    if base >> 63 == 0:
        return None
    return [o if o >= 0 else base - 1 - o for o in offsets]


def _from_place(address: int, offsets: tuple[int, ...]) -> list[int]:
    """Addresses by where their offsets stand."""
    return [(address + 4 * i + o) & MASK for i, o in enumerate(offsets)]


def _plausible(names: list[bytes], addresses: list[int], data: bytes, start: int | None, at: int) -> bool:
    """Whether they ascend (but for a few absolute ones), and `linux_banner` is at the banner.

    The text tells a table from one that is read an entry too early or too late.  Without a start, the table's own
    symbol gives it.
    """
    if sum(map(gt, addresses, islice(addresses, 1, None))) > 2:
        return False
    place = {n[1:]: a for n, a in zip(names, addresses, strict=True) if n[1:] in _KNOWN}
    if start is None:
        start = place.get(b"kallsyms_offsets", at) - at
    banner = place.get(b"linux_banner", 0) - start
    return data[banner : banner + len(BANNER)] == BANNER if 0 <= banner < len(data) else False


def _sorted(names: list[bytes], addresses: list[int]) -> Symbols:
    order = sorted(range(len(names)), key=addresses.__getitem__)
    return Symbols(tuple(map(names.__getitem__, order)), tuple(map(addresses.__getitem__, order)))
