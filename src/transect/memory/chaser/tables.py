# SPDX-License-Identifier: Apache-2.0
"""Chains as the entries of the BPF program's maps (`chaser.bpf.c`)."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from transect.memory.chaser.steps import DONE, MOVES, REGISTERS, TESTS, Chain, Move, Status, Step, Test
from transect.memory.chaser.walker import Places, Walker
from transect.memory.roce.grant import Grant
from transect.memory.roce.packet import Ends

CHAINS = 16
STEPS = 1024
RANGES = 16
KEPT = 256 * 1024
ROOM = KEPT + 1024  # bytes of an entry of `kept`
PAYLOAD = 0xFF
END = 0xFFFF  # a step's number
CHECKS, OPENS, KEEPS, CLOSES, INSERTS, OUTSIDERS, STOPS = (1 << bit for bit in range(7))

STEP = struct.Struct("<iHBBHBBBBBBHHBBH")
MOVE = struct.Struct("<BBHi")
TEST = struct.Struct("<HHIQQQ")
STATE = struct.Struct(f"<{REGISTERS}QQQQIIIIIIIIHHBBBBII")
GRANT = struct.Struct(f"<QQQQQQII4s4sII{CHAINS}I")


def step(of: Step, first: int) -> bytes:
    """An entry of `steps`; `first` is where its chain's steps begin."""
    flags = (
        (CHECKS if of.check is not None else 0)
        | (OPENS if of.opens is not None else 0)
        | (KEEPS if of.keeps else 0)
        | (CLOSES if of.closes else 0)
        | (INSERTS if of.inserts is not None else 0)
        | (OUTSIDERS if of.outside is not None else 0)
        | (STOPS if of.stop is not None else 0)
    )
    check_at, check = of.check or (0, 0)
    stop, end = of.stop or (0, 0)
    member = of.inserts if of.inserts is not None else of.outside or 0
    then, otherwise = (END if to == DONE else first + to for to in (of.then, of.otherwise))
    head = STEP.pack(
        *(of.offset, of.length, of.base, flags, check_at, check, of.opens or 0, member, of.set, stop, end),
        *(then, otherwise, len(of.moves), len(of.tests), 0),
    )
    moves = b"".join(_move(m) for m in of.moves).ljust(MOVES * MOVE.size, b"\0")
    return head + moves + b"".join(_test(t) for t in of.tests).ljust(TESTS * TEST.size, b"\0")


def _move(of: Move) -> bytes:
    return MOVE.pack(of.into, PAYLOAD if of.source is None else of.source, 0, of.at)


def _test(of: Test) -> bytes:
    mask = of.mask & (1 << 8 * of.size) - 1
    return TEST.pack(of.at & ~7, of.inverted, 8 * (of.at & 7), of.low, of.high, mask)


def grant(granted: Grant, places: Places, ends: Ends) -> bytes:
    """The entry of `grants`.  Ranges for which there is no room are not walked."""
    pairs = (*granted.pairs, *(0,) * CHAINS)[:CHAINS]
    ranges = places.ranges[:RANGES]
    head = GRANT.pack(
        *(granted.linear, places.top, places.image, places.image_size, places.base, places.root),
        *(granted.key, places.levels, ends.own, ends.peer, granted.first_peer_pair, len(ranges), *pairs),
    )
    bounds = b"".join(struct.pack("<QQ", r.start, r.end) for r in ranges)
    return head + bounds.ljust(RANGES * 16, b"\0")


def begin(walker: Walker, first: int, linear: int, psn: int, epoch: int) -> bytes:
    """The entry of `chains` with which a chain begins; user space sends its first READ."""
    address, length = walker.wanted
    return STATE.pack(
        *walker.registers,
        *(linear + address, 0, walker.target, psn, 0, walker.left, 0, 0, 0, 0, epoch),
        *(first + walker.pc, length, Status.RUNNING, walker.level, 0, 0, 0, 0),
    )


@dataclass(frozen=True, slots=True)
class State:
    """A chain, as the map has it."""

    address: int
    fault: int
    psn: int
    hops: int
    elements: int
    records: int
    used: int
    length: int
    status: Status
    ignored: int

    @staticmethod
    def of(data: bytes) -> State:
        words = STATE.unpack(data)[REGISTERS:]
        address, fault, _, psn, hops, _, elements, records, used, _, _, _, length, status, *_, ignored, _ = (
            words
        )
        return State(address, fault, psn, hops, elements, records, used, length, Status(status), ignored)


def records(of: Chain, state: State, kept: bytes) -> tuple[tuple[int, bytes], ...]:
    """The records that a chain kept."""
    size = of.record
    whole = (kept[at : at + size] for at in range(0, state.records * size, size))
    return tuple((int.from_bytes(r[:8], "little"), r[8:]) for r in whole)


def slices() -> bytes:
    """Tables of CRC-32 for four bytes at a time."""
    table = [zlib.crc32(bytes([n]), 0xFFFFFFFF) ^ 0xFFFFFFFF for n in range(256)]
    tables = [table]
    for _ in range(3):
        tables.append([n >> 8 ^ table[n & 255] for n in tables[-1]])
    return b"".join(struct.pack("<256I", *t) for t in tables)
