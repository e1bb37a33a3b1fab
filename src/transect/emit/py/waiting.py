# SPDX-License-Identifier: Apache-2.0
"""The waiting clients, oldest first: an adapter maintains them, and the policy reads them."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar, overload

C = TypeVar("C", bound=Hashable)


class Follower(Protocol):
    """Something that is told of every change: the heaps of `ordering.py`."""

    def join(self, client: object, arrival: int, /) -> None: ...
    def leave(self, client: object, /) -> None: ...


class Waiting(Sequence[C], Generic[C]):
    """A sequence without repetition; joining, leaving and membership take constant time, besides the time of the
    followers.
    """

    __slots__ = ("_arrivals", "_followers", "_members")

    def __init__(self, members: Iterable[C] = ()) -> None:
        self._arrivals = itertools.count()
        self._followers: list[Follower] = []
        self._members: dict[C, int] = {}  # and the number of its arrival
        for member in members:
            self.append(member)

    def append(self, member: C) -> None:
        """Join at the end; a member that already waits keeps its place."""
        if member not in self._members:
            arrival = self._members[member] = next(self._arrivals)
            for follower in self._followers:
                follower.join(member, arrival)

    def remove(self, member: C) -> None:
        """Leave; nothing happens if it does not wait."""
        if self._members.pop(member, None) is not None:
            for follower in self._followers:
                follower.leave(member)

    def follow(self, follower: Follower) -> None:
        """Tell the follower of every change from now on."""
        self._followers.append(follower)

    def arrivals(self) -> Iterable[tuple[C, int]]:
        """The members, oldest first, each with a number that grows from arrival to arrival."""
        return self._members.items()

    @overload
    def __getitem__(self, index: int) -> C: ...
    @overload
    def __getitem__(self, index: slice) -> list[C]: ...
    def __getitem__(self, index: int | slice) -> C | list[C]:
        if index == 0:
            return next(itertools.islice(self._members, 1))
        return list(self._members)[index]

    def __iter__(self) -> Iterator[C]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, member: object) -> bool:
        return member in self._members

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(list(self._members))
