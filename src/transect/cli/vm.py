# SPDX-License-Identifier: Apache-2.0
"""`transect vm`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

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
    ram: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            show_default=False,
            help="Keep the machine's memory in this new file, which `transect memory` reads.",
        ),
    ] = None,
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
    if ram is not None and (wrong := _no_place(ram)):
        return usage(*wrong)
    from transect.vm import NotStarted, Setup, TimeLimit, Vm, VmError, find, own

    try:
        chosen = own(kernel) if kernel else find(version, say=_say)
        # Memory is looked at by what the kernel's package has, and at an address drawn by chance, as anywhere.
        boot: Literal["elf", "compressed"] = "compressed" if ram and chosen.compressed else "elf"
        setup = Setup(
            chosen, cpus=cpus, memory_mib=memory, job=job, ram=ram, boot=boot, life_s=round(limit) + 120
        )
        if ram is not None:
            # One of Debian's is found by its release.
            image = f" --kernel {kernel}" if kernel else ""
            _say(f"its memory is in {ram}: `transect memory ps ram:{ram}{image}`")
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


def _no_place(ram: Path) -> tuple[str, str] | None:
    """Why memory cannot be kept there, and what helps."""
    if ram.exists():
        return f"{ram} exists, and is not overwritten", "give another path"
    if "," in str(ram):
        return f"{ram}: QEMU takes no path with a comma", "give another path"
    if not ram.absolute().parent.is_dir():
        return f"{ram.parent} is no folder", "give a file of a folder that is there: /dev/shm/vm.ram"
    return None


def _say(text: str) -> None:
    tell(text)


def _write(stream: Any) -> Any:
    def sink(data: bytes) -> None:
        os.write(stream.fileno(), data)

    return sink
