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
            help="Take this share of the requests, chosen by their ids: 0.01 is one in a hundred.",
        ),
    ] = 1.0,
    verdict: Annotated[
        str,
        typer.Option(
            metavar="TEXT",
            show_default=False,
            help="Take only requests with a decision that begins with TEXT: `Reject`, `alice`.",
        ),
    ] = "",
) -> int:
    """Write the decisions about requests, each with what decided it, as rows for tools that keep and search them.

    A row holds what `why` shows of a decision. Requests without an id are left out. The exit code is 4 when a request
    that was taken is not explained to its end.
    """
    from transect.cli.exporting import export

    return export(logs, output, share, verdict)
