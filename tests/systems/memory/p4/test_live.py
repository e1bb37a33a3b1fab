# SPDX-License-Identifier: Apache-2.0
"""The P4 program, executed by our own switch on the frames of a live machine: what probes say through it is what they
say of the machine's RAM file.  No root: the machine's network card is a pair of sockets."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.systems.memory.guest import Guest
from tests.systems.memory.network import SOCKETS
from tests.unit.memory.p4.network import Switched
from transect.memory.chaser.chased import Chased
from transect.memory.chaser.steps import Status
from transect.memory.chaser.walker import Places
from transect.memory.machine import Machine
from transect.memory.roce.grant import RoceMemory
from transect.memory.roce.packet import PSNS, Ends, Nak, Opcode, answer, read_request
from transect.memory.roce.transport import Frames
from transect.memory.standard import standard
from transect.memory.target import open_target

only_generic = pytest.mark.parametrize("guest", ["6.12"], indirect=True)
PROBES = ("ProcessList", "Credentials", "TaskFlags", "HiddenModules")


class Card:
    """Whole frames of the machine's card, for the switch's port."""

    def __init__(self, frames: Frames, memory: RoceMemory) -> None:
        self.frames, self.memory = frames, memory

    @property
    def macs(self) -> tuple[bytes, bytes]:
        return Frames.MAC, self.frames._peer_mac

    def send_frame(self, frame: bytes) -> None:
        self.frames._send(frame)

    def receive_frame(self, timeout_s: float) -> bytes | None:
        packet = self.frames.receive(timeout_s)
        while packet == b"":  # not for us
            packet = self.frames.receive(timeout_s)
        return packet if packet is None else self.macs[0] + self.macs[1] + b"\x08\x00" + packet

    def learn(self, slot: int) -> int:
        """The number that the machine waits for at a pair."""
        grant, ends = self.memory.grant, self.frames.ends
        own = grant.first_peer_pair + slot
        for _ in range(20):
            far = (grant.psn + (1 << 22)) % PSNS
            address = grant.linear + grant.ranges[0].start
            self.frames.send(read_request(ends, grant.pairs[slot], far, address, grant.key, 8))
            found = answer(ends, self.frames.receive(0.2) or b"")
            if found is not None and (found.pair, found.opcode) == (own, Opcode.ACKNOWLEDGE):
                assert found.syndrome == Nak.SEQUENCE
                return found.psn
        raise AssertionError("the pair does not answer")


@pytest.fixture
def through(guest: Guest, granted: str) -> Iterator[tuple[Machine, Switched]]:
    machine = open_target(granted, guest.target.image)
    memory = machine.physical
    assert isinstance(memory, RoceMemory) and isinstance(memory.requester.transport, Frames)
    frames = memory.requester.transport
    card = Card(frames, memory)
    ends = Ends(socket.inet_aton(SOCKETS.own), socket.inet_aton(SOCKETS.peer))
    yield machine, Switched(memory.grant, Places.of(machine), ends, card, card.macs, card.learn)
    memory.close()


@only_generic
def test_probes_say_the_same_through_the_switch(guest: Guest, through: tuple[Machine, Switched]) -> None:
    machine, switched = through
    for name in PROBES:
        expected = guest.scan(name)[name]
        got = Chased.of(standard()[name], machine, switched).round()
        assert got.again == ()
        assert all(o.status is Status.FINISHED for o in got.outcomes)
        assert (got.said, got.shown) == (expected.findings, expected.shown), name
