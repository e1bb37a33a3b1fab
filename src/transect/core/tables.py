# SPDX-License-Identifier: Apache-2.0
"""State that holds more than one value, in Python: what the interpreter and emitted Python keep it in.

A store changes everything it should or nothing: a new key in a full table, or a text beyond its bound (in the key or
anywhere in the value), leaves all as it was and adds one to `overflow`.  A table kept by client is never full.  Every
operation on a table converts the key to its storage type, so a `u8` key 300 is 44 everywhere.  Structs go in and come
out as copies.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Iterator
from typing import Any, assert_never

from transect.core.types import ArrayType, CounterType, HistogramType, TableKind, TableType, Type
from transect.core.values import MISFIT, copied, equal, is_mutable, replaced, storer, wrap_u64, zero

BUCKETS = 64  # of a histogram


class Table:
    """`table(n)`: iterated in order of insertion."""

    def __init__(self, key: Type, value: Type, capacity: int | None) -> None:
        self.capacity = capacity  # entries; None: one for each client, as many as there are
        self.overflow = 0  # stores that found no room
        self._entries: dict[Any, Any] = {}
        self._key = storer(key)
        self._value = storer(value)
        self._copies = is_mutable(value)

    # --- reading

    def _at(self, key: Any) -> Any:
        """The key as stored; MISFIT, which is never the key of an entry, if it is too long."""
        return self._key(key) if self._key else key

    def _out(self, value: Any) -> Any:
        return copied(value) if self._copies else value

    def __getitem__(self, key: Any) -> Any:
        return self._out(self._entries[self._at(key)])

    def get(self, key: Any, default: Any = None) -> Any:
        key = self._at(key)
        return self._out(self._entries[key]) if key in self._entries else default

    def __contains__(self, key: Any) -> bool:
        return self._at(key) in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Any]:
        """The keys of the entries that are there now, whatever happens to them during the loop."""
        return iter(self.keys())

    def keys(self) -> list[Any]:
        return list(self._entries)

    def values(self) -> list[Any]:
        return [self._out(value) for _, value in self.items()]

    def items(self) -> list[tuple[Any, Any]]:
        return [(key, self._out(value)) for key, value in self.entries()]

    def __eq__(self, other: object) -> bool:
        """The same entries; order does not count."""
        if not isinstance(other, Table):
            return NotImplemented
        mine, theirs = dict(self.items()), dict(other.items())
        return mine.keys() == theirs.keys() and all(equal(value, theirs[key]) for key, value in mine.items())

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        room = "" if self.capacity is None else f", capacity={self.capacity}"
        return f"{type(self).__name__}({dict(self.entries())!r}{room})"

    # --- writing

    def put(self, key: Any, value: Any) -> bool:
        """Store; False, and one overflow more, when there is no room for it."""
        key = self._at(key)
        value = self._value(value) if self._value else value
        if key is MISFIT or value is MISFIT or not self._room(key):
            self.overflow += 1
            return False
        self._entries[key] = value
        return True

    def _room(self, key: Any) -> bool:
        return self.capacity is None or key in self._entries or len(self._entries) < self.capacity

    def __setitem__(self, key: Any, value: Any) -> None:
        self.put(key, value)

    def set_field(self, key: Any, path: tuple[str, ...], value: Any) -> None:
        """Store a field within the struct at `key`, which is there."""
        self.put(key, replaced(self._entries[self._at(key)], path, value))

    def __delitem__(self, key: Any) -> None:
        """Take out; an absent key changes nothing."""
        self._entries.pop(self._at(key), None)

    # --- whole

    def entries(self) -> list[tuple[Any, Any]]:
        """All that is stored, in order of iteration (a tally's zeros too), for state images; not copies."""
        return list(self._entries.items())

    def load(self, entries: Iterable[tuple[Any, Any]], overflow: int) -> None:
        """Take the content of a state image."""
        self._entries.clear()
        for key, value in entries:
            assert self.put(key, value), f"an entry of the image does not fit: {key!r}"
        self.overflow = overflow


class Tally(Table):
    """`tally(n)`: an absent key reads 0.  A stored 0 keeps its place and counts as present for `in`; iteration, `len`
    and equality skip it."""

    def __init__(self, key: Type, value: Type, capacity: int | None) -> None:
        super().__init__(key, value, capacity)
        self._zero = zero(value)

    # Both are written without a call of our own: a pick asks once for each waiting client.
    def __getitem__(self, key: Any) -> Any:
        return self._entries.get(self._key(key) if self._key else key, self._zero)

    def get(self, key: Any, default: Any = None) -> Any:
        return self._entries.get(self._key(key) if self._key else key, self._zero)

    def __len__(self) -> int:
        return sum(1 for value in self._entries.values() if value != 0)

    def keys(self) -> list[Any]:
        return [key for key, value in self._entries.items() if value != 0]

    def items(self) -> list[tuple[Any, Any]]:
        return [(key, value) for key, value in self._entries.items() if value != 0]


class Lru(Table):
    """`lru(n)`: when full, it evicts the entry read (`[]`, `get`) or stored least recently; `in` does not count as
    reading.  Iteration, which only images need, begins with the least recent.
    """

    def _touch(self, key: Any) -> None:
        if key in self._entries:
            self._entries[key] = self._entries.pop(key)

    def __getitem__(self, key: Any) -> Any:
        self._touch(self._at(key))
        return super().__getitem__(key)

    def get(self, key: Any, default: Any = None) -> Any:
        self._touch(self._at(key))
        return super().get(key, default)

    def put(self, key: Any, value: Any) -> bool:
        stored = super().put(key, value)
        if stored:
            self._touch(self._at(key))
        if self.capacity is not None and len(self._entries) > self.capacity:
            del self._entries[next(iter(self._entries))]
        return stored

    def _room(self, key: Any) -> bool:
        return True


class Ordered(Table):
    """`ordered(n)`: iterated by ascending key."""

    def __init__(self, key: Type, value: Type, capacity: int | None) -> None:
        super().__init__(key, value, capacity)
        self._sorted: list[Any] = []

    def put(self, key: Any, value: Any) -> bool:
        new = self._at(key) not in self._entries
        stored = super().put(key, value)
        if stored and new:
            bisect.insort(self._sorted, self._at(key))
        return stored

    def __delitem__(self, key: Any) -> None:
        key = self._at(key)
        if key in self._entries:
            del self._entries[key]
            del self._sorted[bisect.bisect_left(self._sorted, key)]

    def keys(self) -> list[Any]:
        return list(self._sorted)

    def entries(self) -> list[tuple[Any, Any]]:
        return [(key, self._entries[key]) for key in self._sorted]

    def first(self) -> tuple[Any, Any] | None:
        """The entry with the smallest key."""
        return (self._sorted[0], self._out(self._entries[self._sorted[0]])) if self._sorted else None

    def pop_first(self) -> tuple[Any, Any] | None:
        """Take out the entry with the smallest key."""
        found = self.first()
        if found is not None:
            del self[found[0]]
        return found

    def load(self, entries: Iterable[tuple[Any, Any]], overflow: int) -> None:
        self._sorted.clear()
        super().load(entries, overflow)


class Array:
    """`array(n)`: that many values, at first `initial`, else the type's zero."""

    def __init__(self, item: Type, length: int, initial: Any = None) -> None:
        self.overflow = 0  # stores of texts beyond their bound
        self._item = storer(item)
        self._copies = is_mutable(item)
        first = zero(item) if initial is None else initial
        self._items = [copied(first) for _ in range(length)] if self._copies else [first] * length

    def __repr__(self) -> str:
        return f"Array({self._items!r})"

    def _at(self, index: int) -> int:
        if not 0 <= index < len(self._items):
            raise IndexError(f"index {index} of an array of {len(self._items)} was not checked")
        return index

    def __getitem__(self, index: int) -> Any:
        value = self._items[self._at(index)]
        return copied(value) if self._copies else value

    def __setitem__(self, index: int, value: Any) -> None:
        value = self._item(value) if self._item else value
        if value is MISFIT:
            self.overflow += 1
        else:
            self._items[self._at(index)] = value

    def set_field(self, index: int, path: tuple[str, ...], value: Any) -> None:
        """Store a field within the struct at `index`."""
        self[index] = replaced(self._items[self._at(index)], path, value)

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values())

    def keys(self) -> range:
        return range(len(self._items))

    def values(self) -> list[Any]:
        return [self[index] for index in self.keys()]

    def items(self) -> list[tuple[int, Any]]:
        return list(enumerate(self.values()))

    def load(self, items: Iterable[Any], overflow: int) -> None:
        """Take the content of a state image; there are as many as the array is long."""
        for index, value in zip(self.keys(), items, strict=True):
            self[index] = value
        self.overflow = overflow


class Counter:
    """`counter()`: counts up, modulo 2**64."""

    def __init__(self, value: int = 0) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"Counter({self.value})"

    def add(self, n: int = 1) -> None:
        self.value = wrap_u64(self.value + n)


class Histogram:
    """`histogram()`: bucket i counts observations of i significant bits, bucket 0 also the negative ones."""

    def __init__(self) -> None:
        self.buckets = [0] * BUCKETS

    def __repr__(self) -> str:
        seen = {i: n for i, n in enumerate(self.buckets) if n}
        return f"Histogram({seen})"

    def observe(self, value: int) -> None:
        bucket = min(value.bit_length(), BUCKETS - 1) if value > 0 else 0
        self.buckets[bucket] = wrap_u64(self.buckets[bucket] + 1)


KINDS: dict[TableKind, Callable[[Type, Type, int | None], Table]] = {
    TableKind.TABLE: Table,
    TableKind.TALLY: Tally,
    TableKind.LRU: Lru,
    TableKind.ORDERED: Ordered,
}

Many = Table | Array | Counter | Histogram


def empty(t: TableType | ArrayType | CounterType | HistogramType) -> Many:
    """State of that type as it is at first."""
    match t:
        case TableType(kind=kind, key=key, value=value, most=most):
            return KINDS[kind](key, value, most)
        case ArrayType(item=item, length=length):
            return Array(item, length)
        case CounterType():
            return Counter()
        case HistogramType():
            return Histogram()
        case _:
            assert_never(t)
