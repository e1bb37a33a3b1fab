# SPDX-License-Identifier: Apache-2.0
"""Recording a scheduler: what comes out of its ring becomes a log.

A log of this stratum holds, for each call:

arguments   as the kernel wrote them: u64 time (ns), u32 pid, u16 hook, u16 CPU, u64 words; two i64, by hook:
            `select` CPU before and wake-up flags; `enqueue` flags; `keep`, `dispatch`, `alarm` CPU; `running` weight
            and the CPUs that it may run on, as a mask; `stopping` whether it can go on; `enter` weight;
            `detach` the process that has gone
tape        the words that the handler saw and said, i64 each, in their order; then a u16 for each: `recording.site`
result      i64

Every read of state is on the tape.  So a call replays by itself, whatever other CPUs did to the state meanwhile, and a
call that found no room in the ring is missing, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from transect.core.ir import Program
from transect.core.schema import schema
from transect.cpu.ring import ARGUMENTS, HEAD, HOOKS, MARK, RESULT, stride
from transect.cpu.words import image_of
from transect.replay.log import Header, Policy, Record, Trailer
from transect.replay.writer import Writer

BUFFER = 256 << 20  # bytes that wait for the disk: a ring fills faster than a busy disk writes


class Recording:
    """A log under way."""

    def __init__(self, path: Path, name: str, *, real: bool, cpus: int, tape: int, nodes: int = 1) -> None:
        """Raises FileExistsError, OSError."""
        self.path = path
        self._tape = tape
        self._writer = Writer(path, Header("cpu", name, real, {"cpus": cpus, "nodes": nodes}), buffer=BUFFER)
        self._rest = b""
        self._sequence = 0
        self._hooks: list[int] = []

    def policy(self, program: Program, sources: Mapping[str, str], fields: Mapping[str, list[int]]) -> None:
        """The scheduler in force, and the words of its state by field."""
        self._hooks = [
            next((n for n, h in enumerate(program.handlers) if h.name == hook), -1) for hook in HOOKS
        ]
        # Tables stand as they are at first: what handlers read of them comes by the tape, as all that they read does.
        layout = schema(program)
        self._writer.policy(Policy.of(program, layout, image_of(layout, fields, {}), sources=sources))

    def take(self, raw: bytes) -> None:
        """Events as the ring had them."""
        data = self._rest + raw
        step, room = stride(self._tape), self._tape
        whole = len(data) - len(data) % step
        self._rest = data[whole:]
        for at in range(MARK, whole + MARK, step):
            _, pid, hook, _, count = HEAD.unpack_from(data, at)
            if count > room:
                self._writer.drop()
                continue
            words, sites = at + RESULT, at + RESULT + 8 * room
            self._writer.add(
                Record(
                    self._sequence,
                    0,
                    self._hooks[hook],
                    pid,
                    data[at : at + ARGUMENTS],
                    data[words : words + 8 * count] + data[sites : sites + 2 * count],
                    data[at + ARGUMENTS : at + RESULT],
                )
            )
            self._sequence += 1

    def take_file(self, path: Path) -> None:
        """Events from a file, no faster than the disk takes the log."""
        with open(path, "rb") as file:
            while data := file.read(1 << 20):
                self.take(data)
                self._writer.settle(BUFFER // 2)

    def close(self, lost: int, failure: str = "") -> Trailer:
        """`lost`: calls that found no room in the ring; `failure`: why later ones were not kept at all.

        Raises OSError when a disk did not take everything.
        """
        for _ in range(lost + bool(failure)):
            self._writer.drop()
        trailer = self._writer.close({})
        if failure:
            raise OSError(failure)
        return trailer
