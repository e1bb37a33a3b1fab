# SPDX-License-Identifier: Apache-2.0
"""Which clients may hold a connection, and for how long: before they have shown a key, and after.

A connection is in one phase at a time, and a phase other than a request under way has an end.  Connections that have
shown no key are bounded for each address.  When all places are taken, a connection that is being closed goes first,
then one that has shown no key, then the one that has been idle for longest.  A request under way is never ended in
favour of another, so new connections may have to wait in the kernel's queue.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv6Address, ip_address
from itertools import islice
from math import inf
from typing import Protocol

from transect.llm.gateway.strangers import Strangers

LINGER_S = 2.0  # for a client to notice an answer that came before the end of its request
# Younger connections are not closed in favour of others: the head of a request may still be on its way
YOUNG_S = 0.25
# The same, of an address that has many: a busy client opens its connections first, and then sends
SETTLED_S = 2.0
LOOK_S = 0.25  # between two looks for who is overdue


class Phase(StrEnum):
    """What a connection does."""

    STRANGE = "strange"  # it has shown no key yet
    BUSY = "busy"  # a request is under way
    HEAD = "head"  # the head of another request has begun
    IDLE = "idle"  # between requests
    UNREAD = "unread"  # the client does not take what is written to it
    LEAVING = "leaving"  # the last answer has been given; what still comes is thrown away


class Why(StrEnum):
    """Why the gateway closed a connection, or gave no other answer than that."""

    LATE = "late head"
    IDLE = "idle"
    UNREAD = "answer not read"
    ADDRESS = "too many of one address"
    ROOM = "no room"
    LARGE = "head too large"
    MALFORMED = "malformed"
    LINGERED = "still sending"


ENDS: Mapping[Phase, Why] = {
    Phase.STRANGE: Why.LATE,
    Phase.HEAD: Why.LATE,
    Phase.IDLE: Why.IDLE,
    Phase.UNREAD: Why.UNREAD,
    Phase.LEAVING: Why.LINGERED,
}


class Guarded(Protocol):
    """A connection, as a guard sees it."""

    address: str

    def overdue(self, phase: Phase) -> bool:
        """End the connection, whose phase has taken too long.  False if it goes on after all, and gets the same time
        again.
        """

    def abort(self) -> None:
        """Close it at once."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a connection may stay in each phase.  Seconds."""

    head: float
    idle: float
    unread: float

    def of(self, phase: Phase) -> float:
        match phase:
            case Phase.STRANGE | Phase.HEAD:
                return self.head
            case Phase.IDLE:
                return self.idle
            case Phase.UNREAD:
                return self.unread
            case Phase.LEAVING:
                return LINGER_S
            case Phase.BUSY:
                return inf


def address_of(peer: object) -> str:
    """The address under which a peer is counted: the 2^64 addresses of an IPv6 host count as one."""
    host = str(peer[0]) if isinstance(peer, tuple) and peer else ""
    try:
        found = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped or IPv6Address(int(found) >> 64 << 64))
    return str(found)


@dataclass(slots=True, eq=False)
class Guard:
    """The connections of one listener."""

    most: int  # connections
    each: int  # of one address, that have shown no key
    patience: Patience
    now: Callable[[], float] = time.monotonic
    closed: Counter[Why] = field(default_factory=Counter)
    _phases: dict[Guarded, Phase] = field(default_factory=dict)
    # Connections and the start of their phase, oldest first, since a connection is added at the end of its phase.
    _in: dict[Phase, dict[Guarded, float]] = field(default_factory=lambda: {phase: {} for phase in Phase})
    _strangers: Strangers[Guarded] = field(default_factory=Strangers)
    _left: asyncio.Event = field(default_factory=asyncio.Event)

    def __len__(self) -> int:
        return len(self._phases)

    def status(self) -> dict[str, int]:
        """For the operator."""
        return {"open": len(self), "at most": self.most}

    def count(self, phase: Phase) -> int:
        return len(self._in[phase])

    def phase(self, connection: Guarded) -> Phase | None:
        """The phase of a connection; None if it is closed."""
        return self._phases.get(connection)

    # ---------------------------------------------------------------- one connection

    def enter(self, connection: Guarded) -> None:
        """Add an accepted connection, and close those of its address that have been open for too long without a key."""
        self._put(connection, Phase.STRANGE)
        self._strangers.add(connection.address, connection)
        more = self._strangers.count(connection.address) - self.each
        for older in list(islice(self._strangers.of(connection.address), max(0, more))):
            if self._age(older) >= SETTLED_S:
                self._end(older, Why.ADDRESS)

    def known(self, connection: Guarded) -> None:
        """Note that the connection has shown a key, in whatever phase."""
        self._strangers.discard(connection.address, connection)

    def move(self, connection: Guarded, phase: Phase) -> None:
        """Move a connection to a phase; in the same phase it gets the same time again."""
        before = self._phases.get(connection)
        if before is not None:
            del self._in[before][connection]
            self._put(connection, phase)

    def gone(self, connection: Guarded) -> None:
        """Remove a closed connection.  A second call does nothing."""
        phase = self._phases.pop(connection, None)
        if phase is not None:
            del self._in[phase][connection]
            self._strangers.discard(connection.address, connection)
            self._left.set()

    def _put(self, connection: Guarded, phase: Phase) -> None:
        self._phases[connection] = phase
        self._in[phase][connection] = self.now()

    def _age(self, connection: Guarded) -> float:
        return self.now() - self._in[self._phases[connection]][connection]

    def _end(self, connection: Guarded, why: Why) -> None:
        self.closed[why] += 1
        connection.abort()
        self.gone(connection)

    # ---------------------------------------------------------------- all of them

    async def room(self) -> None:
        """Wait until another connection may be accepted."""
        while len(self) >= self.most and not self._make_room():
            self._left.clear()
            try:
                async with asyncio.timeout(YOUNG_S):
                    await self._left.wait()
            except TimeoutError:
                pass  # meanwhile a connection may have become old enough to be closed

    def _make_room(self) -> bool:
        """Close a connection in favour of another; whether there was one to close."""
        for oldest in self._yielding():
            if self._age(oldest) >= YOUNG_S:
                self._end(oldest, Why.ROOM)
                return True
        return False

    def _yielding(self) -> Iterator[Guarded]:
        """The connections that make room for others, in this order."""
        yield from islice(self._in[Phase.LEAVING], 1)
        if (stranger := self._strangers.first_to_go()) is not None:
            yield stranger
        for phase in (Phase.HEAD, Phase.IDLE):
            yield from islice(self._in[phase], 1)

    async def look(self) -> None:
        """End those that are overdue."""
        now = self.now()
        for phase, since in list(self._overdue(now)):
            for connection in since:
                if connection.overdue(phase):
                    self.closed[ENDS[phase]] += 1
                elif self._phases.get(connection) is phase:
                    self.move(connection, phase)

    def _overdue(self, now: float) -> Iterator[tuple[Phase, list[Guarded]]]:
        for phase in ENDS:
            patience, found = self.patience.of(phase), []
            for connection, since in self._in[phase].items():
                if now - since < patience:
                    break
                found.append(connection)
            yield phase, found
