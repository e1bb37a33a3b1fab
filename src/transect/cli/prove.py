# SPDX-License-Identifier: Apache-2.0
"""`transect prove`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def prove(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="Policies with contracts.")
    ],
    limit: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", help="Processor seconds for each promise; five times as many to confirm it."
        ),
    ] = 5.0,
    recheck: Annotated[
        bool, typer.Option(help="Prove a second time, in another way, what was proved.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> int:
    """Show that policies keep what they promise (`requires`, `ensures`, `invariant`), or inputs that break it.

    Every input that is shown to break a promise was run on the interpreter. The exit code is 1 when a promise can be
    broken, and 4 when one is neither proved nor seen to break.
    """
    from transect.cli.proving import prove as run

    return run(file, limit, recheck, as_json)
