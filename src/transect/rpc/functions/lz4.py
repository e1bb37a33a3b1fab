# SPDX-License-Identifier: Apache-2.0
"""LZ4 blocks, each after its original size.  The format is LZ4's; the choice of matches is fixed here, so that
`runtime/lz4.h`, the twin, writes the same bytes."""

from __future__ import annotations

TABLE_BITS = 12  # of the table which remembers positions, by the hash of the four bytes there
LEAST_MATCH, LAST_LITERALS, LAST_MATCH = (
    4,
    5,
    12,
)  # the last match begins 12 bytes before the end at the latest
FARTHEST = 65535


def compress(plain: bytes) -> bytes:
    """Greedy: at each position, it tries the last earlier one with the same hash of four bytes."""
    size, at, anchor = len(plain), 0, 0
    out = bytearray(size.to_bytes(4, "little"))
    seen = [0] * (1 << TABLE_BITS)  # position + 1
    while at + LAST_MATCH <= size:
        word = plain[at : at + LEAST_MATCH]
        slot = (int.from_bytes(word, "little") * 2654435761 & 0xFFFF_FFFF) >> (32 - TABLE_BITS)
        before, seen[slot] = seen[slot] - 1, at + 1
        if before < 0 or at - before > FARTHEST or plain[before : before + LEAST_MATCH] != word:
            at += 1
            continue
        end = at + LEAST_MATCH
        while end < size - LAST_LITERALS and plain[end] == plain[before + end - at]:
            end += 1
        _sequence(out, plain[anchor:at], end - at - LEAST_MATCH)
        out += (at - before).to_bytes(2, "little")
        _longer(out, end - at - LEAST_MATCH)
        at = anchor = end
    _sequence(out, plain[anchor:], 0)
    return bytes(out)


def _sequence(out: bytearray, literals: bytes, more: int) -> None:
    out.append(min(len(literals), 15) << 4 | min(more, 15))
    _longer(out, len(literals))
    out += literals


def _longer(out: bytearray, count: int) -> None:
    """Write what a count has above the 15 that its token can hold."""
    if count >= 15:
        out += b"\xff" * ((count - 15) // 255)
        out.append((count - 15) % 255)


def expand(packed: bytes, most: int) -> bytes | None:
    """The original; None when it has more than `most` bytes, or the block is damaged."""
    size = int.from_bytes(packed[:4], "little")
    if len(packed) < 5 or size > most:
        return None
    try:
        out = _expanded(packed, size)
    except IndexError:  # the block ends too early
        return None
    return bytes(out) if out is not None and len(out) == size else None


def _expanded(packed: bytes, size: int) -> bytearray | None:
    out, at = bytearray(), 4
    while True:
        token = packed[at]
        literals, at = _count(packed, at + 1, token >> 4)
        if at + literals > len(packed) or len(out) + literals > size:
            return None
        out += packed[at : at + literals]
        at += literals
        if at == len(packed):
            return out
        back = packed[at] | packed[at + 1] << 8
        length, at = _count(packed, at + 2, token & 15)
        length += LEAST_MATCH
        if not 1 <= back <= len(out) or len(out) + length > size:
            return None
        for _ in range(length):
            out.append(out[-back])


def _count(packed: bytes, at: int, count: int) -> tuple[int, int]:
    """A count that begins in a token, and the position after the count."""
    if count == 15:
        while packed[at] == 255:
            count, at = count + 255, at + 1
        count, at = count + packed[at], at + 1
    return count, at
