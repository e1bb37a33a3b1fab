# SPDX-License-Identifier: Apache-2.0
"""Logs of schedulers that tests write by hand: each call with the words that it saw and said."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

from transect.core.ir import Program
from transect.cpu.record import Recording
from transect.cpu.replay import CpuDecoder
from transect.cpu.ring import HEAD, HOOKS, NUMBER, WORD, WORDS
from transect.emit.bpf.recording import site
from transect.replay import Comparison, Log, compare, read

TAPE = 40  # words that an event has room for
Word = tuple[str, int]


def event(
    hook: str,
    words: Sequence[Word] = (),
    *,
    args: tuple[int, int] = (0, 0),
    result: int = 0,
    pid: int = 7,
    now: int = 0,
    cpu: int = 0,
) -> bytes:
    """One call as a ring has it, but for its number."""
    kept = b"".join(struct.pack("<qH", word, site(name)) for name, word in words[:TAPE])
    size = WORDS + -(-len(kept) // 8) * 8
    head = HEAD.pack(now, pid, HOOKS.index(hook), cpu, WORD * len(words), size)
    return (bytes(NUMBER.size) + head + struct.pack("<qqq", *args, result) + kept).ljust(size, b"\0")


def numbered(*events: bytes) -> list[bytes]:
    """The calls in the order in which they began."""
    return [NUMBER.pack(n) + event[NUMBER.size :] for n, event in enumerate(events)]


def log_of(folder: Path, program: Program, *events: bytes, lost: int = 0, piece: int = 1 << 20) -> Log:
    """What `cpu record` leaves of these calls."""
    path = folder / "log"
    path.unlink(missing_ok=True)
    recording = Recording(path, "p", real=False, cpus=4, tape=TAPE)
    recording.policy(program, {}, {})
    raw = b"".join(numbered(*events))
    for at in range(0, len(raw), piece):
        recording.take(raw[at : at + piece])
    recording.close(lost)
    return read(path)


def replayed(log: Log) -> Comparison:
    decoder = CpuDecoder(log)
    return compare(log, decoder, runner=decoder.runner)
