# SPDX-License-Identifier: Apache-2.0
"""`transect rpc try`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


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
        Path,
        typer.Argument(
            metavar="CHAIN",
            exists=True,
            dir_okay=False,
            help="A file with `chain = Chain(…)`, or with policies.",
        ),
    ],
    elements: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ELEMENT", show_default=False, help="Only these elements; else all of the chain."
        ),
    ] = None,
    to: Annotated[
        Side | None,
        typer.Option(
            "--to",
            metavar="SIDE",
            show_default=False,
            help="Move each element there, by itself, instead of swapping two: client or server.",
        ),
    ] = None,
    level: Annotated[
        Level,
        typer.Option(
            "--level", metavar="LEVEL", help="What must stay the same: identical, service or loose."
        ),
    ] = Level.SERVICE,
    carrier: Annotated[
        Carrier,
        typer.Option(
            "--carrier",
            metavar="CARRIER",
            help="envoy: stock Envoys with native modules; grpcio: gRPC libraries.",
        ),
    ] = Carrier.ENVOY,
    limit: Annotated[
        float, typer.Option(metavar="SECONDS", help="Seconds for one question to the solver.")
    ] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> int:
    """Send the counter-example of each refused rearrangement through the real data plane, and show what comes of it.

    That two elements may change places is proved, or refused with a counter-example: a short stream of RPCs and a
    starting state. This stream goes through real proxies (or libraries) in both arrangements, with the clock and the
    random numbers that it prescribes. The exit code is 0 when the two arrangements differ there for every refusal, 1
    when they do not for some refusal, and 4 when a stream cannot be sent or there is no answer.
    """
    from transect.cli.trying import run

    return run(chain, elements or [], to, level, carrier, limit, as_json)
