# SPDX-License-Identifier: Apache-2.0
"""Recording scans: one record a round, whose tape holds every read of the target's physical memory.

What a probe sees are references into memory; what is recorded lies below them, so that a replay follows the same
pointers through the same bytes.

tape       for each read: `a`, then bytes: physical address (u64), and what was there
result     JSON of what was reported
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transect.core.schema import schema
from transect.core.types import BYTES
from transect.lang.tape import LiveTape
from transect.linux.errors import KernelDataError
from transect.linux.physical import Physical, Range
from transect.memory.findings import Said, printable
from transect.memory.machine import Machine
from transect.memory.scan import Prepared
from transect.replay.log import Header, Policy, Trailer
from transect.replay.log import Record as Logged
from transect.replay.tape import RecordingTape, ReplayingTape, TapeMismatch
from transect.replay.writer import Writer

READ = "memory.read"
TYPES = {READ: BYTES}
PAGE = 4096
LIMIT = 1 << 27  # bytes of one round: the kernel's text is 20 MB


class ScanTape(RecordingTape):
    """Records reads of memory; functions of the stratum are called without being recorded."""

    def __init__(self) -> None:
        super().__init__(LiveTape(), TYPES, LIMIT)

    def answer(self, intrinsic: str, ask: Callable[[], object]) -> object:
        return super().answer(intrinsic, ask) if intrinsic == READ else ask()


class RescanTape(ReplayingTape):
    """Answers reads from a record."""

    def __init__(self, entries: bytes) -> None:
        super().__init__(entries, TYPES)

    def answer(self, intrinsic: str, ask: Callable[[], object]) -> object:
        return super().answer(intrinsic, ask) if intrinsic == READ else ask()

    def read(self, address: int, size: int) -> bytes:
        """The next read, which must be this one."""
        answer = self.answer(READ, lambda: b"")
        assert isinstance(answer, bytes)
        if int.from_bytes(answer[:8], "little") != address or len(answer) not in (8, 8 + size):
            raise TapeMismatch(
                f"{size} bytes at physical {address:#x} are asked for, which were not read then"
            )
        if len(answer) == 8 and size:
            raise KernelDataError(f"physical {address:#x} could not be read")
        return answer[8:]


class AnyOrder(RescanTape):
    """Gives what was read of an address to whoever asks for it; the same read, made again, what it came to then."""

    def __init__(self, entries: bytes) -> None:
        super().__init__(entries)
        self._same: dict[tuple[int, int], deque[bytes]] = {}  # by address and size
        self._pages: dict[int, list[tuple[int, bytes]]] = {}  # what was read of each page
        self._unreadable: set[int] = set()
        while self.left:
            self._know(super().answer(READ, lambda: b""))

    def _know(self, answer: object) -> None:
        assert isinstance(answer, bytes)
        address, data = int.from_bytes(answer[:8], "little"), answer[8:]
        if not data:
            self._unreadable.add(address)
            return
        self._same.setdefault((address, len(data)), deque()).append(data)
        for page in range(address // PAGE, (address + len(data) - 1) // PAGE + 1):
            self._pages.setdefault(page, []).append((address, data))

    def read(self, address: int, size: int) -> bytes:
        same = self._same.get((address, size))
        if same:
            return same.popleft() if len(same) > 1 else same[0]
        for start, data in self._pages.get(address // PAGE, ()):
            if start <= address and address + size <= start + len(data):
                return data[address - start : address - start + size]
        if address in self._unreadable:
            raise KernelDataError(f"physical {address:#x} could not be read")
        raise TapeMismatch("it reads memory that the version in force does not read")


@dataclass
class Tapped:
    """Physical memory whose reads go onto a tape, while there is one."""

    memory: Physical
    tape: ScanTape | None = None

    @property
    def ranges(self) -> Sequence[Range]:
        return self.memory.ranges

    @property
    def live(self) -> bool:
        return self.memory.live

    def read(self, address: int, size: int) -> bytes:
        if self.tape is None:
            return self.memory.read(address, size)
        place = address.to_bytes(8, "little")
        try:
            data = self.memory.read(address, size)
        except KernelDataError:
            self.tape.answer(READ, lambda: place)
            raise
        self.tape.answer(READ, lambda: place + data)
        return data


@dataclass
class Replayed:
    """Physical memory as it was read then."""

    ranges: Sequence[Range]
    tape: RescanTape | None = None
    live: bool = False

    def read(self, address: int, size: int) -> bytes:
        assert self.tape is not None, "a read outside of a round"
        return self.tape.read(address, size)


def result_of(said: Sequence[Said], problem: str = "") -> bytes:
    """The result of a round, as a record holds it."""
    lines: list[Any] = [[s.what, {n: printable(v) for n, v in s.evidence}] for s in said]
    return json.dumps({"said": lines, "problem": problem}, sort_keys=True).encode()


class LogRecorder:
    """Writes every round into a log."""

    def __init__(self, machine: Machine, path: Path, notes: Mapping[str, Any]) -> None:
        """Raises OSError; FileExistsError if the file exists already."""
        self._machine = machine
        self._tapped = Tapped(machine.physical)
        machine.physical = self._tapped
        self._writer = Writer(path, Header("memory", machine.name, True, notes), buffer=LIMIT * 2)
        self._numbers: dict[str, int] = {}
        self._rounds = 0

    def round(self, prepared: Prepared, machine: Machine) -> tuple[tuple[Said, ...], tuple[Said, ...]]:
        program = prepared.program
        if program.name not in self._numbers:
            start = prepared.instance.image()
            policy = Policy.of(program, schema(program), start, sources={})
            self._numbers[program.name] = self._writer.policy(policy)
        tape = self._tapped.tape = ScanTape()
        problem = ""
        try:
            return prepared.round(machine, tape)
        except KernelDataError as error:
            problem = str(error)
            raise
        finally:
            self._tapped.tape = None
            self._keep(self._numbers[program.name], prepared, tape, problem)

    def _keep(self, number: int, prepared: Prepared, tape: ScanTape, problem: str) -> None:
        self._rounds += 1
        if tape.overflowed or problem:
            self._writer.drop()  # a round that broke off cannot be compared
            return
        result = result_of(prepared.said)
        self._writer.add(Logged(self._rounds, number, 0, 0, b"", bytes(tape.entries), result))

    def close(self) -> Trailer:
        """End the log, and return what it holds.  Raises OSError if the disk did not take all of it."""
        if isinstance(self._machine.physical, Tapped):
            self._machine.physical = self._tapped.memory
        return self._writer.close({})
