# SPDX-License-Identifier: Apache-2.0
"""Connections whose clients have shown no key, by the address that they come from.

If one has to be closed, it is the oldest one of the address with the most: a client that opens many connections crowds
out nobody but itself, and a client with one connection loses it only if nobody has two.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class Strangers(Generic[T]):
    """Every operation takes the same time, however many connections there are."""

    _of: dict[str, dict[T, None]] = field(default_factory=dict)  # of each address, oldest first
    _sized: dict[int, dict[str, None]] = field(
        default_factory=dict
    )  # addresses by how many connections they have
    _most: int = 0  # the largest number of connections of one address

    def add(self, address: str, one: T) -> None:
        members = self._of.setdefault(address, {})
        members[one] = None
        self._resized(address, len(members) - 1, len(members))

    def discard(self, address: str, one: T) -> None:
        members = self._of.get(address, {})
        if one in members:
            del members[one]
            self._resized(address, len(members) + 1, len(members))
            if not members:
                del self._of[address]

    def of(self, address: str) -> Iterator[T]:
        """The connections of an address, oldest first."""
        return iter(self._of.get(address, ()))

    def count(self, address: str) -> int:
        return len(self._of.get(address, ()))

    def first_to_go(self) -> T | None:
        """The connection to close first; None if there are none."""
        for address in self._sized.get(self._most, ()):
            return next(self.of(address))
        return None

    def _resized(self, address: str, before: int, after: int) -> None:
        if before:
            same = self._sized[before]
            del same[address]
            if not same:
                del self._sized[before]
        if after:
            self._sized.setdefault(after, {})[address] = None
        if after > self._most or self._most not in self._sized:
            self._most = after  # the only address with that many has one more, or one less
