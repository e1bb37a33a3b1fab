# SPDX-License-Identifier: Apache-2.0
"""kallsyms: the symbol table that a kernel carries in its read-only data, found without outside information.

Names are compressed: each byte of a name stands for one of 256 tokens.  The tokens of the ten digits stand for
themselves, one after the other, which is how the table is found; the index of tokens behind it, the marks of every
256th name before it and the symbols' order check that it is one.

| kernel        | an address is                                                                             |
|---------------|-------------------------------------------------------------------------------------------|
| to 6.x        | `relative_base - 1 - offset` for negative offsets, the offset itself (per-CPU) for others |
| from about 7  | the place of its offset in the table plus the offset                                      |

The parts stand one behind the other:

| kernel       | parts                                                                            |
|--------------|----------------------------------------------------------------------------------|
| to 6.1       | offsets, `relative_base`, count, names, marks, tokens, index of the tokens        |
| 6.2 and 6.3  | … and the order of the names between marks and tokens (Debian's 6.1 has it, too)  |
| from 6.4     | count, names, marks, tokens, index, offsets, `relative_base` where it is, order   |

By the order a name is found without unpacking all of them.

Format: `scripts/kallsyms.c` and `kernel/kallsyms.c` of the kernel.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from operator import add, gt
from typing import overload

from transect.linux.errors import KernelDataError

DIGITS = b"".join(b"%d\0" % d for d in range(10))
TOKENS = 256
ZERO = ord("0")  # token number of the first digit
STEP = 256  # names between two marks
LONGEST = 4096  # bytes of a token table at most (it has about 1,000)
AROUND = 2 * LONGEST  # bytes: it and the index of the tokens, which is smaller
MOST = 1 << 22  # symbols at most
MASK = (1 << 64) - 1
BANNER = b"Linux version "
PROC_BANNER = b"%s version "
PLACES = 4  # that a message names
SAMPLES = 64  # neighbours in the order of names that are looked at


@dataclass(frozen=True)
class Symbol:
    name: str
    # As nm prints it: T text, D data, R read-only data, B zeroed data, A absolute …; capital: global
    kind: str
    address: int


@dataclass(frozen=True)
class Names(Sequence[bytes]):
    """Names as the kernel holds them; one is unpacked when it is asked for."""

    packed: bytes | memoryview
    starts: Sequence[int]  # in it, of each: its length, in one byte or two, then so many tokens
    tokens: Sequence[bytes]

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, at: int) -> bytes: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[bytes]: ...
    def __getitem__(self, at: int | slice) -> bytes | Sequence[bytes]:
        if isinstance(at, slice):
            return Names(self.packed, self.starts[at], self.tokens)
        packed, start = self.packed, self.starts[at]
        size = packed[start]
        if size & 0x80:
            start += 1
            size = size & 0x7F | packed[start] << 7
        return b"".join(map(self.tokens.__getitem__, packed[start + 1 : start + 1 + size]))


@dataclass(frozen=True)
class Symbols:
    """The symbols of a kernel, at the addresses for which it was linked (or was running, when read from memory)."""

    names: Sequence[bytes]  # by ascending address, each with its kind as the first byte
    addresses: Sequence[int]
    order: Sequence[int] = ()  # of the names without their kinds: indices; empty where it has to be made

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Symbol]:
        for name, address in zip(self.names, self.addresses, strict=True):
            yield Symbol(name[1:].decode("utf-8", "replace"), chr(name[0]), address)

    @cached_property
    def by_name(self) -> Sequence[int]:
        """Indices by ascending name; of equal names the first symbol comes first."""
        if len(self.order) or not len(self.names):
            return self.order
        bare = [name[1:] for name in self.names]
        return array("I", sorted(range(len(bare)), key=bare.__getitem__))

    def index(self, name: bytes) -> int | None:
        """Of the first symbol of that name."""
        order, names = self.by_name, self.names
        at = bisect_left(order, name, key=lambda i: names[i][1:])
        return order[at] if at < len(order) and names[order[at]][1:] == name else None

    def __contains__(self, name: str) -> bool:
        return self.index(name.encode()) is not None

    def address(self, name: str) -> int:
        """Raises `KernelDataError` when the kernel has no such symbol, or several (static ones of several files)."""
        found: dict[int, None] = dict.fromkeys(self._all(name.encode()))
        if not found:
            raise KernelDataError(f"this kernel has no symbol `{name}`")
        if len(found) > 1:
            places = ", ".join(f"{address:#x}" for address in islice(found, PLACES))
            places += ", …" if len(found) > PLACES else ""
            raise KernelDataError(
                f"this kernel has {len(found)} symbols `{name}`, and which is meant cannot be told: {places}"
            )
        (only,) = found
        return only

    def _all(self, name: bytes) -> Iterator[int]:
        """The addresses of all symbols of that name."""
        order, names = self.by_name, self.names
        for at in range(bisect_left(order, name, key=lambda i: names[i][1:]), len(order)):
            if names[order[at]][1:] != name:
                return
            yield self.addresses[order[at]]

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
        try:
            if (symbols := find_at(data, address, at)) is not None:
                return symbols
        except KernelDataError as error:
            problem = error
        at = data.find(DIGITS, at + 1)
    if problem is not None:
        raise problem
    return None


def find_at(data: bytes, address: int | None, digits: int) -> Symbols | None:
    """The same, of the table whose tokens of the digits are there; None when there is none."""
    table = _token_table(data, digits)
    return None if table is None else _decode(data, address, *table)


def is_table(data: bytes, digits: int) -> bool:
    """Whether a table of tokens is around those of its digits; `AROUND` bytes before and after them tell."""
    return _token_table(data, digits) is not None


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
    names, count_at, order = _before_tokens(data, tokens_at, tokens)
    for symbols in (
        *_addressed_behind(data, address, after, names),
        *_addressed_before(data, address, count_at, names, order),
    ):
        return _sorted(symbols)
    raise KernelDataError("kallsyms: the addresses of the symbols are in no form that is known")


def _addressed_behind(data: bytes, address: int | None, after: int, names: Names) -> Iterator[Symbols]:
    """Symbols by the offsets behind the index of the tokens, which ends at `after`: from 6.4 on."""
    count, offsets_at = len(names), -(-after // 4) * 4
    for at in dict.fromkeys((-(-offsets_at // 8) * 8, offsets_at)):
        end = at + 4 * count
        if end + 16 > len(data):
            continue
        offsets = struct.unpack_from(f"<{count}i", data, at)
        base_at = -(-end // 8) * 8
        relative = _relative(int.from_bytes(data[base_at : base_at + 8], "little"), offsets)
        if relative is not None and _ascend(relative):
            symbols = Symbols(names, relative, _order(data, base_at + 8, names))
            if _plausible(symbols, data, address, at):
                yield symbols
        placed = _from_place((address or 0) + at, offsets)
        if _ascend(placed):
            symbols = Symbols(names, placed, _order(data, end, names))
            if _plausible(symbols, data, address or 0, at):
                yield symbols


def _addressed_before(
    data: bytes, address: int | None, count_at: int, names: Names, order: Sequence[int]
) -> Iterator[Symbols]:
    """Symbols by the offsets and the `relative_base` before the count of names, which stands there: to 6.3."""
    base_at = count_at - 8
    at = base_at - -(-4 * len(names) // 8) * 8
    if at < 0:
        return
    offsets = struct.unpack_from(f"<{len(names)}i", data, at)
    relative = _relative(int.from_bytes(data[base_at:count_at], "little"), offsets)
    if relative is not None and _ascend(relative):
        symbols = Symbols(names, relative, order)
        if _plausible(symbols, data, address, at):
            yield symbols


def _before_tokens(data: bytes, tokens_at: int, tokens: list[bytes]) -> tuple[Names, int, Sequence[int]]:
    """What ends where the tokens begin: the names, where their count stands, and their order when it is there."""
    problem = None
    for end, count in ((tokens_at, None), *_permutations(data, tokens_at)):
        try:
            names, count_at = _names(data, *_marks(data, end), tokens)
        except KernelDataError as error:
            problem = problem or error
            continue
        if count is None:
            return names, count_at, ()
        if count == len(names):
            return names, count_at, _order(data, end, names)
    assert problem is not None
    raise problem


def _permutations(data: bytes, end: int) -> Iterator[tuple[int, int]]:
    """Where permutations that end (padded) there may begin, and of how many numbers: three bytes each, high first."""
    for stop in range(end, max(0, end - 8), -1):
        if any(data[stop:end]):
            return
        total = highest = 0
        for count, at in enumerate(range(stop - 3, -1, -3), 1):
            value = data[at] << 16 | data[at + 1] << 8 | data[at + 2]
            if value >= MOST or count > MOST:
                break
            total += value
            highest = max(highest, value)
            if highest == count - 1 and at % 8 == 0 and total == count * highest // 2:
                yield at, count


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


def _names(data: bytes, end: int, marks: list[int], tokens: list[bytes]) -> tuple[Names, int]:
    """The names of all symbols, and where their count stands, (padded to 8 bytes) before them."""
    low, high = STEP * (len(marks) - 1), STEP * len(marks)
    if high > MOST:
        raise KernelDataError(f"kallsyms: {high} symbols are too many")
    nearest = end - marks[-1]
    for start in range(nearest & ~3, max(8, nearest - STEP * 1024) - 1, -4):
        for pad in (8, 4):
            count = int.from_bytes(data[start - pad : start - pad + 4], "little")
            if low < count <= high and data[start - pad + 4 : start] == bytes(pad - 4):
                packed = data[start:end]
                starts = _starts(packed, count, marks)
                if starts is not None:
                    return Names(packed, starts, tokens), start - pad
    raise KernelDataError("kallsyms: the names before the marks are not found")


def _starts(packed: bytes, count: int, marks: list[int]) -> Sequence[int] | None:
    """Where each name begins, or None when the marks do not fit, or a name is empty."""
    found = array("I")
    append, at, end = found.append, 0, len(packed)
    for _ in range(count):
        if at >= end:
            return None
        append(at)
        size = packed[at]
        if size & 0x80:
            at += 1
            size = size & 0x7F | (packed[at] << 7 if at < end else 0)
        if not size:
            return None
        at += 1 + size
    return found if 0 <= end - at < 16 and found[::STEP].tolist() == marks else None


def _order(data: bytes, at: int, names: Names) -> Sequence[int]:
    """The order by name that the kernel holds: three bytes for each, the highest first.  Empty when it holds none."""
    count = len(names)
    held = data[at : at + 3 * count]
    if len(held) < 3 * count:
        return ()
    words = bytearray(4 * count)
    for place in range(3):
        words[2 - place :: 4] = held[place::3]
    order = array("I", bytes(words))
    if max(order) >= count or sum(order) != count * (count - 1) // 2:
        return ()
    for i in range(0, count - 1, max(1, count // SAMPLES)):
        one, other = order[i], order[i + 1]
        if (names[one][1:], one) > (names[other][1:], other):
            return ()
    return order


def _relative(base: int, offsets: Sequence[int]) -> list[int] | None:
    """Addresses by `relative_base`, which stands behind the offsets."""
    if base >> 63 == 0:
        return None
    return [o if o >= 0 else base - 1 - o for o in offsets]


def _from_place(address: int, offsets: Sequence[int]) -> list[int]:
    """Addresses by where their offsets stand."""
    found = list(map(add, range(address, address + 4 * len(offsets), 4), offsets))
    return found if min(found) >= 0 and max(found) <= MASK else [a & MASK for a in found]


def _ascend(addresses: list[int]) -> bool:
    """Whether addresses ascend, except for a few absolute ones."""
    falls: int = sum(map(gt, addresses, islice(addresses, 1, None)))
    return falls <= 2


def _plausible(symbols: Symbols, data: bytes, start: int | None, at: int) -> bool:
    """Whether `linux_banner` is at the banner.

    The banner's text shows whether the table was read from the right entry on.  Without a start, the table's own
    symbol gives it (from 6.4 on), or else a banner of which `linux_proc_banner` is as far away as its symbol is.
    """
    banner = _address(symbols, b"linux_banner")
    if start is None and (own := symbols.index(b"kallsyms_offsets")) is not None:
        start = symbols.addresses[own] - at
    if start is not None:
        return _stands(data, BANNER, banner - start)
    apart = _address(symbols, b"linux_proc_banner") - banner
    place = data.find(BANNER)
    while place >= 0:
        if _stands(data, PROC_BANNER, place + apart):
            return True
        place = data.find(BANNER, place + 1)
    return False


def _address(symbols: Symbols, name: bytes) -> int:
    """Of the first symbol of that name; 0 when there is none."""
    found = symbols.index(name)
    return 0 if found is None else symbols.addresses[found]


def _stands(data: bytes, text: bytes, at: int) -> bool:
    return 0 <= at < len(data) and data[at : at + len(text)] == text


def _sorted(symbols: Symbols) -> Symbols:
    """By ascending address."""
    names, addresses = symbols.names, symbols.addresses
    assert isinstance(names, Names)
    order = sorted(range(len(names)), key=addresses.__getitem__)
    if order == list(range(len(names))):
        return symbols
    starts = array("I", map(names.starts.__getitem__, order))
    return Symbols(Names(names.packed, starts, names.tokens), list(map(addresses.__getitem__, order)))
