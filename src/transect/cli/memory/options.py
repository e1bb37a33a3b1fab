# SPDX-License-Identifier: Apache-2.0
"""Options of verbs about a target."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from transect.cli.memory.opening import Engine

Engines: TypeAlias = Annotated[
    Engine,
    typer.Option(
        "--engine",
        metavar="ENGINE",
        help="python: the interpreter; c: probes compiled, for memory in a file (ram:, core:).",
    ),
]

Via: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--via",
        metavar="xdp[:INTERFACE]",
        show_default=False,
        help="Walks over a roce:// target's lists run in this machine's kernel, as packets pass; as root.",
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
        exists=True,
        dir_okay=False,
        show_default=False,
        help="The target's vmlinuz, from its package; else looked for by its release.",
    ),
]
