# SPDX-License-Identifier: Apache-2.0
"""Re-running a log of scans: the same probes, or another, on the memory that was read then.

The kernel's package is not in the log: its image must be found by its release, and have the recorded hash.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transect.base.unavailable import Unavailable
from transect.core.ir import Program
from transect.linux import stored
from transect.linux.errors import KernelDataError
from transect.linux.kaslr import Location
from transect.linux.physical import Physical, Range
from transect.memory import asked
from transect.memory.machine import Known, Machine
from transect.memory.record import Replayed, RescanTape, result_of
from transect.memory.scan import Prepared, prepare
from transect.memory.target import packages
from transect.replay.compare import Call
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


class MemoryDecoder:
    """The decoder of logs whose stratum is `memory`."""

    def __init__(self, log: Log) -> None:
        notes = log.header.notes
        if "where" not in notes:
            raise LogError("the log does not say where the target's kernel was")
        ranges = [Range(start, end) for start, end in notes["ranges"]]
        self._memory = Replayed(ranges)
        self._machine = Machine(
            notes["target"], _as_physical(self._memory), _known(notes), Location(*notes["where"])
        )
        self._answers = asked.Answers(self._machine)
        self._prepared: dict[str, Prepared] = {}

    def call(self, program: Program, hook: str, record: Logged) -> Call:
        """The round that a record describes."""
        prepared = self._of(program)
        tape = self._memory.tape = RescanTape(record.tape)
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
        """What a round said."""
        told = json.loads(result)
        said = "; ".join(f"{what} {evidence}" for what, evidence in told["said"])
        return told["problem"] or said or "nothing"

    def _of(self, program: Program) -> Prepared:
        key = f"{program.name} {program.source_hash}"
        if key not in self._prepared:
            try:
                self._prepared[key] = prepare(program, self._machine, self._answers)
            except KernelDataError as error:
                raise LogError(f"{program.name} does not fit the recorded kernel: {error}") from error
        return self._prepared[key]


def _as_physical(memory: Replayed) -> Physical:
    return memory


def _known(notes: Mapping[str, Any]) -> Known:
    paths = [Path(notes["kernel"])] if notes["kernel"] else []
    for path in [*paths, *packages(notes["release"])]:
        try:
            image = stored.image(path)
        except (KernelDataError, Unavailable, OSError):
            continue
        if image.sha256 == notes["sha256"]:
            return Known.of(image)
    raise LogError(f"the log was recorded of Linux {notes['release']}; its image is not on this machine")
