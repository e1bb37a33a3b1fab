# SPDX-License-Identifier: Apache-2.0
"""`transect why`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def why(
    request: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="The request's `x-request-id`, or its trace: the 32 digits, or a whole `traceparent`.",
        ),
    ],
    logs: Annotated[
        list[Path],
        typer.Argument(
            metavar="LOG", exists=True, help="What `record` wrote: logs, or a whole stack's folder of logs."
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> int:
    """Show the decisions that one request met at each layer: the policy's lines, what they read, and what they changed.

    Each log is replayed up to these decisions, so what is shown is what happened. For a request that waited in a queue,
    it also shows who went first, and by what the policy chose them. The exit code is 1 when no log names the request,
    or a decision does not come out as recorded, and 4 when part of it cannot be shown.
    """
    from transect.cli.explaining import explain

    return explain(request, logs, as_json)
