# SPDX-License-Identifier: Apache-2.0
"""`transect llm config`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from transect.cli.exits import Exit


def config(
    engine: Annotated[
        bool, typer.Option("--engine", help="For an engine's plug-in, which has no upstreams or listeners.")
    ] = False,
    schema: Annotated[bool, typer.Option("--schema", help="As JSON Schema, for editors.")] = False,
) -> int:
    """Print every setting of the configuration file: what it is for, its kind and its default.

    The output is itself a valid configuration. `transect check FILE.toml` says what is wrong with one.
    """
    import msgspec

    from transect.llm.config import Config
    from transect.llm.config_text import settings
    from transect.llm.gateway.settings import GatewayConfig

    of = Config if engine else GatewayConfig
    if schema:
        print(json.dumps(msgspec.json.schema(of), indent=2))
    else:
        print(settings(of), end="")
    return Exit.DONE
