# SPDX-License-Identifier: Apache-2.0
"""Ordered pick in Python: `min(self.waiting, key=self.served.get)` asks a heap and visits no other client.

A tally by which a policy orders its waiting clients is an `OrderedTally`; `waiting` tells the tally's heap of every
arrival and departure, and the tally tells it of every entry that is stored or removed.  Invariant: the heap has one
item for each waiting client, the item knows its place, and its rank is at most the client's own, which is (value,
arrival).  So storing a larger value, which is the usual case after a client was served, costs one comparison; its item
sinks only when it is at the top and the heap is asked.  A value that becomes smaller, an arrival and a departure move
their item at once.  All take O(log n), growth amortised.
"""

from __future__ import annotations

from typing import Any, Final

from transect.core.tables import Tally
from transect.core.types import Type
from transect.emit.py.waiting import Waiting

Item = list[Any]  # value, arrival, client, place; lists compare by value, then arrival, which no two share
VALUE, ARRIVAL, CLIENT, PLACE = range(4)


class _BehindAll:
    """The rank of NaN: behind every number; clients with NaN are in order of arrival."""

    def __lt__(self, other: object) -> bool:
        return False

    def __gt__(self, other: object) -> bool:
        return other is not self


BEHIND_ALL: Final = _BehindAll()


class Heap:
    """The waiting clients by their values in a tally, smallest first; among equals, the one that has waited longest."""

    def __init__(self, tally: OrderedTally, waiting: Waiting[Any]) -> None:
        self._tally = tally
        self.waiting = waiting
        self._items: list[Item] = []
        self._of: dict[Any, Item] = {}
        self.refill()

    def __len__(self) -> int:
        return len(self._items)

    # ---------------------------------------------------------------- the question

    def first(self) -> Any:
        """The client with the smallest (value, arrival).  There must be a waiting client."""
        items, value_of = self._items, self._tally.get
        while True:
            first = items[0]
            value = value_of(first[CLIENT])
            if value != value:
                value = BEHIND_ALL
            if value == first[VALUE]:
                return first[CLIENT]
            first[VALUE] = value  # it has grown since
            self._sink(first)

    # ---------------------------------------------------------------- what changes

    def join(self, client: Any, arrival: int) -> None:
        """Add a client that did not wait before."""
        self._of[client] = item = [_rank(self._tally[client]), arrival, client, len(self._items)]
        self._items.append(item)
        self._rise(item)

    def leave(self, client: Any) -> None:
        """Remove a waiting client."""
        gone = self._of.pop(client)
        last = self._items.pop()
        if last is not gone:
            last[PLACE] = gone[PLACE]
            self._items[last[PLACE]] = last
            self._rise(last)
            self._sink(last)

    def change(self, client: Any, value: Any) -> None:
        """Note the client's new value in the tally; the client need not be waiting."""
        item = self._of.get(client)
        if item is not None and (rank := _rank(value)) < item[VALUE]:
            item[VALUE] = rank
            self._rise(item)

    def refill(self) -> None:
        """Build the heap anew: any of the values may have changed."""
        members = self.waiting.arrivals()
        items = sorted([_rank(self._tally[client]), arrival, client, 0] for client, arrival in members)
        for place, item in enumerate(items):
            item[PLACE] = place
        self._items = items
        self._of = {item[CLIENT]: item for item in items}

    # ---------------------------------------------------------------- places

    def _rise(self, item: Item) -> None:
        items, place = self._items, item[PLACE]
        while place:
            above = items[(place - 1) >> 1]
            if above < item:
                break
            items[place] = above
            above[PLACE], place = place, (place - 1) >> 1
        items[place] = item
        item[PLACE] = place

    def _sink(self, item: Item) -> None:
        items, place, count = self._items, item[PLACE], len(self._items)
        while (below := 2 * place + 1) < count:
            other = below + 1
            if other < count and items[other] < items[below]:
                below = other
            smaller = items[below]
            if item < smaller:
                break
            items[place] = smaller
            smaller[PLACE] = place
            place = below
        items[place] = item
        item[PLACE] = place


def _rank(value: Any) -> Any:
    return value if value == value else BEHIND_ALL


class OrderedTally(Tally):
    """A tally whose smallest entry among the waiting clients is known.  The heap is built at the first question."""

    heap: Heap | None = None

    def __init__(self, key: Type, value: Type, capacity: int | None) -> None:
        super().__init__(key, value, capacity)
        self._always_fits = capacity is None and not self._key and not self._value

    def argmin(self, waiting: Waiting[Any]) -> Any:
        """The waiting client with the smallest value; among equals, the one that has waited longest.  Raises ValueError
        if none waits.
        """
        heap = self.heap
        if heap is None or heap.waiting is not waiting:
            heap = self.heap = Heap(self, waiting)
            waiting.follow(heap)
        if not heap:
            raise ValueError("nobody waits")
        return heap.first()

    def minimum(self, waiting: Waiting[Any]) -> Any:
        """The smallest value among the waiting clients; NaN only if all values are NaN. Raises ValueError if none
        waits.
        """
        return self[self.argmin(waiting)]

    def __setitem__(self, key: Any, value: Any) -> None:
        if not self._always_fits:
            self.put(key, value)
            return
        self._entries[key] = value  # as `put`, at a third of its time: every charge comes through here
        if self.heap is not None:
            self.heap.change(key, value)

    def put(self, key: Any, value: Any) -> bool:
        stored = super().put(key, value)
        if stored and self.heap is not None:
            self.heap.change(key, self[key])
        return stored

    def __delitem__(self, key: Any) -> None:
        super().__delitem__(key)
        if self.heap is not None:
            self.heap.change(key, self[key])

    def load(self, entries: Any, overflow: int) -> None:
        super().load(entries, overflow)
        if self.heap is not None:
            self.heap.refill()
