# SPDX-License-Identifier: Apache-2.0
"""Our end of a reliable connection: READs in flight, lost ones repeated, refusals understood.

Requests go in the order of their numbers (psn), at most `window` of them unanswered.  A request that is not answered in
time is sent again; the peer answers it again, from its memory of what that number asked for.  So a number always asks
for the same thing.  A `sequence` refusal names the number that the peer expects: at first we learn from it where
another session left off; later it means that requests were lost, and they are sent again.  After an `access` refusal
the queue pair is dead, and the next one is used.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice

from transect.linux.errors import KernelDataError
from transect.memory.roce.packet import PSNS, Ends, Nak, Opcode, answer, read_request
from transect.memory.roce.transport import Transport

MTU = 1024  # bytes of one READ: one answer each
WINDOW = 16  # READs for which the peer keeps answers
TIMEOUT_S = 0.05
AHEAD = 1 << 22  # distance to a first number which the peer certainly does not expect
TRIES = 10  # times that the oldest READ is sent before the peer counts as gone


class PeerGone(KernelDataError):
    """Nobody answers any more: the target is down, or the grant was taken back.  This is an alarm, not an answer."""


class Denied(KernelDataError):
    """The peer refuses: key, address or operation."""


@dataclass
class Wanted:
    """A READ to be done."""

    address: int
    length: int
    data: bytes | None = None
    again: bool = False  # it was sent more than once


@dataclass
class Statistics:
    sent: int = 0
    repeated: int = 0
    refused: int = 0  # sequence refusals
    ignored: int = 0  # packets that were not the peer's, damaged, or late


@dataclass
class Requester:
    """Reads the peer's memory through one queue pair after another."""

    transport: Transport
    key: int
    pairs: Sequence[int]  # the peer's numbers
    own_pairs: Sequence[int]  # ours, in the same order
    psn: int  # with which each pair begins
    window: int = WINDOW
    statistics: Statistics = field(default_factory=Statistics)
    _at: int = 0  # which pair is in use

    def __post_init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        """Find the number to begin with on this pair: the peer refuses one far ahead, and names the one that it
        expects.
        """
        self._next = (self.psn + AHEAD) % PSNS
        self._known = False

    @property
    def ends(self) -> Ends:
        return self.transport.ends

    def read_many(self, places: Sequence[tuple[int, int]]) -> list[bytes]:
        """The bytes at each (address, length), of any length.  Raises `PeerGone`, `Denied`."""
        pieces: list[list[Wanted]] = []
        for address, length in places:
            starts = range(0, length, MTU)
            pieces.append([Wanted(address + s, min(MTU, length - s)) for s in starts])
        self._run([w for piece in pieces for w in piece])
        return [b"".join(w.data or b"" for w in piece) for piece in pieces]

    def _run(self, wanted: Sequence[Wanted]) -> None:
        flying: deque[tuple[int, Wanted]] = deque()
        todo = deque(wanted)
        tries, deadline = 0, 0.0
        while todo or flying:
            room = self.window if self._known else 1
            if len(flying) > room // 2:
                room = 0  # several requests sent together wake the peer once
            while todo and len(flying) < room:
                item = todo.popleft()
                flying.append((self._next, item))
                self._send(self._next, item)
                self._next = (self._next + 1) % PSNS
                deadline = deadline if len(flying) > 1 else time.monotonic() + TIMEOUT_S
            if self._take(flying):
                tries, deadline = 0, time.monotonic() + TIMEOUT_S
            elif time.monotonic() > deadline:
                tries += 1
                if tries > TRIES:
                    tries = self._silent(flying)
                self._repeat(flying)
                deadline = time.monotonic() + TIMEOUT_S * min(tries, 4)

    def _silent(self, flying: deque[tuple[int, Wanted]]) -> int:
        """Nobody answers.  A pair on which no answer ever came may be dead, so the next one is tried."""
        if self._known or self._at + 1 == len(self.pairs):
            raise PeerGone(f"no answer to {TRIES} READs of {flying[0][1].address:#x}")
        self._at += 1
        self._begin()
        items = [item for _, item in flying]
        flying.clear()
        flying.extend(((self._next + i) % PSNS, item) for i, item in enumerate(items))
        self._next = (self._next + len(items)) % PSNS
        return 0

    def _send(self, psn: int, item: Wanted) -> None:
        self.statistics.sent += 1
        pair = self.pairs[self._at]
        self.transport.send(read_request(self.ends, pair, psn, item.address, self.key, item.length))

    def _repeat(self, flying: Iterable[tuple[int, Wanted]]) -> None:
        for psn, item in flying:
            if item.data is None:
                self.statistics.repeated += 1
                item.again = True
                self._send(psn, item)

    def _take(self, flying: deque[tuple[int, Wanted]]) -> bool:
        """Receive one packet; return whether it was of use."""
        packet = self.transport.receive(TIMEOUT_S)
        if packet is None:
            return False
        found = answer(self.ends, packet)
        if found is None or found.pair != self.own_pairs[self._at] or not flying:
            self.statistics.ignored += 1
            return False
        if found.opcode == Opcode.ACKNOWLEDGE:
            return self._refused(found.syndrome, found.psn, flying)
        place = (found.psn - flying[0][0]) % PSNS
        item = flying[place][1] if place < len(flying) and found.opcode == Opcode.ONLY else None
        if item is None or item.data is not None or len(found.payload) != item.length:
            self.statistics.ignored += 1
            return False
        self._known = True
        item.data = found.payload
        before = list(islice(flying, place))
        if (
            before and not before[0][1].again
        ):  # answers come in order: those before this one were lost, and are requested again once
            self._repeat(before)
        while flying and flying[0][1].data is not None:
            flying.popleft()
        return True

    def _refused(self, syndrome: int, psn: int, flying: deque[tuple[int, Wanted]]) -> bool:
        match syndrome:
            case Nak.SEQUENCE if not self._known:
                self.statistics.refused += 1
                self._renumber(psn, flying)
                return True
            case Nak.SEQUENCE if (psn - flying[0][0]) % PSNS < len(flying):
                self.statistics.refused += 1
                self._repeat(flying)
                return True
            case Nak.ACCESS | Nak.INVALID | Nak.OPERATION:
                address = flying[0][1].address
                self._another_pair()
                raise Denied(f"the peer refuses to read {address:#x} ({Nak(syndrome).name.lower()})")
            case _:
                self.statistics.ignored += 1
                return False

    def _renumber(self, psn: int, flying: deque[tuple[int, Wanted]]) -> None:
        """Begin with the number that the peer expects.  Only once: a number that the peer has seen stands for that
        READ.
        """
        self._known = True
        items = [item for _, item in flying]
        flying.clear()
        for offset, item in enumerate(items):
            flying.append(((psn + offset) % PSNS, item))
        self._next = (psn + len(items)) % PSNS
        self._repeat(list(flying))

    def _another_pair(self) -> None:
        """Use the next pair, since this one is dead."""
        self._at += 1
        if self._at == len(self.pairs):
            self._at = 0
            self._begin()
            raise PeerGone("every queue pair has been refused: the grant must be made anew")
        self._begin()
