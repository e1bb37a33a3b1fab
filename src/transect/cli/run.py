# SPDX-License-Identifier: Apache-2.0
"""`transect run`."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Annotated

import typer

from transect.cli.exits import Exit
from transect.cli.failure import refused, tell
from transect.cli.options import Metrics, Name, place_of


def run(
    stack: Annotated[
        Path,
        typer.Argument(metavar="STACK", exists=True, dir_okay=False, help="A file with `stack = Stack(…)`."),
    ],
    name: Name = None,
    metrics: Metrics = None,
) -> int:
    """Put a whole stack in force, until Ctrl-C: chains, gateways, schedulers, watches, and programs of your own.

    The file is parsed, never imported, and everything that it names is checked before anything starts. Parts start in
    order, each when the one before it is ready; a part that ends is started again; they end in the reverse order.
    """
    from transect.control.server import Taken
    from transect.stack.run import Invalid
    from transect.stack.run import run as serve
    from transect.stack.running import NotBegun

    place = place_of("--metrics", metrics)
    lock = threading.Lock()

    def say(part: str, line: str) -> None:
        with lock:
            print(f"{part:10}| {line}" if part else f"transect: {line}", flush=True)

    try:
        serve(stack, name, say, place)
    except Invalid as wrong:
        return refused(wrong)
    except NotBegun as wrong:
        tell(f"{wrong}; its output is above")
        return Exit.NO
    except Taken as taken:
        tell(taken)
        return Exit.UNAVAILABLE
    return Exit.DONE
