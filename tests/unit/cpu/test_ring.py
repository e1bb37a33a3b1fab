# SPDX-License-Identifier: Apache-2.0
"""Draining a ring, without a kernel: a ring of our own memory, laid out as the kernel's is."""

from __future__ import annotations

import errno
import mmap
import os
import struct
from pathlib import Path

from transect.cpu.ring import BUSY, MARK, Drain, Ring, stride

TAPE = 4
STEP = stride(TAPE)
SIZE = 4096  # bytes of data; the kernel maps them twice in a row


class Kernel:
    """The kernel's side."""

    def __init__(self, folder: Path) -> None:
        self.ring = os.open(folder / "ring", os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(self.ring, 2 * mmap.PAGESIZE + 2 * SIZE)
        self.recorder = os.open(folder / "recorder", os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(self.recorder, mmap.PAGESIZE)
        self.end = 0

    def put(self, byte: int, *, busy: bool = False) -> int:
        """An event full of that byte; where it is."""
        at = self.end
        data = bytes([0, 0, 0, BUSY if busy else 0, 0, 0, 0, 0]) + bytes([byte]) * (STEP - MARK)
        for n, one in enumerate(data):
            place = (at + n) % SIZE
            for copy in (place, place + SIZE):
                os.pwrite(self.ring, bytes([one]), 2 * mmap.PAGESIZE + copy)
        self.end += STEP
        os.pwrite(self.ring, struct.pack("=Q", self.end), mmap.PAGESIZE)
        return at

    def commit(self, at: int) -> None:
        for copy in (at % SIZE, at % SIZE + SIZE):
            os.pwrite(self.ring, b"\0", 2 * mmap.PAGESIZE + copy + 3)

    def taken(self) -> int:
        at: int = struct.unpack("=Q", os.pread(self.ring, 8, 0))[0]
        return at

    def open(self) -> Ring:
        return Ring(self.ring, SIZE, self.recorder, TAPE)


def bytes_of(data: bytes) -> list[int]:
    return list(data[MARK::STEP])


def test_events_come_in_order_and_make_room(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    ring = kernel.open()
    assert ring.take() == b""
    kernel.put(1), kernel.put(2)
    assert bytes_of(ring.take()) == [1, 2]
    assert kernel.taken() == 2 * STEP
    kernel.put(3)
    assert bytes_of(ring.take()) == [3]


def test_a_call_under_way_holds_back_what_comes_after_it(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    ring = kernel.open()
    kernel.put(1)
    under_way = kernel.put(2, busy=True)
    kernel.put(3)
    assert bytes_of(ring.take()) == [1]
    assert ring.take() == b""
    kernel.commit(under_way)
    assert bytes_of(ring.take()) == [2, 3]


def test_an_event_over_the_end_of_the_ring_is_whole(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    ring = kernel.open()
    found = []
    for n in range(3 * SIZE // STEP):
        kernel.put(n % 100)
        found += bytes_of(ring.take())
    assert found == [n % 100 for n in range(3 * SIZE // STEP)]


def test_a_full_disk_ends_the_recording_and_says_so(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    kept: list[bytes] = []
    closed: list[bool] = []

    def write(data: bytes) -> None:
        if kept:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        kept.append(data)

    kernel.put(1)
    drain = Drain(kernel.open(), write, lambda: closed.append(True))
    while not kept:
        os.sched_yield()
    assert os.pread(kernel.recorder, 1, 0) == b"\1", "programs keep their calls"
    kernel.put(2)
    while drain.failure is None:
        os.sched_yield()
    assert os.pread(kernel.recorder, 1, 0) == b"\0", "they keep none any more"
    os.pwrite(kernel.recorder, struct.pack("=Q", 7), 8)
    drain.end()
    assert (drain.bytes, drain.lost, closed) == (STEP, 7, [True])
    assert drain.failure is not None and drain.failure.errno == errno.ENOSPC
