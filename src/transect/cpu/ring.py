# SPDX-License-Identifier: Apache-2.0
"""The rings that recorded calls come through, one for each CPU: how an event lies in them, and taking events out while
a scheduler runs.

`runtime/record.h` has the same layout.  What is taken goes from the ring's own memory to a file: to look into events,
or to copy them, would cost more than the calls do.  Standard library only: it may run in emulation.
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
NUMBER = struct.Struct("<Q")  # what an event begins with: the order of calls, over all CPUs
HEAD = struct.Struct("<QIHHII")  # now, pid, hook, cpu, bytes of words asked for, bytes to the next event
ARGUMENTS = HEAD.size + 16  # the head, and two numbers
RESULT = ARGUMENTS + 8
WORDS = NUMBER.size + RESULT  # where an event's words begin
WORD = 10  # bytes of a word: its value, then its site
GAP = 2**64 - 1  # a number that means: from here to the end of the ring there is no event
MAP = "ts_rings"
RING = 4 << 20  # bytes of events that a CPU's ring holds
LIMIT, END, BEGUN, ENDED, LOST = range(5)  # the words that a ring begins with
NESTED = 16  # events that may begin where there is room for one: calls nest, and each may leave a gap
TRIES = 20  # to find a moment without a call under way on a CPU
PAUSE_S = 0.02  # a ring holds what a ping-pong does in a third of a second
PIECE = 1 << 20  # bytes written at once


# Takes a piece of a ring; once it returns, the memory may be reused.
Write = Callable[[memoryview], object]


def most(tape: int) -> int:
    """The most bytes that an event with room for so many words takes."""
    return WORDS + (1 << (tape * WORD).bit_length()) + 16


def _pages(size: int) -> int:
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE


def first(tape: int) -> int:
    """Where a ring's events begin: on the page after its words and after the place for calls that are lost."""
    return _pages(8 * (LOST + 1) + most(tape))


def ring_size(tape: int) -> int:
    """Bytes from one CPU's ring to the next."""
    return first(tape) + _pages(RING + most(tape))


class Ring:
    """The events of one CPU."""

    def __init__(self, memory: memoryview, tape: int) -> None:
        self._words = memory[: 8 * (LOST + 1)].cast("Q")
        self._events = memory[first(tape) :][:RING]
        self._spare = NESTED * most(tape)
        self._taken = 0

    @property
    def lost(self) -> int:
        """Calls for which there was no room."""
        return self._words[LOST]

    @property
    def left(self) -> int:
        """Bytes that were not taken yet."""
        return self._words[END] - self._taken

    def switch(self, on: bool) -> None:
        """Whether programs record their calls from now on, as long as there is room."""
        self._words[LIMIT] = self._taken + RING - self._spare if on else 0

    def take(self, write: Write) -> int:
        """Give all events to `write`, in pieces, and make room; return how many bytes.  0 while a call is under way."""
        words = self._words
        for _ in range(TRIES):
            ended, end = words[ENDED], words[END]
            # If every call that began had ended before we read `end`, everything before `end` is complete.
            if words[BEGUN] == ended:
                break
        else:
            return 0
        begin = self._taken
        if begin == end:
            return 0
        while self._taken < end:
            at = self._taken % RING
            piece = self._events[at : at + min(end - self._taken, PIECE)]
            write(piece)
            self._taken += len(piece)
        self.switch(True)
        return end - begin

    def close(self) -> None:
        self._words.release()
        self._events.release()


class Rings:
    """The rings of all CPUs, by the descriptor of their map."""

    def __init__(self, descriptor: int, cpus: int, tape: int) -> None:
        size = ring_size(tape)
        self._memory = mmap.mmap(descriptor, cpus * size)
        self._view = memoryview(self._memory)
        self._all = [Ring(self._view[n * size : (n + 1) * size], tape) for n in range(cpus)]

    @property
    def lost(self) -> int:
        return sum(ring.lost for ring in self._all)

    @property
    def left(self) -> int:
        return sum(ring.left for ring in self._all)

    def switch(self, on: bool) -> None:
        for ring in self._all:
            ring.switch(on)

    def take(self, write: Write) -> int:
        return sum(ring.take(write) for ring in self._all)

    def close(self) -> None:
        for ring in self._all:
            ring.close()
        self._view.release()
        self._memory.close()


def first_of_all() -> None:
    """Run before all tasks of the scheduler that this process watches, so as not to wait for it.

    Processes that it starts are ordinary tasks again.
    """
    os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))


class Drain:
    """Takes events out of rings, in a thread of its own, until it is told to end."""

    def __init__(self, rings: Rings, write: Write, close: Callable[[], object] = lambda: None) -> None:
        self._rings = rings
        self._write = write
        self._close = close
        self._stop = threading.Event()
        self.bytes = 0
        self.lost = 0  # calls for which there was no room; known at the end
        self.failure: OSError | None = None  # why nothing is recorded any more
        rings.switch(True)
        self._thread = threading.Thread(target=self._run, name="transect-ring", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        # A process that waits for its turn drains no ring in time.  One without the right to this is not root, and so
        # drains no kernel's rings.
        with suppress(PermissionError):
            first_of_all()
        while not self._stop.wait(PAUSE_S):
            self._all()

    def _all(self) -> None:
        if self.failure is None:
            try:
                self.bytes += self._rings.take(self._write)
            except OSError as error:
                self.failure = error.with_traceback(None)  # a traceback would hold on to a piece of a ring
                self._rings.switch(False)  # the scheduler goes on, and its further calls are lost

    def end(self) -> None:
        """Called when no call is under way: take everything that is left, and count the calls that were lost."""
        self._stop.set()
        self._thread.join()
        self._all()
        assert self.failure or not self._rings.left, "a call is under way in a version that no CPU is in"
        self.lost = self._rings.lost
        self._rings.close()
        self._close()


def possible(what: str) -> int:
    """How many CPUs (`cpu`) or nodes of memory (`node`) there may be, as the kernel numbers them."""
    with open(f"/sys/devices/system/{what}/possible") as file:
        return int(file.read().strip().rpartition("-")[2].rpartition(",")[2]) + 1


class RawFile:
    """The file in which a machine of its own leaves events for its host; the host takes them from the machine's memory,
    so no copy is made there.

    The host makes the file: it could itself write one made with O_DIRECT in whole blocks only.
    """

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_DIRECT)

    def write(self, data: memoryview) -> None:
        while data:
            data = data[os.write(self._descriptor, data) :]

    def close(self) -> None:
        os.close(self._descriptor)
