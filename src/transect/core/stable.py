# SPDX-License-Identifier: Apache-2.0
"""`hash64`: a hash that is the same in every target, on every machine and in every version.

It is XXH64 (Collet, "xxHash fast digest algorithm", with a seed of 64 bits), which others compute as well: Envoy's ring
hash among them.  It is fast and spreads well; it keeps nobody from choosing texts that meet.
"""

from __future__ import annotations

from transect.core.values import U64_MAX

P1, P2, P3, P4, P5 = (
    0x9E3779B185EBCA87,
    0xC2B2AE3D27D4EB4F,
    0x165667B19E3779F9,
    0x85EBCA77C2B2AE63,
    0x27D4EB2F165667C5,
)
LANES = 4
STRIPE = 8 * LANES  # bytes that go through all lanes at once


def hash64(value: str | bytes | int, seed: int) -> int:
    """Of the bytes of a text, or of the eight of a number, least significant first."""
    if isinstance(value, int):
        return _of((value & U64_MAX).to_bytes(8, "little"), seed)
    return _of(value.encode() if isinstance(value, str) else value, seed)


def _of(data: bytes, seed: int) -> int:
    at = len(data) // STRIPE * STRIPE
    hash = (_lanes(data[:at], seed) if at else seed + P5) + len(data)
    while len(data) - at >= 8:
        hash = (_rotated(hash ^ _round(0, _word(data, at, 8)), 27) * P1 + P4) & U64_MAX
        at += 8
    if len(data) - at >= 4:
        hash = (_rotated(hash ^ _word(data, at, 4) * P1, 23) * P2 + P3) & U64_MAX
        at += 4
    for byte in data[at:]:
        hash = _rotated(hash ^ byte * P5, 11) * P1
    hash &= U64_MAX
    hash = (hash ^ hash >> 33) * P2 & U64_MAX
    hash = (hash ^ hash >> 29) * P3 & U64_MAX
    return hash ^ hash >> 32


def _lanes(data: bytes, seed: int) -> int:
    lanes = [seed + P1 + P2, seed + P2, seed, seed - P1]
    for at in range(0, len(data), 8):
        lane = at // 8 % LANES
        lanes[lane] = _round(lanes[lane], _word(data, at, 8))
    hash = sum(_rotated(lane, by) for lane, by in zip(lanes, (1, 7, 12, 18), strict=True))
    for lane in lanes:
        hash = (hash ^ _round(0, lane)) * P1 + P4 & U64_MAX
    return hash


def _round(lane: int, word: int) -> int:
    return _rotated(lane + word * P2, 31) * P1 & U64_MAX


def _rotated(x: int, by: int) -> int:
    x &= U64_MAX
    return (x << by | x >> (64 - by)) & U64_MAX


def _word(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")
