# SPDX-License-Identifier: Apache-2.0
"""Recording a scheduler: what comes out of its rings becomes a log, in the order in which calls began.

A log of this stratum holds, for each call:

arguments   as the kernel wrote them: u64 time (ns), u32 pid, u16 hook, u16 CPU, u32 bytes of words,
            u32 bytes in the ring; two i64, by hook:
            `select` CPU before and wake-up flags; `enqueue` flags; `keep`, `dispatch`, `alarm` CPU; `running` weight
            and the CPUs that it may run on, as a mask; `stopping` whether it can go on; `enter` weight;
            `detach` the process that has gone
tape        the words that the handler saw and said, i64 each, in their order; then a u16 for each: `recording.site`
result      i64

Every read of state is on the tape.  So a call replays by itself, whatever other CPUs did to the state meanwhile, and a
call that found no room in the ring is missing, and nothing else.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from transect.base.bounded import opened
from transect.core.codec import CodecError
from transect.core.ir import Program
from transect.core.schema import schema
from transect.cpu.ring import ARGUMENTS, GAP, HEAD, HOOKS, NUMBER, RING, WORD, WORDS, most
from transect.cpu.state_words import image_of
from transect.replay.log import Header, Policy, Record, Trailer
from transect.replay.writer import Writer

BUFFER = 256 << 20  # bytes that wait for the disk, since a ring fills faster than a busy disk writes


class Recording:
    """A log under way."""

    def __init__(self, path: Path, name: str, *, real: bool, cpus: int, tape: int, nodes: int = 1) -> None:
        """Raises FileExistsError, OSError."""
        self.path = path
        self._tape = tape
        self._writer = Writer(path, Header("cpu", name, real, {"cpus": cpus, "nodes": nodes}), buffer=BUFFER)
        self._rest = b""
        self._skip = 0  # bytes of a gap that are still to be skipped
        self._waiting: dict[int, bytes] = {}  # events by number, which wait for one that began earlier
        self._bound = cpus * (RING // WORDS)  # the most events that can wait: as many as all rings hold
        self._next = 0  # the number of the event that is next in the log
        self._numbers = 0  # how many numbers were given to recorded calls, as far as is known
        self._came = 0  # how many of these calls came
        self._sequence = 0
        self._hooks: list[int] = []

    def policy(self, program: Program, sources: Mapping[str, str], fields: Mapping[str, list[int]]) -> None:
        """The scheduler in force, and the words of its state by field."""
        self._hooks = [
            next((n for n, h in enumerate(program.handlers) if h.name == hook), -1) for hook in HOOKS
        ]
        # Tables stand as they are at first: what handlers read of them is on the tape, as are all their reads.
        layout = schema(program)
        self._writer.policy(Policy.of(program, layout, image_of(layout, fields, {}), sources=sources))

    def take(self, raw: bytes | memoryview) -> None:
        """Take events as they lie in the rings, one ring after the other.  Raises `CodecError` for bytes that no ring
        has.
        """
        data = b"".join((self._rest, raw))
        at, whole = self._skip, len(data)
        while at + WORDS <= whole:
            (number,) = NUMBER.unpack_from(data, at)
            if number == GAP:
                at += most(self._tape)
                continue
            end = at + self._size(data, at)
            if end > whole:
                break
            self._turn(number, data[at:end])
            at = end
        self._rest, self._skip = data[at:], max(at - whole, 0)

    def _size(self, data: bytes, at: int) -> int:
        """The size of the event there, in bytes."""
        _, _, hook, _, used, size = HEAD.unpack_from(data, at + NUMBER.size)
        kept = used if used <= self._tape * WORD else 0  # a call with more words is lost
        if hook >= len(HOOKS) or not WORDS + kept <= size <= most(self._tape):
            raise CodecError(f"no event: hook {hook}, {used} bytes of words in {size}")
        return int(size)

    def _turn(self, number: int, event: bytes) -> None:
        """Events of one CPU come in order, but events of different CPUs do not: put them in the order of
        their numbers.
        """
        self._numbers = max(self._numbers, number + 1)
        self._came += 1
        if number < self._next:
            self._add(event)  # it comes later than anything that could be waiting for it
            return
        self._waiting[number] = event
        if len(self._waiting) > self._bound:
            self._next = min(self._waiting)
        while self._next in self._waiting:
            self._add(self._waiting.pop(self._next))
            self._next += 1

    def _add(self, event: bytes) -> None:
        _, pid, hook, _, used, _ = HEAD.unpack_from(event, NUMBER.size)
        count = used // WORD
        if count > self._tape:
            self._writer.drop()
            return
        pairs, columns = _forms(count)
        words = pairs.unpack_from(event, WORDS)
        self._writer.add(
            Record(
                self._sequence,
                0,
                self._hooks[hook],
                pid,
                event[NUMBER.size : NUMBER.size + ARGUMENTS],
                columns.pack(*words[::2], *words[1::2]),
                event[NUMBER.size + ARGUMENTS : WORDS],
            )
        )
        self._sequence += 1

    def take_file(self, path: Path) -> None:
        """Events from a file, no faster than the disk takes the log."""
        with opened(path) as file:
            while data := file.read(1 << 20):
                self.take(data)
                self._writer.settle(BUFFER // 2)

    def close(self, lost: int, failure: str = "") -> Trailer:
        """`lost`: calls that found no room in the ring; `failure`: why later ones were not kept at all.

        Raises OSError when a disk did not take everything.
        """
        for number in sorted(self._waiting):
            self._add(self._waiting[number])
        if self._came > self._numbers:
            failure = failure or "calls are there that have the number of another one"
        self._writer.drop(lost + max(0, self._numbers - self._came) + bool(failure))
        trailer = self._writer.close({})
        if failure:
            raise OSError(failure)
        return trailer


@cache
def _forms(count: int) -> tuple[struct.Struct, struct.Struct]:
    """Formats of that many words: as in a ring, each with its site; and as in a log."""
    return struct.Struct("<" + "qH" * count), struct.Struct(f"<{count}q{count}H")


class Head(NamedTuple):
    """What stands before the words of a call."""

    now: int  # ns
    pid: int
    cpu: int
    args: tuple[int, int]


ARGS = struct.Struct("<qq")


def head(record: Record) -> Head:
    """The head of a record.  Raises `CodecError`."""
    if len(record.arguments) != ARGUMENTS:
        raise CodecError(f"a call of a scheduler has {ARGUMENTS} bytes of arguments: {len(record.arguments)}")
    now, pid, _, cpu, *_ = HEAD.unpack_from(record.arguments)
    return Head(now, pid, cpu, ARGS.unpack_from(record.arguments, HEAD.size))
