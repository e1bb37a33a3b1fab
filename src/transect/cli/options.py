# SPDX-License-Identifier: Apache-2.0
"""Options of the verbs that run in the foreground, the same in every stratum."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

if TYPE_CHECKING:
    from transect.rpc.chain.address import Endpoint

Name: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--name",
        metavar="NAME",
        show_default=False,
        help="Name for status, set, record, upgrade; else the file's.",
    ),
]
Metrics: TypeAlias = Annotated[
    str | None,
    typer.Option("--metrics", metavar="HOST:PORT", show_default=False, help="Serve /metrics for Prometheus."),
]


def place_of(option: str, word: str | None) -> Endpoint | None:
    """The address that an option gives to an HTTP server; None if it is not given.  Raises typer's `BadParameter`."""
    from transect.rpc.chain.address import Endpoint

    if word is None:
        return None
    try:
        found = Endpoint.parse(word)
    except ValueError:
        found = None
    if found is None or found.path:
        wanted = "write HOST:PORT, such as 127.0.0.1:9464"
        raise typer.BadParameter(f"`{word}` is no address; {wanted}", param_hint=option)
    return found


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
        help="Weights, in TOML: `[tenants]`, then lines `name = PERCENT`; changes take effect while it runs.",
    ),
]
