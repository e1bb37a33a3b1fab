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
        help="python: the interpreter; c: compiled probes, for memory in a file (ram:, core:).",
    ),
]

Via: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--via",
        metavar="xdp[:INTERFACE]",
        show_default=False,
        help="Walk a roce:// target's lists in this machine's kernel, as packets pass; needs root.",
    ),
]
Target: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        help="ram:FILE (a live VM), raw:FILE (a copy), core:FILE, qmp:SOCKET, roce://HOST/GRANT.",
    ),
]
Kernel: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--kernel",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        show_default=False,
        help="The target's vmlinuz, from its package; else one is looked for by the kernel's release.",
    ),
]
