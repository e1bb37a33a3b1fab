# SPDX-License-Identifier: Apache-2.0
"""Packets of RoCEv2: RDMA READ requests out, responses in; each with its invariant checksum (ICRC).

InfiniBand architecture specification, volume 1, chapter 9 and annex A17.  The ICRC is CRC-32 over eight bytes of ones
(the place of a header that RoCEv2 does not have), then the packet from its IP header on, with everything that routers
may change set to ones.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum
from functools import cache

PORT = 4791
IP = struct.Struct(">BBHHHBBH4s4s")
UDP = struct.Struct(">HHHH")
BTH = struct.Struct(">BBHII")  # opcode, flags, partition, reserved | pair, acknowledge | psn
RETH = struct.Struct(">QII")  # virtual address, key, length
AETH = struct.Struct(">I")  # syndrome, message number
ICRC = 4
REQUEST = struct.Struct(">BBHIIQII")  # BTH and RETH
ONES = zlib.crc32(b"\xff" * 8)
TO_PORT = PORT.to_bytes(2, "big")
PSNS = 1 << 24
READ_REQUEST = 0x0C
HEADERS = IP.size + UDP.size + BTH.size
DO_NOT_FRAGMENT = 0x4000


class Opcode(IntEnum):
    """Answers to a READ."""

    FIRST = 0x0D
    MIDDLE = 0x0E
    LAST = 0x0F
    ONLY = 0x10
    ACKNOWLEDGE = 0x11


class Nak(IntEnum):
    """Why a request is refused (the syndrome of an acknowledgement)."""

    SEQUENCE = 0x60  # a psn was missed; the refusal's own psn is the expected one
    INVALID = 0x61
    ACCESS = 0x62  # key or address: the queue pair is dead
    OPERATION = 0x63


@dataclass(frozen=True, slots=True)
class Ends:
    """Addresses of both sides."""

    own: bytes  # IPv4
    peer: bytes
    own_port: int = PORT
    # Packets come with the number of their IP header; without, it is 0 here, and anything there
    numbers: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """A packet from the peer."""

    opcode: int
    pair: int  # our queue pair
    psn: int
    syndrome: int  # of packets that have one; else 0
    payload: bytes


def icrc(ip: bytes) -> bytes:
    """The ICRC of a packet from its IP header on, without the ICRC itself."""
    return _crc(ip).to_bytes(4, "little")


def _crc(ip: bytes) -> int:
    masked = bytearray(ip)
    masked[1] = 0xFF  # type of service
    masked[8] = 0xFF  # time to live
    masked[10:12] = b"\xff\xff"  # checksum of the IP header
    masked[26:28] = b"\xff\xff"  # checksum of UDP
    masked[32] = 0xFF  # reserved byte of the BTH, congestion marks
    return zlib.crc32(masked, ONES)


@cache
def _marks(size: int) -> tuple[int, ...]:
    """How each bit of the IP header's identification changes the ICRC (it is linear) of a packet of that size, in
    echelon.
    """
    plain = _crc(bytes(size))
    found: list[int] = []
    for bit in range(16):
        change = _crc((1 << bit).to_bytes(2, "big").rjust(6, b"\0").ljust(size, b"\0")) ^ plain
        for other in found:
            change = min(change, change ^ other)
        found = sorted((change, *found), reverse=True)
    return tuple(found)


def _number(difference: int, size: int) -> bool:
    """Whether some identification in the IP header, in place of 0, makes that difference to the ICRC."""
    for change in _marks(size):
        difference = min(difference, difference ^ change)
    return difference == 0


@cache
def _head(ends: Ends) -> tuple[bytes, int]:
    """The IP and UDP headers of all READs, and their ICRC so far."""
    size = HEADERS + RETH.size + ICRC
    head = IP.pack(0x45, 0, size, 0, DO_NOT_FRAGMENT, 64, 17, 0, ends.own, ends.peer)
    head = head[:10] + _checksum(head).to_bytes(2, "big") + head[12:]
    head += UDP.pack(ends.own_port, PORT, size - IP.size, 0)
    masked = head[:1] + b"\xff" + head[2:8] + b"\xff" + head[9:10] + b"\xff\xff" + head[12:26] + b"\xff\xff"
    return head, zlib.crc32(masked, ONES)


def read_request(ends: Ends, pair: int, psn: int, address: int, key: int, length: int) -> bytes:
    """A READ of `length` bytes at the peer's `address`, as an IP packet."""
    head, crc = _head(ends)
    rest = REQUEST.pack(READ_REQUEST, 0x40, 0xFFFF, pair & 0xFFFFFF, psn % PSNS, address, key, length)
    crc = zlib.crc32(rest[5:], zlib.crc32(rest[:4] + b"\xff", crc))  # the reserved byte counts as ones
    return head + rest + crc.to_bytes(4, "little")


def answer(ends: Ends, packet: bytes) -> Answer | None:
    """The content of an IP packet from the peer; None for one from elsewhere, damaged or of another kind."""
    if len(packet) < HEADERS + ICRC or packet[0] != 0x45 or packet[9] != 17:
        return None
    size = packet[2] << 8 | packet[3]
    if packet[12:20] != ends.peer + ends.own or not HEADERS + ICRC <= size <= len(packet):
        return None
    packet = packet[:size]
    if packet[22:24] != TO_PORT:
        return None
    wrong = _crc(packet[:-ICRC]) ^ int.from_bytes(packet[-ICRC:], "little")
    if wrong and (ends.numbers or not _number(wrong, size - ICRC)):
        return None
    opcode, flags, _, pair, psn = BTH.unpack_from(packet, IP.size + UDP.size)
    at, end = HEADERS, len(packet) - ICRC - (flags >> 4 & 3)
    syndrome = 0
    if opcode in (Opcode.FIRST, Opcode.LAST, Opcode.ONLY, Opcode.ACKNOWLEDGE):
        if at + AETH.size > end:
            return None
        syndrome = packet[at]
        at += AETH.size
    elif opcode != Opcode.MIDDLE:
        return None
    return Answer(opcode, pair & 0xFFFFFF, psn % PSNS, syndrome, packet[at:end])


def _checksum(header: bytes) -> int:
    total: int = sum(struct.unpack(f">{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
