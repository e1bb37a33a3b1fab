# SPDX-License-Identifier: Apache-2.0
"""What each grpcio carrier can do, as data.  What a chain asks beyond that is a diagnostic which names one that can."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import grpc
from grpc import aio

from transect.base.diagnostic import Diagnostics
from transect.rpc.binding import Binding, BoundElement
from transect.rpc.needs import structs_made


@dataclass(frozen=True, slots=True)
class Can:
    name: str
    delay: bool = True  # Forward(after=…)
    route: bool = False  # Forward(to=…)
    retry: bool = False  # Retry in finish, of unary methods
    client: bool = False


CLIENT = Can("grpcio client", retry=True, client=True)
AIO_CLIENT = Can("grpcio aio client", retry=True, client=True)
SERVER = Can("grpcio server")
AIO_SERVER = Can("grpcio aio server")


def of(target: Any) -> Can:
    match target:
        case grpc.Channel():
            return CLIENT
        case aio.Channel():
            return AIO_CLIENT
        case aio.Server():
            return AIO_SERVER
        case _:
            return SERVER


def check(binding: Binding, carrier: Can, diagnostics: Diagnostics) -> None:
    """Report what the chain asks and the carrier cannot do."""
    for element in binding.elements:
        _verdicts(element, carrier, diagnostics)


def _verdicts(element: BoundElement, carrier: Can, diagnostics: Diagnostics) -> None:
    for made in structs_made(element.program):
        if made.name == "Forward" and "to" in made.given and not carrier.route:
            diagnostics.error(
                "R020",
                f"a {carrier.name} cannot route: `Forward(to=…)`",
                made.span,
                label="names a route",
                help="run this element in Envoy: `transect rpc run`",
            )
        if made.name == "Retry" and not carrier.retry:
            diagnostics.error(
                "R020",
                f"a {carrier.name} cannot send a request again: `Retry`",
                made.span,
                label="asks for another attempt",
                help="attach this element to the client's channel",
            )
