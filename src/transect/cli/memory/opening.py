# SPDX-License-Identifier: Apache-2.0
"""What every verb about a target says when it cannot be opened."""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from transect.cli.exits import Exit
from transect.cli.failure import usage

if TYPE_CHECKING:
    from transect.memory.machine import Machine
    from transect.memory.scan import Engine as Runs


class Engine(StrEnum):
    """What runs probes."""

    PYTHON = "python"
    C = "c"

    def runs(self, machine: Machine) -> Runs | None:
        """None: the interpreter, one read after the other; over a link it reads ahead."""
        if self is Engine.PYTHON:
            from transect.memory.ahead import Batched, ahead

            return ahead if isinstance(machine.physical, Batched) else None
        from transect.memory.native.probes import native

        return native


Engines: TypeAlias = Annotated[
    Engine,
    typer.Option(
        "--engine", help="The interpreter; or probes compiled to C, for memory in a file (ram:, core:)."
    ),
]

Target: TypeAlias = Annotated[
    str,
    typer.Argument(metavar="TARGET", help="ram:FILE (a live VM), core:FILE, qmp:SOCKET, roce://HOST/GRANT."),
]
Kernel: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--kernel",
        metavar="FILE",
        show_default=False,
        help="The target's vmlinuz, from its package; else looked for by its release.",
    ),
]


def with_target(target: str, kernel: Path | None, work: Callable[[Machine], int]) -> int:
    """Open the target and do the work; what cannot be read is said, with the exit code for it."""
    from transect.linux.errors import KernelDataError
    from transect.memory.standard import Refused, UnknownProbe
    from transect.memory.target import BadTarget, open_target

    try:
        return work(open_target(target, kernel))
    except (BadTarget, UnknownProbe) as wrong:
        return usage(str(wrong))
    except Refused as refused:
        from transect.base.render import render_text
        from transect.cli.checking import in_color

        print(render_text(refused.diagnostics, refused.sources, color=in_color()))
        return Exit.NO
    except KernelDataError as problem:
        print(f"transect: {target}: {problem}", file=sys.stderr)
        return Exit.UNKNOWN
