# SPDX-License-Identifier: Apache-2.0
"""`transect cpu run`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from transect.base.unavailable import Unavailable
from transect.cli.exits import Exit
from transect.cli.failure import refused, tell
from transect.cli.options import Name, Tenants

if TYPE_CHECKING:
    from transect.cpu.run import Place


LIFE_S = 7 * 24 * 3600  # of a virtual machine whose loader is in the foreground


def run(
    policy: Annotated[
        Path, typer.Argument(metavar="POLICY", exists=True, dir_okay=False, help="A scheduler's file.")
    ],
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="-- COMMAND",
            show_default=False,
            help="Run this command under the scheduler, and end when it ends.",
        ),
    ] = None,
    vm: Annotated[
        bool, typer.Option("--vm", help="Run it in a virtual machine with a recent kernel; without root.")
    ] = False,
    version: Annotated[
        str,
        typer.Option(
            "--version", metavar="X.Y[.Z]", help="With --vm: a Debian kernel by its version; else the newest."
        ),
    ] = "",
    kernel: Annotated[
        Path | None,
        typer.Option(metavar="FILE", exists=True, dir_okay=False, help="With --vm: your own kernel."),
    ] = None,
    cpus: Annotated[int, typer.Option(metavar="N", min=1, max=64, help="With --vm: processors.")] = 2,
    partial: Annotated[
        bool, typer.Option("--partial", help="Schedule only tasks of the class SCHED_EXT; the command's are.")
    ] = False,
    tenants: Tenants = None,
    name: Name = None,
) -> int:
    """Put a scheduler in force, until Ctrl-C or the end of the command; then the default scheduler is back.

    Without --vm it needs root and a kernel with sched_ext; under sudo the command runs as the user who called sudo.
    """
    return under(
        policy,
        vm=vm,
        version=version,
        kernel=kernel,
        cpus=cpus,
        partial=partial,
        command=command or (),
        name=name,
        tenants=tenants,
    )


def under(
    policy: Path,
    *,
    vm: bool,
    version: str = "",
    kernel: Path | None = None,
    cpus: int,
    partial: bool = False,
    command: Sequence[str],
    name: str | None = None,
    log: Path | None = None,
    tenants: Path | None = None,
) -> int:
    """Put a scheduler in force, recorded into `log` if there is one, and say how it ended."""
    from transect.cli.control import show
    from transect.control.server import Taken
    from transect.cpu.kernel import Ended
    from transect.cpu.run import run as serve
    from transect.cpu.trial import Invalid
    from transect.vm import VmError

    def ask() -> int:
        return serve(
            policy,
            lambda: _place(vm, version, kernel, cpus, partial),
            command=command,
            name=name,
            log=log,
            tenants=tenants,
            say=_say,
            write=_write,
        )

    try:
        return show(ask)
    except Invalid as wrong:
        return refused(wrong)
    except Ended as end:
        _say(end.message or end.reason)
        return Exit.NO
    except Taken as taken:
        _say(str(taken))
        return Exit.UNAVAILABLE
    except VmError as off:
        raise Unavailable("a virtual machine", str(off), off.hint) from None


def _place(vm: bool, version: str, kernel: Path | None, cpus: int, partial: bool) -> Place:
    if vm or version or kernel:
        from transect.cpu.machine import Bench
        from transect.vm import find, own

        chosen = own(kernel) if kernel else find(version, say=_say)
        return Bench(kernel=chosen, cpus=cpus, partial=partial, life_s=LIFE_S, say=_say)
    from transect.cpu.this_machine import Here

    return Here(partial=partial)


def _say(text: str) -> None:
    tell(text)


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
