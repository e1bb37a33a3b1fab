# SPDX-License-Identifier: Apache-2.0
"""`transect llm run`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from transect.base.bounded import is_file
from transect.cli.exits import Exit
from transect.cli.failure import no_file
from transect.cli.options import Name, Tenants, keys_of_callers


def run(
    policy: Annotated[
        str | None,
        typer.Argument(
            metavar="POLICY",
            show_default=False,
            help="An example's name (vtc) or a file; else the configuration's.",
        ),
    ] = None,
    upstream: Annotated[
        list[str] | None,
        typer.Option(
            "--upstream",
            metavar="URL",
            show_default=False,
            help="An engine's URL, without /v1; repeat for replicas.",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            show_default=False,
            help="Tenants, keys, limits, listeners; TOML.",
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            "--state",
            metavar="FILE",
            show_default=False,
            help="Keep the policy's state here across restarts.",
        ),
    ] = None,
    name: Name = None,
    tenants: Tenants = None,
    identity: Annotated[
        Path | None,
        keys_of_callers("Keys with which the layer before vouches for a request's tenant."),
    ] = None,
) -> int:
    """Queue requests of many tenants fairly in front of OpenAI-compatible engines, until Ctrl-C.

    Without a configuration there is one tenant, `anonymous`, on 127.0.0.1:8000. With one, tenants are known by their
    keys (`transect llm key new TENANT`), or by a header from proxies that the configuration names.

        transect llm run vtc --upstream http://127.0.0.1:9000
    """
    place = (policy or "").partition(":")[0]
    if place.endswith(".py") and not is_file(place):
        return no_file(place)
    from transect.cli.llm.running import serve

    try:
        return serve(policy, upstream or [], config, state, name, tenants, identity)
    except KeyboardInterrupt:  # before the gateway listens to signals
        return Exit.INTERRUPTED
    finally:
        sys.stdout.flush()
