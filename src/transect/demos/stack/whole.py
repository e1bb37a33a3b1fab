# SPDX-License-Identifier: Apache-2.0
"""The demonstration's stack in force, from one way of sharing to the next."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from transect.control import Client
from transect.control.answers import Status
from transect.control.operating import Operated
from transect.control.stopping import Stop
from transect.demos.stack.files import Files, Sharing
from transect.demos.stack.load import Clients, Load
from transect.demos.stack.seen import Window
from transect.stack.file import read_stack
from transect.stack.host import StackHost
from transect.stack.model import StackFile
from transect.stack.running import Running
from transect.stack.top import view
from transect.stack.upgrading import Upgrade


class Whole:
    """The running stack, each part a process; it ends with the block of `begun`."""

    def __init__(self, files: Files, running: Running) -> None:
        self.files, self.running = files, running
        self.client = Client("stack", running.stack.name)

    def share(self, sharing: Sharing) -> Mapping[str, str]:
        """Put another way of sharing in force; what became of each part.  Raises `Refused`."""
        self.files.write(sharing)
        return self.upgrade()

    def upgrade(self) -> Mapping[str, str]:
        """Put the files as they are now in force, as `transect upgrade` does.  Raises `Refused`."""
        return Upgrade(self.running, read(self.files), True).run()

    def loaded(self, name: str, loads: Mapping[str, Load], seconds: float) -> Window:
        """Run these tenants' loads for so many seconds."""
        told: list[tuple[float, Status]] = []

        def look() -> None:
            told.append((time.monotonic(), self.client.status()))

        def watch() -> None:
            look()
            time.sleep(seconds)
            look()

        came = asyncio.run(Clients(self.files).run(loads, watch))
        (began, before), (ended, after) = told
        return Window(name, ended - began, came, view(before, after, ended - began))


def read(files: Files) -> StackFile:
    stack = read_stack(files.stack, files.name).stack
    assert stack is not None, "the demo's own stack file is wrong"
    return stack


@contextmanager
def begun(files: Files, sharing: Sharing) -> Iterator[Whole]:
    """The stack, running until the block ends.  Raises `NotBegun`, `Unavailable`."""
    files.write(sharing)
    said: list[str] = []
    with tempfile.TemporaryDirectory(prefix="transect-stack-") as own:
        running = Running(read(files), Path(own), lambda part, line: said.append(f"{part}: {line}"))
        try:
            with Operated("stack", running.stack.name, StackHost(running)).serve():
                running.begin(Stop())
                yield Whole(files, running)
        finally:
            running.end()
