# SPDX-License-Identifier: Apache-2.0
"""`transect diff`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def diff(
    old: Annotated[
        Path, typer.Argument(metavar="OLD", exists=True, dir_okay=False, help="The version that is.")
    ],
    new: Annotated[
        Path, typer.Argument(metavar="NEW", exists=True, dir_okay=False, help="The version that is to be.")
    ],
    limit: Annotated[
        float, typer.Option(metavar="SECONDS", help="Processor seconds for each kind of difference.")
    ] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> int:
    """Show which inputs come to something else in another version, an example of each kind, or prove that none does.

    Of two stack files, which parts change, and the difference of each. Of two chain files, also what has come, gone, is
    configured otherwise or has changed places, and at which level that means the same. Every example was run on the
    interpreter in both versions. The exit code is 0 when it is proved that nothing changes, 1 when something does, and
    4 when that is not known.
    """
    from transect.cli.diffing import diff as run

    return run(old, new, limit, as_json)
