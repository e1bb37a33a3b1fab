# SPDX-License-Identifier: Apache-2.0
"""What an attached chain does for its operator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transect.control.answers import Told
from transect.control.host import Outcome, Trailer
from transect.control.operating import NATIVE
from transect.control.params import Param
from transect.core.ir import Program
from transect.rpc.chain.status import told
from transect.rpc.grpcio.attached import Attached


class GrpcioHost:
    """An attached chain, as `control.host.Host` wants it."""

    def __init__(self, chain: Attached) -> None:
        self._chain = chain

    @property
    def programs(self) -> Sequence[Program]:
        return self._chain.programs

    @property
    def version(self) -> int:
        return self._chain.number

    @property
    def recording(self) -> Path | None:
        recording = self._chain.recording
        return None if recording is None else recording.path

    def told(self) -> Told:
        chain = self._chain
        now = chain.now  # an upgrade may come meanwhile
        programs = [element.program for element in now.binding.elements]
        traces = {"traced": now.traced.written, "traces_left_out": now.traced.left_out}
        return told(
            chain.carrier,
            programs,
            [now.handle.save(index) for index in range(len(programs))],
            {**now.handle.counts, "open": now.handle.open, **traces},
            settled=chain.settled,
            runs_as=f"Python: {now.reason}" if now.reason else NATIVE,
        )

    def change(self, param: Param, value: object) -> object:
        return param.swapped(self._chain.swap, value)

    def record(self, path: Path, name: str) -> int:
        return self._chain.record(path).under_way

    def end_record(self) -> Trailer:
        return self._chain.end_record()

    def upgrade(self, path: Path, automatic_return: bool) -> Outcome:
        return Outcome(self._chain.upgrade(path, automatic_return))

    def go_back(self) -> Outcome:
        return Outcome(self._chain.go_back())
