# SPDX-License-Identifier: Apache-2.0
"""`transect replay`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def replay(
    log: Annotated[
        Path, typer.Argument(metavar="LOG", exists=True, dir_okay=False, help="What `record` wrote.")
    ],
    policy: Annotated[
        Path | None,
        typer.Argument(
            metavar="POLICY",
            exists=True,
            dir_okay=False,
            show_default=False,
            help="Another policy to compare with the recorded one.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> int:
    """Run recorded calls again on the interpreter, and show the first that comes out differently.

    A log holds its policies and every outside answer, so the recorded policy must give what was recorded. With POLICY,
    the same calls show what that policy would have done; if it is a scheduler, it gets the same arrivals on a simulated
    machine, and a table compares the two. The exit code is 4 when part of the log could not be compared.
    """
    from transect.cli.replaying import replay as run

    return run(log, policy, as_json)
