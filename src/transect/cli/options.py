# SPDX-License-Identifier: Apache-2.0
"""Options that what runs in the foreground has in every stratum."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

Name: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--name",
        metavar="NAME",
        show_default=False,
        help="For status, set, record, upgrade; else the file's.",
    ),
]
Metrics: TypeAlias = Annotated[
    str | None,
    typer.Option("--metrics", metavar="HOST:PORT", show_default=False, help="Serve /metrics for Prometheus."),
]


def keys_of_callers(help: str) -> typer.models.OptionInfo:
    """`--identity FILE`."""
    found: typer.models.OptionInfo = typer.Option(
        "--identity", metavar="FILE", exists=True, dir_okay=False, show_default=False, help=help
    )
    return found


Tenants: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--tenants",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        show_default=False,
        help="Weights, in TOML: `[tenants]`, then `name = PERCENT` each; followed while it runs.",
    ),
]
