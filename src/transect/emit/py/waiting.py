# SPDX-License-Identifier: Apache-2.0
"""Who waits, oldest first: kept by an adapter, read by the policy."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Generic, TypeVar, overload

C = TypeVar("C", bound=Hashable)


class Waiting(Sequence[C], Generic[C]):
    """A sequence without repetition; joining, leaving and membership take constant time."""

    __slots__ = ("_members",)

    def __init__(self, members: Iterable[C] = ()) -> None:
        self._members = dict.fromkeys(members)

    def append(self, member: C) -> None:
        """Join at the end; who waits already keeps its place."""
        self._members.setdefault(member)

    def remove(self, member: C) -> None:
        """Leave; who does not wait is no matter."""
        self._members.pop(member, None)

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
