# SPDX-License-Identifier: Apache-2.0
"""`transect run`: a stack in force in the foreground, until it is told to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from transect.base.render import render_text
from transect.base.temporary import Temporary
from transect.base.weights import NoWeights
from transect.control.operating import Operated
from transect.control.prometheus import Exporter
from transect.control.stopping import stopping
from transect.rpc.chain.address import Endpoint
from transect.stack.file import read_stack
from transect.stack.host import StackHost
from transect.stack.metrics import exposition
from transect.stack.process import LOOK_S, Say
from transect.stack.running import Running


class Invalid(Exception):
    """The stack cannot be put in force; the text is the rendered diagnostics."""


def run(path: Path, name: str | None, say: Say, metrics: Endpoint | None = None) -> None:
    """Run the stack until SIGINT or SIGTERM. `name`: of the instance, by default the file's; `metrics`: the address for
    Prometheus.

    Raises `Invalid`, `running.NotBegun`, `Unavailable`, `server.Taken`.
    """
    read = read_stack(path, name)
    if read.stack is None:
        raise Invalid(render_text(read.diagnostics, read.sources))
    stack = read.stack
    with stopping() as stop, Temporary("transect-stack-") as folder:
        try:
            running = Running(stack, Path(folder), say)
        except NoWeights as wrong:
            raise Invalid(f"{stack.tenants} {wrong}") from wrong
        try:
            host = StackHost(running)
            with (
                Operated("stack", stack.name, host).serve() as server,
                _exported(metrics, partial(_metrics, host), say),
            ):
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


def _metrics(host: StackHost) -> str:
    return exposition(host.running.stack.name, host.told())


@contextmanager
def _exported(at: Endpoint | None, text: Callable[[], str], say: Say) -> Iterator[None]:
    """A server of metrics, where one is wanted."""
    if at is None:
        yield
        return
    exporter = Exporter(at.host, at.port, text)
    say("", f"metrics: http://{exporter.address}/metrics")
    try:
        yield
    finally:
        exporter.close()
