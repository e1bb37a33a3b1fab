# SPDX-License-Identifier: Apache-2.0
"""What a round read is given back in its order, or in any order to a version that asks otherwise."""

from __future__ import annotations

import pytest

from transect.core.codec import encode
from transect.core.types import BYTES
from transect.linux.errors import KernelDataError
from transect.memory.record import AnyOrder, RescanTape
from transect.replay.tape import TapeMismatch


def entries(*reads: tuple[int, bytes]) -> bytes:
    """A tape of reads; without data: it could not be read."""
    return b"".join(b"a" + encode(BYTES, address.to_bytes(8, "little") + data) for address, data in reads)


READS = entries((0x1000, b"first"), (0x2FFC, b"12345678"), (0x1000, b"again"), (0x9000, b""))


def test_in_their_order_and_in_no_other() -> None:
    tape = RescanTape(READS)
    assert tape.read(0x1000, 5) == b"first"
    with pytest.raises(TapeMismatch, match="5 bytes at physical 0x1000 are asked for"):
        tape.read(0x1000, 5)


def test_in_any_order_what_was_there_then() -> None:
    tape = AnyOrder(READS)
    assert tape.read(0x2FFC, 8) == b"12345678"
    assert [tape.read(0x1000, 5) for _ in range(3)] == [b"first", b"again", b"again"]


def test_a_part_of_what_was_read_also_across_pages() -> None:
    tape = AnyOrder(READS)
    assert (tape.read(0x2FFE, 4), tape.read(0x3000, 2), tape.read(0x1001, 2)) == (b"3456", b"56", b"ir")


def test_what_could_not_be_read_cannot_be_read() -> None:
    with pytest.raises(KernelDataError, match="physical 0x9000 could not be read"):
        AnyOrder(READS).read(0x9000, 16)


@pytest.mark.parametrize(("address", "size"), [(0x1000, 6), (0x3003, 2), (0x8000, 1)])
def test_what_was_not_read_is_not_known(address: int, size: int) -> None:
    with pytest.raises(TapeMismatch, match="it reads memory that the version in force does not read"):
        AnyOrder(READS).read(address, size)
