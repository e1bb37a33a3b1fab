# SPDX-License-Identifier: Apache-2.0
"""The XDP program against the reference, packet by packet, in this machine's kernel: the same answers, the same state;
and packets that are lost, repeated, forged and damaged, which move nothing."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator

import pytest

from tests.unit.memory.chaser.memories import FAR, IMAGE, LINEAR, LINK, SIZE, Memory, chain, elements
from transect.linux.physical import Range
from transect.memory.chaser import tables
from transect.memory.chaser.steps import Chain, Status
from transect.memory.chaser.tables import State
from transect.memory.chaser.walker import Sets, Walker
from transect.memory.chaser.xdp import PROGRAM, Maps
from transect.memory.roce import packet as p
from transect.memory.roce.grant import Grant

pytestmark = pytest.mark.needs("root", "clang")

HEAD = IMAGE + 0x2000
ENDS = p.Ends(bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2]))
GRANT = Grant(0x1234, 7, LINEAR, tuple(range(0x20, 0x30)), 0x100, (Range(0, SIZE),))
MACS = bytes.fromhex("525400aa0001 525400aa0002".replace(" ", ""))
DROP, PASS, BACK = 1, 2, 3
SLOT, PSN = 5, 0xFFFFF0


@pytest.fixture(scope="module")
def maps() -> Iterator[Maps]:
    made = Maps()
    yield made
    made.close()


def response(
    psn: int, data: bytes, slot: int = SLOT, opcode: int = p.Opcode.ONLY, syndrome: int = 0
) -> bytes:
    size = p.HEADERS + 4 + len(data) + 4
    made = p.IP.pack(0x45, 2, size, 7, 0x4000, 63, 17, 0x1234, ENDS.peer, ENDS.own)
    made += p.UDP.pack(9, p.PORT, size - 20, 0x4321) + p.BTH.pack(opcode, 0, 0xFFFF, 0x100 + slot, psn)
    made += struct.pack(">I", syndrome << 24) + data
    return MACS + b"\x08\x00" + made + p.icrc(made)


class Network:
    """The program, and a peer that answers from a memory."""

    def __init__(self, maps: Maps, memory: Memory, slot: int = SLOT) -> None:
        self.maps, self.memory, self.slot = maps, memory, slot
        maps.grant(tables.grant(GRANT, memory.places, ENDS))
        (self.program,) = [fd for name, fd in maps.object.programs() if name == PROGRAM]

    def begin(self, of: Chain, epoch: int = 1) -> Walker:
        walker = Walker(of, self.memory.places)
        first = self.maps.install(of)
        self.maps.put(self.slot, tables.begin(walker, first, LINEAR, PSN, epoch))
        return walker

    @property
    def state(self) -> State:
        return self.maps.state(self.slot)

    def answer(self) -> bytes:
        """What the peer would say now."""
        state = self.state
        return response(state.psn, self.memory.read(state.address - LINEAR, state.length), self.slot)

    def see(self, packet: bytes) -> tuple[int, bytes]:
        return self.maps.object.packet(self.program, packet)

    def check_request(self, packet: bytes) -> None:
        """It is the READ that the state says, to the last bit."""
        state = self.state
        pair = GRANT.pairs[self.slot]
        expected = p.read_request(ENDS, pair, state.psn, state.address, GRANT.key, state.length)
        assert packet == MACS[6:] + MACS[:6] + b"\x08\x00" + expected

    def run(self) -> None:
        for _ in range(20_000):
            verdict, packet = self.see(self.answer())
            if verdict == PASS:
                return
            assert verdict == BACK
            self.check_request(packet)
        raise AssertionError("it does not end")


def same(network: Network, walker: Walker, sets: Sets | None = None) -> Walker:
    """Run both; compare everything."""
    walker.sets = {} if sets is None else sets
    while walker.status is Status.RUNNING:
        walker.answer(network.memory.read(*walker.wanted))
    network.run()
    state = network.state
    assert (state.status, state.hops, state.elements) == (walker.status, walker.hops, walker.elements)
    kept = network.maps.kept(network.slot, state.records * walker.chain.record)
    assert tables.records(walker.chain, state, kept) == tuple(walker.records)
    return walker


@pytest.mark.parametrize(("levels", "huge"), [(4, 1), (4, 2), (5, 1), (5, 2), (5, 3)])
def test_lists_and_page_tables_are_walked_as_the_reference_walks_them(
    maps: Maps, levels: int, huge: int
) -> None:
    memory = Memory(levels, huge)
    near, far = elements(30, levels), elements(30, huge, FAR + (1 << 17))
    memory.ring(HEAD, [e for pair in zip(near, far, strict=True) for e in pair])
    network = Network(maps, memory)
    walker = same(network, network.begin(chain(HEAD, 10, 60)))
    assert walker.status is Status.FINISHED
    assert 0 < len(walker.records) < 60


def test_sets_are_filled_and_asked_as_in_the_reference(maps: Maps) -> None:
    memory = Memory()
    found = elements(50, 3)
    memory.ring(HEAD, found)
    network = Network(maps, memory)
    sets: Sets = {}
    same(network, network.begin(chain(HEAD, inserts=3), epoch=9), sets)
    memory.ring(HEAD, [*found, *elements(5, 4, LINEAR + (3 << 20) + (1 << 19))])
    walker = same(network, network.begin(chain(HEAD, outside=3), epoch=9), sets)
    assert len(walker.records) == 5


@pytest.mark.parametrize("seed", range(12))
def test_memory_that_lies_ends_as_in_the_reference(maps: Maps, seed: int) -> None:
    """Random words of the list are overwritten with pointers that lead somewhere, or nowhere."""
    draw = random.Random(seed)
    memory = Memory(draw.choice((4, 5)), draw.choice((1, 2)))
    found = elements(40, seed)
    memory.ring(HEAD, found)
    lies = [
        0,
        1,
        HEAD,
        FAR,
        FAR + 4090,
        LINEAR + SIZE - 8,
        LINEAR + 2 * SIZE,
        (1 << 64) - 16,
        found[0] + LINK,
    ]
    for _ in range(3):
        memory.put(draw.choice(found) + draw.choice((LINK, LINK + 8, 40)), draw.choice(lies))
    network = Network(maps, memory)
    same(network, network.begin(chain(HEAD, reads=300)))


def test_eight_chains_run_at_once(maps: Maps) -> None:
    memory = Memory()
    memory.ring(HEAD, elements(30, 5))
    networks = [Network(maps, memory, slot) for slot in range(8)]
    walkers = [n.begin(chain(HEAD, slot, 90)) for slot, n in enumerate(networks)]
    running = dict(enumerate(networks))
    while running:
        slot = random.Random(len(running)).choice(sorted(running))
        verdict, _ = running[slot].see(running[slot].answer())
        if verdict == PASS:
            del running[slot]
    for network, walker in zip(networks, walkers, strict=True):
        while walker.status is Status.RUNNING:
            walker.answer(memory.read(*walker.wanted))
        assert network.state.records == len(walker.records) > 0


def test_what_is_not_the_awaited_answer_moves_nothing(maps: Maps) -> None:
    memory = Memory()
    memory.ring(HEAD, elements(30, 6))
    network = Network(maps, memory)
    network.begin(chain(HEAD))
    network.see(network.answer())
    before, good = network.state, network.answer()
    late = response((before.psn - 1) % p.PSNS, bytes(before.length))
    ahead = response((before.psn + 1) % p.PSNS, bytes(before.length))
    short = response(before.psn, bytes(before.length - 8))
    opcode = response(before.psn, bytes(before.length), opcode=p.Opcode.FIRST)
    damaged = [good[:i] + bytes([good[i] ^ 1]) + good[i + 1 :] for i in (30, 42, 44, 55, 60, len(good) - 1)]
    stranger = bytearray(good[:-4])
    stranger[29] ^= 1
    forged = bytes(stranger) + p.icrc(bytes(stranger[14:]))
    for packet in (late, ahead, short, opcode, forged, *damaged, good[:-6], good[:50]):
        verdict, _ = network.see(packet)
        assert verdict in (DROP, PASS)
        now = network.state
        assert (now.psn, now.address, now.hops, now.status) == (
            before.psn,
            before.address,
            before.hops,
            Status.RUNNING,
        )
    assert network.state.ignored > before.ignored
    assert network.see(good)[0] == BACK
    again = network.state
    assert network.see(good)[0] == DROP  # a second time
    assert network.state.psn == again.psn


def test_other_traffic_passes_untouched(maps: Maps) -> None:
    memory = Memory()
    network = Network(maps, memory)
    network.begin(chain(HEAD))
    for packet in (
        response(1, bytes(16), slot=12),  # a pair without a chain
        response(1, bytes(16), slot=200),
        MACS + b"\x08\x06" + bytes(60),
        bytes(60),
        network.answer().replace(p.PORT.to_bytes(2, "big"), b"\x00\x35"),
    ):
        assert network.see(packet) == (PASS, packet)
    assert network.state.hops == 0


def test_a_refusal_ends_the_chain_and_is_passed_on(maps: Maps) -> None:
    memory = Memory()
    memory.ring(HEAD, elements(3, 7))
    network = Network(maps, memory)
    network.begin(chain(HEAD))
    refusal = response(99, b"", opcode=p.Opcode.ACKNOWLEDGE, syndrome=p.Nak.SEQUENCE)
    assert network.see(refusal) == (PASS, refusal)
    assert network.state.status is Status.REFUSED
    assert network.state.fault == p.Nak.SEQUENCE << 24 | 99


def test_any_bytes_are_a_packet(maps: Maps) -> None:
    memory = Memory()
    memory.ring(HEAD, elements(30, 8))
    network = Network(maps, memory)
    network.begin(chain(HEAD))
    draw = random.Random(11)
    good = network.answer()
    for _ in range(300):
        data = bytearray(good)
        for _ in range(draw.randrange(1, 6)):
            data[draw.randrange(14, len(data))] = draw.randrange(256)
        cut = bytes(data[: draw.choice((len(data), draw.randrange(14, len(data))))])
        if p.answer(ENDS, cut[14:]) is None:  # nobody's answer
            assert network.see(cut)[0] in (DROP, PASS)
    assert network.state.hops == 0
