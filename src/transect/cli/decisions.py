# SPDX-License-Identifier: Apache-2.0
"""`transect decisions`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def decisions(
    logs: Annotated[
        list[Path],
        typer.Argument(metavar="LOG", exists=True, help="What `record` wrote: logs, or folders of them."),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            show_default=False,
            help="`.jsonl`: OpenTelemetry's logs, a line each; `.parquet`: a table. It must not exist yet.",
        ),
    ],
    share: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            metavar="SHARE",
            help="Of the requests, chosen by their ids: 0.01 is one in a hundred.",
        ),
    ] = 1.0,
    verdict: Annotated[
        str,
        typer.Option(
            metavar="TEXT",
            show_default=False,
            help="Requests about which something was decided that begins so: `Reject`, `alice`.",
        ),
    ] = "",
) -> int:
    """Write the decisions about requests as rows for who keeps and searches them, each with what it was decided by.

    A row is what `why` shows of a decision. Of requests that have no id nothing is written. The exit code is 4 when a
    request that was taken is not explained to its end.
    """
    from transect.cli.exporting import export

    return export(logs, output, share, verdict)
