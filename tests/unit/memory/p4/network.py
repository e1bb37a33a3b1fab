# SPDX-License-Identifier: Apache-2.0
"""Chains in a switch between us and one target, spoken to as an observer does: by packets alone.

The switch here is our own interpreter, with the target behind one of its ports; control packets and their answers are
those that a real one would see.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from tests.unit.memory.p4.switch import Switch
from transect.memory.chaser.chased import Outcome
from transect.memory.chaser.lower import Limits
from transect.memory.chaser.steps import Chain, Status
from transect.memory.chaser.walker import Places
from transect.memory.p4 import entries
from transect.memory.p4.syntax import parse, resolve
from transect.memory.roce.grant import Grant
from transect.memory.roce.packet import IP, UDP, Ends
from transect.memory.roce.requester import TRIES, PeerGone

TARGET, OBSERVER = 1, 2  # ports
CONTROL = 4792
BEGIN, AGAIN, FETCH = 1, 2, 3
ORDER = struct.Struct(">BBHIIIQI")
REPLY = struct.Struct(">BBHIIIQ4Q")
TIMEOUT_S = 0.2


class Wire(Protocol):
    """The target's end: whole Ethernet frames."""

    def send_frame(self, frame: bytes) -> None: ...

    def receive_frame(self, timeout_s: float) -> bytes | None: ...


@dataclass(frozen=True)
class Reply:
    """What the switch says of a chain, and one piece that it kept."""

    status: int
    hops: int
    psn: int
    kept: int
    elements: int
    address: int
    words: bytes

    @staticmethod
    def of(frame: bytes) -> Reply:
        at = 14 + IP.size + UDP.size + ORDER.size
        status, _, hops, psn, kept, elements, address, *words = REPLY.unpack_from(frame, at)
        return Reply(status, hops, psn, kept, elements, address, struct.pack("<4Q", *words))


class Switched:
    """The observer's end."""

    limits: Limits = entries.P4

    def __init__(
        self,
        grant: Grant,
        places: Places,
        ends: Ends,
        wire: Wire,
        macs: tuple[bytes, bytes],
        learn: Callable[[int], int],
    ) -> None:
        """`macs`: ours and the target's; `learn` says which number the target waits for at a pair."""
        self.grant, self.places, self.ends, self.wire = grant, places, ends, wire
        self.macs, self.learn = macs, learn
        self.forwarded: list[bytes] = []  # what the switch passed on to us
        self.switch = self._switch(())
        self._epoch = 0

    def _switch(self, chains: Sequence[Chain]) -> Switch:
        text = resolve(entries.SOURCE.read_text(), entries.needs(chains))
        made = Switch(parse(text))
        for row in entries.of_grant(self.grant, self.places, self.ends):
            made.add(row.table, row.entry)
        return made

    def run(self, chains: Sequence[Chain]) -> list[Outcome]:
        """One after the other.  Raises `PeerGone`."""
        self.switch = self._switch(chains)
        self._epoch += 1
        rows, firsts = entries.of_chains(chains)
        for row in rows:
            self.switch.add(row.table, row.entry)
        return [
            self._walk(chain, first, slot + 8)
            for slot, (chain, first) in enumerate(zip(chains, firsts, strict=True))
        ]

    # ------------------------------------------------------------ a chain

    def _walk(self, chain: Chain, first: int, slot: int) -> Outcome:
        psn = self.learn(slot)
        begin = ORDER.pack(BEGIN, slot, first, psn, chain.reads + 1, self._epoch, chain.registers[0], 0)
        reply = self._order(begin)
        tries, hops = 0, 0
        while reply is None or reply.status == Status.RUNNING:
            if not self._pass(TIMEOUT_S):
                tries += 1
                if tries > TRIES:
                    raise PeerGone(f"no answer to {TRIES} READs of the chain {chain.name}")
                self._order(ORDER.pack(AGAIN, slot, 0, 0, 0, 0, 0, 0))
            reply = self._fetch(slot, 0)
            if reply.hops != hops:
                tries, hops = 0, reply.hops
        pieces = [self._fetch(slot, number) for number in range(reply.kept)]
        return Outcome(
            Status(reply.status), _records(chain, pieces), reply.elements, reply.hops, packets=2 + len(pieces)
        )

    def _fetch(self, slot: int, number: int) -> Reply:
        reply = self._order(ORDER.pack(FETCH, slot, 0, 0, 0, 0, 0, number))
        assert reply is not None, "a switch answers what it is asked"
        return reply

    def _order(self, order: bytes) -> Reply | None:
        """A control packet; what comes back of it at once."""
        size = IP.size + UDP.size + len(order)
        head = IP.pack(0x45, 0, size, 0, 0x4000, 64, 17, 0, self.ends.own, self.ends.peer)
        frame = (
            self.macs[1] + self.macs[0] + b"\x08\x00" + head + UDP.pack(CONTROL, CONTROL, size - IP.size, 0)
        )
        sent = self.switch.process(OBSERVER, frame + order)
        if sent is None:
            return None
        port, packet = sent
        if port == OBSERVER:
            return Reply.of(packet)
        self.wire.send_frame(packet)
        return None

    def _pass(self, timeout_s: float) -> bool:
        """Packets of the target through the switch, until one comes through to us, or none comes."""
        until = time.monotonic() + timeout_s
        while True:
            frame = self.wire.receive_frame(timeout_s)
            if frame is None:
                return False
            sent = self.switch.process(TARGET, frame)
            if sent is None:
                if time.monotonic() > until:
                    return False
                continue
            port, packet = sent
            if port == TARGET:
                self.wire.send_frame(packet)
                until = time.monotonic() + timeout_s
            else:
                self.forwarded.append(packet)
                return True


def _records(chain: Chain, pieces: Sequence[Reply]) -> tuple[tuple[int, bytes], ...]:
    lengths = [step.length for step in chain.steps if step.keeps]
    found = []
    for at in range(0, len(pieces) - len(lengths) + 1, len(lengths)):  # the last may have ended half-way
        parts = pieces[at : at + len(lengths)]
        data = b"".join(p.words[:length] for p, length in zip(parts, lengths, strict=True))
        found.append((parts[0].address, data))
    return tuple(found)
