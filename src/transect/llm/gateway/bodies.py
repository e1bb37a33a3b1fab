# SPDX-License-Identifier: Apache-2.0
"""The bodies of requests that are here, in bytes: of each tenant, and of all.

A request's body is counted as it comes, and until the request has ended.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from transect.llm.gateway.dispatch import TurnedAway


@dataclass(slots=True)
class Bodies:
    """Bytes."""

    most: int  # of all tenants
    each: int  # of one tenant
    total: int = 0
    of: dict[Hashable, int] = field(default_factory=dict)

    @contextmanager
    def holding(self, client: Hashable, name: str) -> Iterator[Body]:
        """A request's body, which is gone in the end."""
        body = Body(self, client, name)
        try:
            yield body
        finally:
            self._add(client, -body.size)

    def _add(self, client: Hashable, size: int) -> None:
        self.total += size
        left = self.of.get(client, 0) + size
        if left:
            self.of[client] = left
        else:
            self.of.pop(client, None)


@dataclass(slots=True)
class Body:
    """One request's."""

    bodies: Bodies
    client: Hashable
    name: str  # of the client, to which it is told
    size: int = 0

    def room_for(self, size: int) -> None:
        """Raises `TurnedAway` where so many bytes more would be too many."""
        bodies = self.bodies
        if bodies.of.get(self.client, 0) + size > bodies.each:
            why = f"requests of {self.name} that are here already hold its {bodies.each} bytes"
            raise TurnedAway(429, why, 1.0)
        if bodies.total + size > bodies.most:
            raise TurnedAway(503, f"requests that are here already hold {bodies.most} bytes", 1.0)

    def grow(self, size: int) -> None:
        """So many bytes have come.  Raises `TurnedAway`."""
        self.room_for(size)
        self.size += size
        self.bodies._add(self.client, size)
