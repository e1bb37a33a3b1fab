# SPDX-License-Identifier: Apache-2.0
"""`transect diff`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def diff(
    old: Annotated[
        Path, typer.Argument(metavar="OLD", exists=True, dir_okay=False, help="The present version.")
    ],
    new: Annotated[
        Path,
        typer.Argument(metavar="NEW", exists=True, dir_okay=False, help="The version to take its place."),
    ],
    limit: Annotated[
        float, typer.Option(metavar="SECONDS", help="Processor seconds for each kind of difference.")
    ] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> int:
    """Show which inputs give another result in a new version, with an example of each kind, or prove that none does.

    For two stack files, it shows which parts change, and the difference of each. For two chain files, it also shows
    which elements are new, gone, configured otherwise or in another order, and at which level that order means the
    same. Every example was run on the interpreter in both versions. The exit code is 0 when it is proved that nothing
    changes, 1 when something does, and 4 when that is not known.
    """
    from transect.cli.diffing import diff as run

    return run(old, new, limit, as_json)
