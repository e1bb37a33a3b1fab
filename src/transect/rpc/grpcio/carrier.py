# SPDX-License-Identifier: Apache-2.0
"""What each grpcio carrier can do, as data; see `rpc/chain/carrier.py`."""

from __future__ import annotations

from typing import Any

import grpc
from grpc import aio

from transect.base.diagnostic import Diagnostics
from transect.rpc.chain.binding import Binding
from transect.rpc.chain.carrier import Can, Streams
from transect.rpc.chain.needs import headers_changed

SETS = {"request": frozenset({Streams.REPLIES}), "response": frozenset(Streams)}
CLIENT = Can("a grpcio client", retry=True, client=True, sets=SETS)
AIO_CLIENT = Can("a grpcio aio client", retry=True, client=True, sets=SETS)
SERVER = Can("a grpcio server")
AIO_SERVER = Can("a grpcio aio server")


def of(target: Any) -> Can:
    """What a channel or server can do.  Raises TypeError for anything else."""
    match target:
        case grpc.Channel():
            return CLIENT
        case aio.Channel():
            return AIO_CLIENT
        case grpc.Server():
            return SERVER
        case aio.Server():
            return AIO_SERVER
        case _:
            raise TypeError(f"a channel or server of grpc or grpc.aio is wanted, not {target!r}")


def check_headers(binding: Binding, carrier: Can, diagnostics: Diagnostics) -> None:
    """Report elements that change request headers which the client sends before the chain sees the first request."""
    streams = [method for method in binding.methods if method.client_streams]
    for element in binding.elements if carrier.client and streams else ():
        for span in [*headers_changed(element.program, "request", "headers")][:1]:
            diagnostics.error(
                "R021",
                f"{carrier.name} sends the headers of {streams[0].path} before its first request",
                span,
                label="set or removed here, too late",
                help="run this element in Envoy or at the server, or narrow the chain: `methods=[…]`",
            )
