# SPDX-License-Identifier: Apache-2.0
"""Bytes of request bodies in memory, for each tenant and in total.  A body is counted from its first byte until its
request has ended.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from transect.llm.gateway.dispatch import TurnedAway


@dataclass(slots=True)
class Bodies:
    """Bytes."""

    most: int  # of all tenants
    each: int  # of one tenant
    total: int = 0
    of: dict[Hashable, int] = field(default_factory=dict)

    def holding(self, client: Hashable, name: str) -> Body:
        """A request's body before its first byte, for a `with` block; it is no longer counted after the block."""
        return Body(self, client, name)

    def add(self, client: Hashable, size: int) -> None:
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

    def __enter__(self) -> Body:
        return self

    def __exit__(self, *_: object) -> None:
        if self.size:
            self.bodies.add(self.client, -self.size)

    def room_for(self, size: int) -> None:
        """Raises `TurnedAway` if that many more bytes would exceed a limit."""
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
        self.bodies.add(self.client, size)
