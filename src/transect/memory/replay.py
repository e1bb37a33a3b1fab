# SPDX-License-Identifier: Apache-2.0
"""Re-running a log of scans: the same probes, or others, on the memory that was read then.

The kernel's package is not in the log: its image is looked for on this machine by the release, and must have the
recorded hash.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from transect.base.unavailable import Unavailable
from transect.core.codec import CodecError
from transect.core.ir import Program
from transect.linux import stored
from transect.linux.errors import KernelDataError
from transect.linux.kaslr import Location
from transect.linux.physical import Physical, Range
from transect.memory import questions
from transect.memory.machine import Known, Machine
from transect.memory.record import AnyOrder, Replayed, RescanTape, result_of
from transect.memory.scan import Prepared, prepare
from transect.memory.target import packages
from transect.replay.compare import Answers, Call
from transect.replay.log import Log, LogError
from transect.replay.log import Record as Logged


def notes_of(machine: Machine, kernel: Path | None) -> dict[str, Any]:
    """What the head of a log says of the target.  Raises `KernelDataError` without the kernel's package."""
    image = machine.known.image
    if image is None:
        raise KernelDataError("a scan can be recorded with the kernel's package only: give it by --kernel")
    where = machine.where
    return {
        "target": machine.name,
        "release": machine.known.release,
        "sha256": image.sha256,
        "kernel": "" if kernel is None else str(kernel),
        "where": [where.base, where.slide, where.levels, where.root, where.linear],
        "ranges": [[r.start, r.end] for r in machine.physical.ranges],
    }


class _Notes(msgspec.Struct):
    """What `notes_of` wrote."""

    target: str
    release: str
    sha256: str  # of the kernel's image
    kernel: str  # the path of its package, if the recording had one
    where: tuple[int, int, int, int, int]
    ranges: list[tuple[int, int]]


class MemoryDecoder:
    """The decoder of logs whose stratum is `memory`."""

    def __init__(self, log: Log) -> None:
        try:
            notes = msgspec.convert(log.header.notes, _Notes)
        except ValueError as wrong:
            raise LogError(f"the log does not say where the target's kernel was: {wrong}") from wrong
        self._memory = Replayed([Range(start, end) for start, end in notes.ranges])
        self._machine = Machine(
            notes.target, _as_physical(self._memory), _known(notes), Location(*notes.where)
        )
        self._answers = questions.Answers(self._machine)
        self._prepared: dict[str, Prepared] = {}

    def whose(self, program: Program, hook: str, record: Logged, answers: Answers) -> tuple[str, str]:
        """The target, and the round."""
        return self._machine.name, f"round {record.sequence}"

    def forget(self, program: Program, instance: int) -> None:
        """Nothing is kept between rounds."""

    def tells_end(self, policy: int, policies: int) -> bool:
        return False

    def call(self, program: Program, hook: str, record: Logged) -> Call:
        """The round that a record describes."""
        return self._round(program, RescanTape(record.tape))

    def beside(self, program: Program, hook: str, record: Logged) -> Call:
        """A round of another version on the memory that this round read, in any order."""
        return self._round(program, AnyOrder(record.tape))

    def _round(self, program: Program, tape: RescanTape) -> Call:
        prepared = self._of(program)
        self._memory.tape = tape
        problem = prepared.begin(self._machine)
        given = prepared.given
        return Call(
            [],
            lambda _: result_of(prepared.said, problem),
            prepared.functions,
            tape=tape,
            given=given,
        )

    def words(self, program: Program, hook: str, result: bytes) -> str:
        """What a round reported, in words."""
        try:
            told = msgspec.json.decode(result, type=_Round)
        except (ValueError, RecursionError) as wrong:
            raise CodecError(str(wrong)) from wrong
        said = "; ".join(f"{what} {evidence}" for what, evidence in told.said)
        return told.problem or said or "nothing"

    def _of(self, program: Program) -> Prepared:
        key = f"{program.name} {program.source_hash}"
        if key not in self._prepared:
            try:
                self._prepared[key] = prepare(program, self._machine, self._answers)
            except KernelDataError as error:
                raise LogError(f"{program.name} does not fit the recorded kernel: {error}") from error
        return self._prepared[key]


class _Round(msgspec.Struct):
    """What `result_of` wrote."""

    said: list[tuple[str, dict[str, Any]]]
    problem: str


def _as_physical(memory: Replayed) -> Physical:
    return memory


def _known(notes: _Notes) -> Known:
    """The recorded kernel's image, wherever it lies here; a file that the log names is accepted only with the right
    hash.
    """
    named = [Path(notes.kernel)] if notes.kernel and Path(notes.kernel).is_file() else []
    for path in [*named, *packages(notes.release)]:
        try:
            image = stored.image(path)
        except (KernelDataError, Unavailable, OSError):
            continue
        if image.sha256 == notes.sha256:
            return Known.of(image)
    raise LogError(f"the log was recorded of Linux {notes.release}; its image is not on this machine")
