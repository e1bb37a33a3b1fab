# SPDX-License-Identifier: Apache-2.0
"""Mutated inputs for whatever reads a file or a message: how many, which, and what may come of them.

`make test` reads 5,000 for each from fixed seeds; `make fuzz` (FUZZ_INPUTS=200000 and more) goes on where it ended.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

COUNT = int(os.environ.get("FUZZ_INPUTS", "5000"))  # mutated inputs for each reader

INTERESTING = (0, 1, 2, 3, 0x7F, 0x80, 0xFE, 0xFF)  # bytes at the edges of widths, signs and varints
WIDE = tuple(
    n.to_bytes(size, "little")
    for size in (2, 4, 8)
    for n in (0, 1, (1 << 8 * size - 1) - 1, 1 << 8 * size - 1, (1 << 8 * size) - 1)
)


def mutated(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """The input with one to four things done to it; `others` are what pieces may come from."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        rng.choice(_MUTATIONS)(found, others, rng)
    return bytes(found)


def inputs(seeds: Sequence[bytes], *, count: int | None = None, seed: int = 1) -> Iterator[bytes]:
    """That many mutated inputs, the same ones in every run."""
    assert seeds, "nothing to mutate"
    rng = random.Random(seed)
    for _ in range(COUNT if count is None else count):
        yield mutated(rng.choice(seeds), seeds, rng)


def survives(
    read: Callable[[T], object], given: T, allowed: type[Exception] | tuple[type[Exception], ...]
) -> bool:
    """Whether the reader took the input, or refused it in its own words.  Anything else is raised with the input."""
    try:
        read(given)
    except allowed:
        return False
    except Exception as error:
        error.add_note(f"the input: {given!r:.4000}")
        raise
    return True


# ---------------------------------------------------------------- what is done to an input


def _flips(data: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _sets(data: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    if data:
        data[rng.randrange(len(data))] = rng.choice(INTERESTING)


def _sets_wide(data: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    value = rng.choice(WIDE)
    at = rng.randrange(len(data) + 1)
    data[at : at + len(value)] = value


def _cuts(data: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    start = rng.randrange(len(data) + 1)
    del data[start : start + rng.choice((1, 1, 2, 8, 64, len(data)))]


def _inserts(data: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    at = rng.randrange(len(data) + 1)
    data[at:at] = rng.randbytes(rng.choice((1, 1, 2, 4, 8, 300)))


def _repeats(data: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    start, at = rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)
    data[at:at] = bytes(data[start : start + rng.randrange(1, 64)]) * rng.choice((1, 2, 16))


def _splices(data: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    other = rng.choice(others)
    start = rng.randrange(len(other) + 1)
    at = rng.randrange(len(data) + 1)
    size = rng.randrange(1, 128)
    data[at : at + rng.choice((0, size))] = other[start : start + size]


_MUTATIONS = (_flips, _sets, _sets_wide, _cuts, _inserts, _repeats, _splices)
