# SPDX-License-Identifier: Apache-2.0
"""`transect vm`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from transect.base.unavailable import Unavailable
from transect.cli.exits import Exit
from transect.cli.failure import tell, usage


def vm(
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="-- COMMAND", show_default=False, help="What to run in the machine."),
    ] = None,
    version: Annotated[
        str,
        typer.Option("--version", metavar="X.Y[.Z]", help="A Debian kernel by its version; else the newest."),
    ] = "",
    kernel: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", exists=True, dir_okay=False, help="Your own kernel: vmlinuz or vmlinux."
        ),
    ] = None,
    job: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            exists=True,
            file_okay=False,
            help="The one folder that it may write to ($TRANSECT_JOB); else a fresh one.",
        ),
    ] = None,
    cpus: Annotated[int, typer.Option(metavar="N", min=1, max=64, help="Processors.")] = 2,
    memory: Annotated[int, typer.Option(metavar="MIB", min=256, help="Memory.")] = 1024,
    limit: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, help="Kill the command after this time.")
    ] = 300,
) -> int:
    """Run a command in a throw-away virtual machine with a recent kernel; the exit code is the command's.

    The command can read the files of this machine, and change them only in the job folder. No root is needed. Kernels
    come from Debian's archive, with their signatures checked; each is fetched once and kept in ~/.cache/transect.
    """
    if not command:
        return usage("no command to run", "transect vm -- uname -r")
    from transect.vm import NotStarted, Setup, TimeLimit, Vm, VmError, find, own

    try:
        chosen = own(kernel) if kernel else find(version, say=_say)
        setup = Setup(chosen, cpus=cpus, memory_mib=memory, job=job, life_s=round(limit) + 120)
        with Vm(setup, say=_say) as machine:
            cwd = Path.cwd()
            done = machine.run(
                command, limit_s=limit, cwd=cwd, stdout=_write(sys.stdout), stderr=_write(sys.stderr)
            )
    except NotStarted as refused:
        _say(str(refused))
        return refused.code
    except TimeLimit as late:
        _say(str(late))
        return Exit.UNKNOWN
    except VmError as off:
        raise Unavailable("a virtual machine", str(off), off.hint) from None
    return done.code


def _say(text: str) -> None:
    tell(text)


def _write(stream: Any) -> Any:
    def sink(data: bytes) -> None:
        os.write(stream.fileno(), data)

    return sink
