# SPDX-License-Identifier: Apache-2.0
"""A stack in force: its parts begun in order, each kept running, ended in the reverse order."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path

from transect.base.weights import Weights, written
from transect.control.stopping import Stop
from transect.stack.model import Part, StackFile
from transect.stack.process import LOOK_S, Process, Say, State, how


class NotBegun(Exception):
    """A part that ended before it was ready, for the first time: something is wrong with it."""


class Running:
    """The parts of one stack, as processes.  `lock` is held while they are looked at or changed."""

    def __init__(self, stack: StackFile, folder: Path, say: Say) -> None:
        """`folder`: for the stack's own files, which are removed with it.  Raises `NoWeights` if the file of weights
        has become invalid since it was read.
        """
        self.stack = stack
        self.lock = threading.RLock()
        self.processes: list[Process] = []
        self._say = say
        self._weights = folder / "tenants.toml"
        self._stop = Stop()
        self.put_weights(stack)
        self._followed = Weights(self._weights)

    def process(self, name: str) -> Process | None:
        return next((p for p in self.processes if p.part.name == name), None)

    # ------------------------------------------------------------ weights

    def put_weights(self, stack: StackFile) -> None:
        """Every part follows one file: ours, or a link to the operator's."""
        made = self._weights.with_suffix(".new")
        made.unlink(missing_ok=True)
        if stack.tenants is not None:
            made.symlink_to(stack.tenants)
        else:
            made.write_text(written(stack.weights))
        os.replace(made, self._weights)

    def weights(self) -> Mapping[str, int]:
        """The weights of tenants that are in force."""
        return self._followed.now()

    # ------------------------------------------------------------ all parts

    def begin(self, stop: Stop) -> None:
        """Each part in its turn, when the one before is ready.  Raises `NotBegun`, `Unavailable`."""
        self._stop = stop
        for part in self.stack.parts:
            self.put(part)
            if stop.is_set():
                return

    def look(self) -> None:
        with self.lock:
            for process in self.processes:
                process.look()

    def end(self) -> None:
        """The last part first."""
        with self.lock:
            for process in reversed(self.processes):
                process.end()

    # ------------------------------------------------------------ one part

    def put(self, part: Part) -> None:
        """Start the part in place of the one of its name, and return when it is ready.

        Raises `NotBegun`, `Unavailable`; then no part of that name runs.
        """
        with self.lock:
            old = self.process(part.name)
            process = Process(part, self._weights, self._say)
            if old is None:
                self.processes.append(process)
            else:
                old.end()
                self.processes[self.processes.index(old)] = process
            process.begin()
            self._wait(process)

    def _wait(self, process: Process) -> None:
        while process.state is State.BEGINS and not self._stop.wait(LOOK_S):
            self.look()
        match process.state:
            case State.READY:
                process.kept = True
                self._say(process.part.name, "is ready")
            case State.GONE:
                process.end()
                raise NotBegun(f"the part `{process.part.name}` {how(process.exit())} before it was ready")
            case _:
                pass  # all are to end

    def remove(self, name: str) -> None:
        """End that part, if there is one."""
        with self.lock:
            if (process := self.process(name)) is not None:
                process.end()
                self.processes.remove(process)

    def adopt(self, part: Part) -> None:
        """Use this version of the part for later restarts, after it was changed while it runs."""
        process = self.process(part.name)
        assert process is not None, "it runs"
        process.part = part
