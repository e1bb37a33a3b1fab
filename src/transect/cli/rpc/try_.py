# SPDX-License-Identifier: Apache-2.0
"""`transect rpc try`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from transect.cli.failure import usage


class Level(StrEnum):
    IDENTICAL = "identical"
    SERVICE = "service"
    LOOSE = "loose"


class Carrier(StrEnum):
    ENVOY = "envoy"
    GRPCIO = "grpcio"


class Side(StrEnum):
    CLIENT = "client"
    SERVER = "server"


def try_(
    chain: Annotated[
        Path, typer.Argument(metavar="CHAIN", help="A file with `chain = Chain(…)`, or with policies.")
    ],
    elements: Annotated[
        list[str] | None,
        typer.Argument(metavar="ELEMENT", show_default=False, help="Only these; else each two of the chain."),
    ] = None,
    to: Annotated[
        Side | None,
        typer.Option("--to", show_default=False, help="The elements move to that side, each by itself."),
    ] = None,
    level: Annotated[Level, typer.Option("--level", help="What must stay the same.")] = Level.SERVICE,
    carrier: Annotated[
        Carrier, typer.Option("--carrier", help="Stock Envoys with native modules, or gRPC libraries.")
    ] = Carrier.ENVOY,
    limit: Annotated[float, typer.Option(help="Seconds for one question to the solver.")] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> int:
    """Send the counter-example of each refused rearrangement through the real data plane, and show what comes of it.

    Which elements may change places is proved, or refused with a short stream of RPCs and a starting state. That stream
    goes through real proxies (or libraries) in both arrangements, with the clock and the dice that it prescribes. The
    exit code is 0 when each refusal is seen to differ there, 1 when one is not, and 4 when one cannot be sent or there
    is no answer.
    """
    if not chain.is_file():
        return usage(f"no such file: {chain}")
    from transect.cli.trying import run

    return run(chain, elements or [], to, level, carrier, limit, as_json)
