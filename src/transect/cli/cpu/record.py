# SPDX-License-Identifier: Apache-2.0
"""`transect cpu record`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from transect.base.bounded import is_file
from transect.cli.failure import usage
from transect.cli.live.record import End, Output, recorded


def record(
    log: Output = None,
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="POLICY|NAME",
            show_default=False,
            help="A scheduler's file, to put in force; or the name of one in force.",
        ),
    ] = None,
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="-- COMMAND",
            show_default=False,
            help="With a file: run this command under the scheduler, and end when it ends.",
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            "--for",
            metavar="SECONDS",
            show_default=False,
            help="For one in force: how long to record; without it, until Ctrl-C.",
        ),
    ] = None,
    vm: Annotated[
        bool,
        typer.Option("--vm", help="With a file: in a virtual machine with a recent kernel; without root."),
    ] = False,
    cpus: Annotated[int, typer.Option(metavar="N", min=1, max=64, help="With --vm: processors.")] = 2,
    end: End = False,
) -> int:
    """Write every call of a scheduler into a log, for `transect replay`.

    A call is recorded with all that it read, the result of each update, and what it asked of the kernel. The exit code
    is 4 when calls were dropped: such a log does not prove anything.
    """
    file = Path(what) if what is not None and is_file(what) else None
    if file is None or end or log is None:
        if file is None and (command or vm):
            return usage(f"no such file: {what}", "a command runs under a scheduler's file")
        return recorded("cpu", what, log, seconds, end=end)
    if log.exists():
        return usage(f"{log} exists, and is not overwritten", "give another path")
    from transect.cli.cpu.run import under

    return under(file, vm=vm, cpus=cpus, command=command or (), log=log)
