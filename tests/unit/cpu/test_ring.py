# SPDX-License-Identifier: Apache-2.0
"""Taking events out of rings, without a kernel: rings in memory of our own, and calls as `record.h` keeps them."""

from __future__ import annotations

import errno
import mmap
import os
import struct
from pathlib import Path

import pytest

from tests.unit.cpu.logs import TAPE, event, numbered, replayed
from tests.unit.cpu.policies import example
from transect.cpu.record import Recording
from transect.cpu.ring import GAP, NESTED, RING, Drain, Rings, first, most, ring_size
from transect.replay import read

MOST = most(TAPE)
SIZE = ring_size(TAPE)
LIMIT, END, BEGUN, ENDED, LOST = (8 * n for n in range(5))
CPUS = 2


class Kernel:
    """The programs' side."""

    def __init__(self, folder: Path) -> None:
        self.rings = os.open(folder / "rings", os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(self.rings, CPUS * SIZE)
        self.memory = mmap.mmap(self.rings, CPUS * SIZE)

    def word(self, at: int, add: int = 0, cpu: int = 0) -> int:
        """A word of a ring, before so much is added to it."""
        word: int = struct.unpack_from("=Q", self.memory, cpu * SIZE + at)[0]
        struct.pack_into("=Q", self.memory, cpu * SIZE + at, word + add)
        return word

    def begin(self, cpu: int = 0) -> int | None:
        """Room for one event: where."""
        self.word(BEGUN, 1, cpu)
        if self.word(END, 0, cpu) >= self.word(LIMIT, 0, cpu):
            self.word(LOST, 1, cpu)
            self.word(ENDED, 1, cpu)
            return None
        at = self.word(END, MOST, cpu)
        if at % RING > RING - MOST:
            self.store(at, struct.pack("=Q", GAP), cpu)
            at = self.word(END, MOST, cpu)
        return at

    def store(self, at: int, data: bytes, cpu: int = 0) -> None:
        place = cpu * SIZE + first(TAPE) + at % RING
        self.memory[place : place + len(data)] = data

    def finish(self, at: int, data: bytes, cpu: int = 0) -> None:
        """The event is complete, and what it did not use is given back unless another one begins behind it."""
        last = self.word(END, 0, cpu) == at + MOST
        size = len(data) if last else MOST
        self.store(at, data[:28] + struct.pack("=I", size) + data[32:], cpu)
        self.word(END, size - MOST if last else 0, cpu)
        self.word(ENDED, 1, cpu)

    def keep(self, data: bytes, cpu: int = 0) -> bool:
        """A whole call; whether there was room."""
        at = self.begin(cpu)
        if at is not None:
            self.finish(at, data, cpu)
        return at is not None

    def open(self) -> Rings:
        return Rings(self.rings, CPUS, TAPE)


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path)


@pytest.fixture
def rings(kernel: Kernel) -> Rings:
    rings = kernel.open()
    rings.switch(True)
    return rings


def calls(count: int) -> list[bytes]:
    """Calls of different sizes: the words of the first one are none."""
    return numbered(*(event("stopping", [("home", n)] * (n % 5), pid=n) for n in range(count)))


def taken(rings: Rings) -> bytes:
    """All that can be taken now."""
    found: list[bytes] = []
    rings.take(lambda piece: found.append(bytes(piece)))
    return b"".join(found)


def logged(folder: Path, raw: bytes, *, piece: int = 1 << 20, lost: int = 0) -> tuple[list[int], int]:
    """The tasks of the calls that a log has of these events, and how many calls it lacks."""
    path = folder / "log"
    path.unlink(missing_ok=True)
    recording = Recording(path, "p", real=False, cpus=CPUS, tape=TAPE)
    recording.policy(example("fifo"), {}, {})
    for at in range(0, len(raw), piece):
        recording.take(memoryview(raw)[at : at + piece])
    trailer = recording.close(lost)
    return [record.instance for record in read(path).records], trailer.dropped


def test_nothing_is_kept_before_somebody_takes_it(kernel: Kernel) -> None:
    rings = kernel.open()
    assert not kernel.keep(calls(1)[0])
    rings.switch(True)
    assert kernel.keep(calls(1)[0])
    rings.switch(False)
    assert not kernel.keep(calls(1)[0])
    assert rings.lost == 2


def test_events_take_what_they_need_and_make_room(kernel: Kernel, rings: Rings, tmp_path: Path) -> None:
    assert taken(rings) == b""
    kept = calls(7)
    for data in kept:
        assert kernel.keep(data)
    raw = taken(rings)
    assert len(raw) == sum(map(len, kept)) < 7 * MOST
    assert taken(rings) == b"" and rings.left == 0
    assert logged(tmp_path, raw) == (list(range(7)), 0)
    assert kernel.word(LIMIT) == len(raw) + RING - NESTED * MOST


def test_a_call_under_way_holds_back_the_events_of_its_cpu(kernel: Kernel, rings: Rings) -> None:
    one, two, three = calls(3)
    kernel.keep(one)
    under_way = kernel.begin()
    assert under_way is not None
    kernel.keep(three, cpu=1)
    assert taken(rings) == three
    kernel.finish(under_way, two)
    assert taken(rings).startswith(one)


def test_calls_that_nest_come_in_the_order_in_which_they_began(
    kernel: Kernel, rings: Rings, tmp_path: Path
) -> None:
    outer, inner, later = calls(3)
    at = kernel.begin()
    assert at is not None
    assert kernel.keep(inner)
    kernel.finish(at, outer)
    assert kernel.keep(later)
    raw = taken(rings)
    assert len(raw) == MOST + len(inner) + len(later), "the outer one keeps its room"
    assert logged(tmp_path, raw) == ([0, 1, 2], 0)


@pytest.mark.parametrize("piece", [1 << 20, 100])
def test_no_event_goes_over_the_end_of_the_ring(
    kernel: Kernel, rings: Rings, tmp_path: Path, piece: int
) -> None:
    """Three times round; what is read in pieces is the same."""
    kept = calls(3 * RING // 70)
    raw = b""
    for n, data in enumerate(kept):
        assert kernel.keep(data)
        if n % 1000 == 999:
            raw += taken(rings)
    raw += taken(rings)
    assert kernel.word(END) > 3 * RING
    some = len(raw) if piece == 1 << 20 else sum(map(len, kept[:200]))
    found, lacking = logged(tmp_path, raw[:some], piece=piece)
    assert lacking == 0
    assert found == list(range(len(kept) if piece == 1 << 20 else 200))


def test_a_ring_that_nobody_empties_loses_calls_and_counts_them(
    kernel: Kernel, rings: Rings, tmp_path: Path
) -> None:
    (data,) = calls(1)
    kept = 0
    while kernel.keep(data):
        kept += 1
    assert kept >= (RING - NESTED * MOST) // len(data)
    assert kernel.word(END) <= RING, "what was not taken yet stands"
    assert rings.lost == 1
    assert len(taken(rings)) == kept * len(data)
    assert kernel.keep(data)


def test_calls_of_all_cpus_come_in_their_order(kernel: Kernel, rings: Rings, tmp_path: Path) -> None:
    kept = calls(40)
    raw = b""
    for n, data in enumerate(kept):
        kernel.keep(data, cpu=n % CPUS)
        if n % 7 == 0:
            raw += taken(rings)
    raw += taken(rings)
    assert logged(tmp_path, raw) == (list(range(40)), 0)


def test_calls_that_do_not_come_are_counted(tmp_path: Path) -> None:
    """The loader was killed when it had taken the events of one CPU and not of the other."""
    kept = calls(6)
    raw = b"".join(kept[n] for n in (0, 2, 3, 5))
    assert logged(tmp_path, raw, lost=1) == ([0, 2, 3, 5], 3)


def test_who_waits_for_a_call_that_does_not_end_waits_within_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transect.cpu.record.RING", 56 * 5)  # ten events wait at most
    kept = calls(30)
    order = [0, *range(2, 20), 1, *range(20, 30)]
    found, lacking = logged(tmp_path, b"".join(kept[n] for n in order))
    assert sorted(found) == list(range(30)) and lacking == 0
    assert found.index(1) > 10 and [n for n in found if n != 1] == [0, *range(2, 30)]


def test_what_comes_through_rings_replays(kernel: Kernel, rings: Rings, tmp_path: Path) -> None:
    """The form of words in a ring is that of a log, whatever lies between them."""
    kept = numbered(*(event("stopping", pid=n) for n in range(3)))
    for data in kept:
        kernel.keep(data)
    logged(tmp_path, taken(rings))
    assert replayed(read(tmp_path / "log")).same


def test_a_full_disk_ends_the_recording_and_says_so(kernel: Kernel) -> None:
    kept: list[bytes] = []
    closed: list[bool] = []

    def write(piece: memoryview) -> None:
        if kept:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        kept.append(bytes(piece))

    one, two, three = calls(3)
    drain = Drain(kernel.open(), write, lambda: closed.append(True))
    assert kernel.keep(one), "programs keep their calls"
    while not kept:
        os.sched_yield()
    assert kernel.keep(two)
    while drain.failure is None:
        os.sched_yield()
    assert not kernel.keep(three), "they keep none any more"
    drain.end()
    assert (drain.bytes, drain.lost, closed) == (len(one), 1, [True])
    assert drain.failure is not None and drain.failure.errno == errno.ENOSPC
