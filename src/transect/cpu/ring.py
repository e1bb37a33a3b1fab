# SPDX-License-Identifier: Apache-2.0
"""The ring that recorded calls come through: how an event lies in it, and copying events out while a scheduler runs.

`runtime/record.h` has the same layout.  The events of an object are of one size, so that copying looks into none.
Standard library only: it may run in emulation.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
from collections.abc import Callable
from contextlib import suppress

# In the order of `enum ts_hook`.
HOOKS = (
    "enter", "select", "enqueue", "dequeue", "keep", "dispatch", "running", "stopping",
    "tick", "alarm", "wake", "sleep", "weight", "affinity", "leave", "hint", "detach",
)  # fmt: skip
HEAD = struct.Struct("<QIHHQ")  # now, pid, hook, cpu, count
ARGUMENTS = HEAD.size + 16  # the head, and two numbers
RESULT = ARGUMENTS + 8
MARK = 8  # bytes of the ring before each event
BUSY = 0x80  # in the mark's fourth byte: the call is under way
RECORDER = struct.Struct("=QQ")  # on, lost
RING = 16 << 20  # bytes of the ring
PAUSE_S = 0.01  # the ring holds what a ping-pong does in half a second
PIECE = 1 << 20  # bytes copied at once


def stride(tape: int) -> int:
    """Bytes from one event to the next, for events with room for so many words."""
    return MARK + RESULT + 8 * tape + 2 * ((tape + 3) & ~3)


class Ring:
    """The events of a scheduler in force, by the descriptors of its ring and of what its programs share with us."""

    def __init__(self, ring: int, size: int, recorder: int, tape: int) -> None:
        self.stride = stride(tape)
        self._size = size
        self._ours = mmap.mmap(ring, mmap.PAGESIZE)
        # The kernel maps the data twice in a row: no event is in two pieces.
        theirs = mmap.PAGESIZE + 2 * size
        self._theirs = mmap.mmap(ring, theirs, prot=mmap.PROT_READ, offset=mmap.PAGESIZE)
        self._shared = mmap.mmap(recorder, mmap.PAGESIZE)
        (self._at,) = struct.unpack_from("=Q", self._ours)

    @property
    def lost(self) -> int:
        """Calls that found no room."""
        lost: int = RECORDER.unpack_from(self._shared)[1]
        return lost

    def switch(self, on: bool) -> None:
        """Whether programs keep their calls from now on."""
        struct.pack_into("=Q", self._shared, 0, on)

    def take(self) -> bytes:
        """The next events that are complete, each behind its mark; empty: there is none."""
        (end,) = struct.unpack_from("=Q", self._theirs)
        first = mmap.PAGESIZE + self._at % self._size
        last = first + min(end - self._at, PIECE - PIECE % self.stride)
        # What is busy is seen before anything is copied; what is not stays as it is.
        marks = self._theirs[first + 3 : last : self.stride]
        done = marks.find(BUSY)
        data = self._theirs[first : last if done < 0 else first + done * self.stride]
        self._at += len(data)
        struct.pack_into("=Q", self._ours, 0, self._at)
        return data

    def close(self) -> None:
        for memory in (self._ours, self._theirs, self._shared):
            memory.close()


def first_of_all() -> None:
    """Whoever watches a scheduler must not wait for it: it runs before all tasks that the policy has.

    What it starts is an ordinary task again.
    """
    os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))


class Drain:
    """Copies events out of a ring, in a thread of its own, until it is told to end."""

    def __init__(
        self, ring: Ring, write: Callable[[bytes], object], close: Callable[[], object] = lambda: None
    ) -> None:
        self._ring = ring
        self._write = write
        self._close = close
        self._stop = threading.Event()
        self.bytes = 0
        self.lost = 0  # calls that found no room; known in the end
        self.failure: OSError | None = None  # why nothing is kept any more
        ring.switch(True)
        self._thread = threading.Thread(target=self._run, name="transect-ring", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        # A ring is not drained in time by who waits for his turn.  Who may not is not root, and drains no kernel's.
        with suppress(PermissionError):
            first_of_all()
        while not self._stop.wait(PAUSE_S):
            self._all()

    def _all(self) -> None:
        while data := self._ring.take():
            if self.failure is None:
                try:
                    self._write(data)
                    self.bytes += len(data)
                except OSError as error:
                    self.failure = error
                    self._ring.switch(False)  # the scheduler goes on, and pays for nothing

    def end(self) -> None:
        """Once no call is under way: everything that is left, and how many were lost."""
        self._ring.switch(False)
        self._stop.set()
        self._thread.join()
        self._all()
        self.lost = self._ring.lost
        self._ring.close()
        self._close()


def possible(what: str) -> int:
    """How many CPUs (`cpu`) or nodes of memory (`node`) there may be, as the kernel numbers them."""
    with open(f"/sys/devices/system/{what}/possible") as file:
        return int(file.read().strip().rpartition("-")[2].rpartition(",")[2]) + 1


class RawFile:
    """Where a machine of its own leaves the events for its host."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._descriptor, data) :]

    def close(self) -> None:
        os.close(self._descriptor)
