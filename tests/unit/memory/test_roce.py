# SPDX-License-Identifier: Apache-2.0
"""READs over RoCEv2 against a peer that loses, repeats, reorders, damages and forges packets, refuses, and dies."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transect.base.unavailable import Unavailable
from transect.linux import KernelDataError
from transect.linux.physical import OutOfRange, Range
from transect.memory.roce import packet as p
from transect.memory.roce import requester as requesting
from transect.memory.roce import verbs
from transect.memory.roce.grant import Grant, RoceMemory
from transect.memory.roce.requester import Denied, PeerGone, Requester
from transect.memory.roce.transport import Udp
from transect.memory.target import Address, memory_of

OWN, PEER = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])
ENDS = p.Ends(OWN, PEER)
NUMBERLESS = p.Ends(OWN, PEER, numbers=False)
KEY, PSN, LINEAR = 0x1234, 0xFFFFF0, 0xFFFF888000000000
MEMORY = bytes(random.Random(1).randbytes(1 << 16))


class Peer:
    """The target's side, as soft-RoCE behaves; `spoil` may change what arrives here."""

    def __init__(self, spoil: Callable[[list[bytes]], list[bytes]] = lambda packets: packets) -> None:
        self.ends = ENDS
        self.expected = {0x11: PSN, 0x12: PSN}
        self.dead: set[int] = set()
        self.queue: list[bytes] = []
        self.remembered: dict[
            tuple[int, int], tuple[int, int]
        ] = {}  # what a number asked for when it first came
        self.spoil = spoil
        self.asked = 0

    def send(self, packet: bytes) -> None:
        assert p.icrc(packet[:-4]) == packet[-4:]
        opcode, _, _, pair, psn = p.BTH.unpack_from(packet, 28)
        address, key, length = p.RETH.unpack_from(packet, 40)
        assert opcode == p.READ_REQUEST
        self.asked += 1
        self.queue += self.spoil(self.answers(pair, psn, address, key, length))

    def answers(self, pair: int, psn: int, address: int, key: int, length: int) -> list[bytes]:
        if pair in self.dead:
            return []
        ahead = (psn - self.expected[pair]) % p.PSNS
        if 0 < ahead < p.PSNS // 2:
            return [self.packet(p.Opcode.ACKNOWLEDGE, pair, self.expected[pair], p.Nak.SEQUENCE)]
        if ahead:  # seen before: answered from memory, whatever it asks for now
            address, length = self.remembered.get((pair, psn), (address, length))
        at = address - LINEAR
        if key != KEY or not 0 <= at <= len(MEMORY) - length:
            self.dead.add(pair)
            return [self.packet(p.Opcode.ACKNOWLEDGE, pair, psn, p.Nak.ACCESS)]
        if ahead == 0:
            self.expected[pair] = (psn + 1) % p.PSNS
            self.remembered[pair, psn] = address, length
        return [self.packet(p.Opcode.ONLY, pair, psn, 0, MEMORY[at : at + length])]

    def packet(self, opcode: int, pair: int, psn: int, syndrome: int, data: bytes = b"") -> bytes:
        size = p.HEADERS + 4 + len(data) + 4
        made = p.IP.pack(0x45, 0, size, 7, 0x4000, 63, 17, 0, PEER, OWN) + p.UDP.pack(9, 4791, size - 20, 0)
        made += (
            p.BTH.pack(opcode, 0, 0xFFFF, 0x100 + pair - 0x11, psn) + struct.pack(">I", syndrome << 24) + data
        )
        return made + p.icrc(made)

    def receive(self, timeout_s: float) -> bytes | None:
        return self.queue.pop(0) if self.queue else None

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requesting, "TIMEOUT_S", 0.0005)


def memory(peer: Peer, key: int = KEY) -> RoceMemory:
    grant = Grant(key, PSN, LINEAR, (0x11, 0x12), 0x100, (Range(0, len(MEMORY)),))
    return RoceMemory(grant, peer)


PLACES = [(i * 1500, 700 + i) for i in range(40)]


def check(peer: Peer) -> Requester:
    found = memory(peer)
    assert found.read_many(PLACES) == [MEMORY[a : a + n] for a, n in PLACES]
    return found.requester


def test_many_reads_are_in_flight_over_the_end_of_the_numbers() -> None:
    statistics = check(Peer()).statistics
    assert (statistics.refused, statistics.repeated) == (1, 1)  # to learn the peer's number


def test_a_second_session_goes_on_where_the_first_left_off() -> None:
    peer = Peer()
    check(peer)
    check(peer)


def test_a_pair_that_died_before_is_passed_over() -> None:
    peer = Peer()
    peer.dead.add(0x11)
    check(peer)


def test_a_read_longer_than_a_packet() -> None:
    assert memory(Peer()).read(100, 5000) == MEMORY[100:5100]


def spoiler(seed: int, kind: str) -> Callable[[list[bytes]], list[bytes]]:
    draw = random.Random(seed)
    held: list[bytes] = []

    def spoil(packets: list[bytes]) -> list[bytes]:
        if draw.random() > 0.3:
            return packets
        match kind:
            case "lost":
                return []
            case "repeated":
                return packets * 3
            case "damaged":
                return [bytes([*q[:45], q[45] ^ 1, *q[46:]]) for q in packets]
            case "forged":
                return [q[:12] + bytes([10, 0, 0, 9]) + q[16:] for q in packets] + packets
            case _:  # late
                held.extend(packets)
                return [held.pop(0)] if len(held) > 2 else []

    return spoil


@pytest.mark.parametrize("kind", ["lost", "repeated", "damaged", "forged", "late"])
@pytest.mark.parametrize("seed", range(5))
def test_every_byte_is_right_whatever_happens_on_the_way(kind: str, seed: int) -> None:
    check(Peer(spoiler(seed, kind)))


def test_lost_requests_are_asked_again_after_a_sequence_refusal() -> None:
    peer = Peer()
    send, lost = peer.send, [3, 9]

    def lossy(packet: bytes) -> None:
        peer.asked += 1
        if peer.asked in lost:
            lost.remove(peer.asked)
        else:
            peer.asked -= 1
            send(packet)

    peer.send = lossy  # type: ignore[method-assign]
    assert check(peer).statistics.refused >= 1


def test_a_refusal_that_comes_again_late_renumbers_nothing() -> None:
    """The peer answers a number that it has seen from its memory: another READ under it would get another's bytes."""
    peer = Peer()
    send, seen = peer.send, list[bytes]()

    def late(packet: bytes) -> None:
        send(packet)
        answer = p.answer(ENDS, peer.queue[-1])
        if answer is not None and answer.opcode == p.Opcode.ACKNOWLEDGE:
            seen.append(peer.queue[-1])
        elif seen and peer.asked % 7 == 0:
            peer.queue.append(seen[0])

    peer.send = late  # type: ignore[method-assign]
    statistics = check(peer).statistics
    assert seen and statistics.ignored >= 3 and statistics.repeated == 1


def test_one_lost_answer_is_asked_for_once_not_once_for_each_that_follows() -> None:
    peer, lost = Peer(), [20]

    def lose(packets: list[bytes]) -> list[bytes]:
        return [] if peer.asked in lost else packets

    peer.spoil = lose
    assert check(peer).statistics.repeated == 2  # one to learn the number


class Socket:
    """A UDP socket that gives what it is told to."""

    def __init__(self, packet: bytes, source: str, port: int) -> None:
        self.given = packet[28:], (source, port)

    def recvfrom(self, size: int) -> tuple[bytes, tuple[str, int]]:
        return self.given


@pytest.mark.parametrize("number", [0, 1, 7, 0x8000, 0xAA49, 0xFFFF])
def test_a_udp_socket_takes_answers_from_any_port_and_with_any_number_of_ip(number: int) -> None:
    packet = bytearray(Peer().packet(p.Opcode.ONLY, 0x11, 5, 0, b"sixteen bytes...")[:-4])
    packet[4:6] = number.to_bytes(2, "big")
    packet[20:22] = (0xD100).to_bytes(2, "big")
    whole = bytes(packet) + p.icrc(bytes(packet))
    udp = Udp.__new__(Udp)
    udp._peer, udp.ends = ("10.0.0.2", p.PORT), NUMBERLESS
    udp._socket = Socket(whole, "10.0.0.2", 0xD100)  # type: ignore[assignment]
    found = p.answer(NUMBERLESS, udp.receive(0.1) or b"")
    assert found is not None and found.payload == b"sixteen bytes..."
    assert (p.answer(ENDS, udp.receive(0.1) or b"") is None) == bool(number)  # who sees numbers checks them
    udp._socket = Socket(whole[:50] + b"?" + whole[51:], "10.0.0.2", 0xD100)  # type: ignore[assignment]
    assert p.answer(NUMBERLESS, udp.receive(0.1) or b"") is None
    udp._socket = Socket(whole, "10.0.0.3", 0xD100)  # type: ignore[assignment]
    assert udp.receive(0.1) == b""


def test_a_udp_socket_sends_packets_without_a_number() -> None:
    """A connected socket would count them, and the ICRC of none but the first would be right."""
    udp = Udp("127.0.0.1")
    with pytest.raises(OSError):
        udp._socket.getpeername()
    udp.close()


def test_a_peer_that_is_gone_is_an_alarm() -> None:
    with pytest.raises(PeerGone, match="no answer"):
        memory(Peer(lambda _: [])).read(0, 8)


def test_a_wrong_key_is_a_refusal_and_then_the_grant_is_used_up() -> None:
    found = memory(Peer(), key=KEY + 1)
    with pytest.raises(Denied, match="access"):
        found.read(0, 8)
    with pytest.raises(PeerGone, match="made anew"):
        found.read(0, 8)


def test_an_address_outside_of_the_ranges_is_never_asked() -> None:
    peer = Peer()
    with pytest.raises(OutOfRange):
        memory(peer).read(len(MEMORY) - 4, 8)
    assert peer.asked == 0


@given(st.binary(max_size=120))
def test_any_packet_is_an_answer_or_none(data: bytes) -> None:
    assert p.answer(ENDS, data) is None or len(data) > 44


@given(st.data())
def test_a_damaged_answer_is_none(data: st.DataObject) -> None:
    whole = bytearray(Peer().packet(p.Opcode.ONLY, 0x11, 5, 0, b"x" * 16))
    changing = [
        i for i in range(len(whole)) if i not in (1, 8, 10, 11, 26, 27, 32)
    ]  # routers may change these
    at = data.draw(st.sampled_from(changing))
    whole[at] ^= data.draw(st.integers(1, 255))
    assert p.answer(ENDS, bytes(whole)) is None


GRANT = (
    "rkey=0x5\npsn=0x10\nlinear=0xffff888000000000\nfirst_peer_pair=0x100\npair=0x11\nrange=0x1000-0x9000\n"
)


def test_a_grant_is_read() -> None:
    assert Grant.parse(GRANT).ranges == (Range(0x1000, 0x9000),)


@pytest.mark.parametrize("line", GRANT.splitlines())
def test_what_a_grant_does_not_say_is_named(line: str) -> None:
    with pytest.raises(KernelDataError, match=line.partition("=")[0]):
        Grant.parse(GRANT.replace(line + "\n", ""))


def test_a_card_connects_to_the_port_that_the_grant_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert Grant.parse(GRANT + "port=18515\n").port == 18515
    with pytest.raises(KernelDataError, match="port 65536"):
        Grant.parse(GRANT + "port=65536\n")
    monkeypatch.setattr(verbs, "library", lambda: SimpleNamespace(tv_devices=lambda: 1))
    with pytest.raises(KernelDataError, match=r"load grant\.ko with port="):
        verbs.VerbsMemory(Grant.parse(GRANT), "10.0.0.2")
    monkeypatch.setattr(verbs, "library", lambda: SimpleNamespace(tv_devices=lambda: 0))
    (tmp_path / "grant").write_text(GRANT)
    with pytest.raises(Unavailable, match="this machine has none"):
        memory_of(Address.of(f"roce://10.0.0.2{tmp_path}/grant?via=verbs"))


@given(st.text(max_size=300))
def test_any_text_is_a_grant_or_a_diagnostic(text: str) -> None:
    for whole in (text, GRANT + text, GRANT.replace("0x", text)):
        try:
            Grant.parse(whole)
        except KernelDataError:
            continue
