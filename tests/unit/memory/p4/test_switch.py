# SPDX-License-Identifier: Apache-2.0
"""The P4 program, executed on packets by our own switch, against the reference walker: lists, page tables, conditions,
sets, memory that lies, and packets that are lost, repeated, damaged and forged."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.unit.memory.chaser.memories import FAR, IMAGE, LINEAR, LINK, SIZE, Memory, elements
from tests.unit.memory.p4 import network
from tests.unit.memory.p4.network import Switched
from transect.linux.physical import Range
from transect.memory.chaser.chased import Outcome
from transect.memory.chaser.steps import DONE, REGISTERS, Chain, Move, Status, Step
from transect.memory.chaser.steps import Test as Condition
from transect.memory.chaser.walker import Sets, Walker, walk
from transect.memory.roce import packet as p
from transect.memory.roce.grant import Grant
from transect.memory.roce.requester import PeerGone

HEAD = IMAGE + 0x2000
ENDS = p.Ends(bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2]))
GRANT = Grant(0x1234, 7, LINEAR, tuple(range(0x20, 0x30)), 0x100, (Range(0, SIZE),))
MACS = bytes.fromhex("525400aa0001"), bytes.fromhex("525400aa0002")
PSN = 0xFFFFFA


def chain(
    head: int,
    low: int = 0,
    high: int = 1 << 63,
    inserts: int | None = None,
    outside: int | None = None,
    reads: int = 10_000,
) -> Chain:
    """The ring of `memories`, in READs of at most four words."""
    steps = (
        Step(0, 0, 8, (Move(1, 0, 0), Move(2, 0, 0), Move(0, 0)), stop=(0, 2), then=1, otherwise=DONE),
        Step(
            0,
            8 - LINK,
            8,
            (Move(3, -LINK, 0),),
            tests=(Condition(0, 4, low, high),),
            opens=0,
            keeps=True,
            inserts=inserts,
            outside=outside,
            then=2,
        ),
        Step(0, 0, 24, (Move(4, 16), Move(1, 0, 0), Move(0, 0)), check=(8, 1), keeps=True, then=3),
        Step(4, 16, 8, keeps=True, closes=True, stop=(0, 2), then=1, otherwise=DONE),
    )
    return Chain("ring", steps, (head, *(0,) * (REGISTERS - 1)), reads)


class Target:
    """The peer, at the end of the wire; `spoil` may change what leaves it."""

    def __init__(self, memory: Memory, spoil: Callable[[list[bytes]], list[bytes]] = lambda f: f) -> None:
        self.memory, self.spoil = memory, spoil
        self.queue: list[bytes] = []
        self.asked = 0

    def send_frame(self, frame: bytes) -> None:
        packet = frame[14:]
        assert frame[:6] == MACS[1] and p.icrc(packet[:-4]) == packet[-4:]
        opcode, _, _, pair, psn = p.BTH.unpack_from(packet, 28)
        address, key, length = p.RETH.unpack_from(packet, 40)
        assert packet == p.read_request(ENDS, pair, psn, address, key, length)
        assert opcode == p.READ_REQUEST and key == GRANT.key
        self.asked += 1
        own = 0x100 + GRANT.pairs.index(pair)
        self.queue += self.spoil([response(psn, self.memory.read(address - LINEAR, length), own)])

    def receive_frame(self, timeout_s: float) -> bytes | None:
        return self.queue.pop(0) if self.queue else None


def response(psn: int, data: bytes, pair: int = 0x108) -> bytes:
    size = p.HEADERS + 4 + len(data) + 4
    made = p.IP.pack(0x45, 2, size, 7, 0x4000, 63, 17, 0x1234, ENDS.peer, ENDS.own)
    made += p.UDP.pack(9, p.PORT, size - 20, 0x4321) + p.BTH.pack(p.Opcode.ONLY, 0, 0xFFFF, pair, psn)
    made += struct.pack(">I", 0) + data
    return MACS[0] + MACS[1] + b"\x08\x00" + made + p.icrc(made)


def observer(memory: Memory, target: Target) -> Switched:
    return Switched(GRANT, memory.places, ENDS, target, MACS, lambda _: PSN)


def same(outcome: Outcome, walker: Walker) -> None:
    assert (outcome.status, outcome.hops, outcome.elements) == (walker.status, walker.hops, walker.elements)
    assert outcome.records == tuple(walker.records)


@pytest.mark.parametrize(("levels", "huge"), [(4, 1), (4, 2), (5, 1), (5, 2), (5, 3)])
def test_lists_and_page_tables_are_walked_as_the_reference_walks_them(levels: int, huge: int) -> None:
    memory = Memory(levels, huge)
    near, far = elements(12, levels), elements(12, huge, FAR + (1 << 17))
    memory.ring(HEAD, [e for pair in zip(near, far, strict=True) for e in pair])
    (outcome,) = observer(memory, Target(memory)).run([chain(HEAD, 10, 60)])
    walker = walk(chain(HEAD, 10, 60), memory.places, memory.read)
    assert walker.status is Status.FINISHED and 0 < len(walker.records) < 24
    same(outcome, walker)


def test_what_one_list_has_is_missing_in_another() -> None:
    memory = Memory()
    found = elements(30, 1)
    other = IMAGE + 0x3000
    memory.ring(HEAD, found)
    chains = [chain(HEAD, inserts=3), chain(HEAD, outside=3)]
    network_ = observer(memory, Target(memory))
    sets: Sets = {}
    for outcome, one in zip(network_.run(chains), chains, strict=True):
        same(outcome, walk(one, memory.places, memory.read, sets))
    assert other != HEAD and len(sets[0]) == 30


@pytest.mark.parametrize("seed", range(10))
def test_memory_that_lies_ends_as_in_the_reference(seed: int) -> None:
    draw = random.Random(seed)
    memory = Memory(draw.choice((4, 5)), draw.choice((1, 2)))
    found = elements(20, seed)
    memory.ring(HEAD, found)
    lies = [0, 1, HEAD, FAR, FAR + 4090, LINEAR + 2 * SIZE, (1 << 64) - 16, found[0] + LINK]
    for _ in range(3):
        memory.put(draw.choice(found) + draw.choice((LINK, LINK + 8, 40)), draw.choice(lies))
    (outcome,) = observer(memory, Target(memory)).run([chain(HEAD, reads=200)])
    same(outcome, walk(chain(HEAD, reads=200), memory.places, memory.read))


def spoiler(seed: int) -> Callable[[list[bytes]], list[bytes]]:
    """Loses, repeats, damages, and adds what is forged."""
    draw = random.Random(seed)

    def spoil(frames: list[bytes]) -> list[bytes]:
        (frame,) = frames
        damaged = bytearray(frame)
        damaged[draw.randrange(54, len(frame))] ^= 1 << draw.randrange(8)
        forged = response(draw.randrange(p.PSNS), bytes(len(frame) - 62))
        return draw.choice(
            [[frame]] * 5 + [[], [frame, frame], [bytes(damaged), frame], [forged, frame], [frame, forged]]
        )

    return spoil


@pytest.mark.parametrize("seed", range(4))
def test_lost_repeated_damaged_and_forged_packets_change_nothing(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "TIMEOUT_S", 5.0)  # the target here answers at once, or never
    memory = Memory()
    memory.ring(HEAD, elements(20, seed))
    (outcome,) = observer(memory, Target(memory, spoiler(seed))).run([chain(HEAD)])
    same(outcome, walk(chain(HEAD), memory.places, memory.read))


def test_a_target_that_is_gone_is_an_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "TIMEOUT_S", 5.0)  # the target here answers at once, or never
    memory = Memory()
    memory.ring(HEAD, elements(20, 2))
    with pytest.raises(PeerGone, match="no answer"):
        observer(memory, Target(memory, lambda _: [])).run([chain(HEAD)])


def test_other_packets_go_through_as_they_are() -> None:
    memory = Memory()
    target = Target(memory)
    switched = observer(memory, target)
    for frame in (
        response(1, bytes(100)),
        response(1, bytes(16)),
        MACS[0] + MACS[1] + b"\x08\x06" + bytes(46),
    ):
        assert switched.switch.process(network.TARGET, frame) == (network.OBSERVER, frame)
        assert switched.switch.process(network.OBSERVER, frame) == (network.TARGET, frame)


def test_a_control_packet_of_the_target_moves_nothing() -> None:
    memory = Memory()
    memory.ring(HEAD, elements(3, 3))
    switched = observer(memory, Target(memory))
    order = network.ORDER.pack(network.BEGIN, 8, 0, PSN, 100, 1, HEAD, 0)
    size = p.IP.size + p.UDP.size + len(order)
    head = p.IP.pack(0x45, 0, size, 0, 0x4000, 64, 17, 0, ENDS.peer, ENDS.own)
    frame = MACS[0] + MACS[1] + b"\x08\x00" + head + p.UDP.pack(4792, 4792, size - 20, 0) + order
    assert switched.switch.process(network.TARGET, frame) == (network.OBSERVER, frame)
    assert switched.switch.registers["states"] == [0] * 16


def test_a_new_probe_is_entries_in_the_tables() -> None:
    memory = Memory()
    memory.ring(HEAD, elements(10, 4))
    switched = observer(memory, Target(memory))
    first = switched.run([chain(HEAD)])[0]
    shorter = replace(chain(HEAD), steps=(*chain(HEAD).steps[:2], *chain(HEAD).steps[2:]))
    assert switched.run([shorter])[0].records == first.records
