# SPDX-License-Identifier: Apache-2.0
"""`transect run`: a stack in force in the foreground, until it is told to stop."""

from __future__ import annotations

import tempfile
from pathlib import Path

from transect.base.render import render_text
from transect.base.weights import NoWeights
from transect.control.operating import Operated
from transect.control.stopping import stopping
from transect.stack.file import read_stack
from transect.stack.host import StackHost
from transect.stack.process import LOOK_S, Say
from transect.stack.running import Running


class Invalid(Exception):
    """The stack cannot be put in force; the text is the rendered diagnostics."""


def run(path: Path, name: str | None, say: Say) -> None:
    """Until SIGINT or SIGTERM.  `name`: of the instance, else the file's.

    Raises `Invalid`, `running.NotBegun`, `Unavailable`, `server.Taken`.
    """
    read = read_stack(path, name)
    if read.stack is None:
        raise Invalid(render_text(read.diagnostics, read.sources))
    stack = read.stack
    with stopping() as stop, tempfile.TemporaryDirectory(prefix="transect-stack-") as folder:
        try:
            running = Running(stack, Path(folder), say)
        except NoWeights as wrong:
            raise Invalid(f"{stack.tenants} {wrong}") from wrong
        try:
            with Operated("stack", stack.name, StackHost(running)).serve() as server:
                running.begin(stop)
                if not stop.is_set():
                    say(
                        "",
                        f"all parts are ready; transect status {server.name} shows them, Ctrl-C stops them",
                    )
                while not stop.wait(LOOK_S):
                    running.look()
        finally:
            running.end()
