# SPDX-License-Identifier: Apache-2.0
"""What each grpcio carrier can do."""

from __future__ import annotations

from typing import Any

import grpc
from grpc import aio

from transect.rpc.can import Can

CLIENT = Can("a grpcio client", retry=True, client=True)
AIO_CLIENT = Can("a grpcio aio client", retry=True, client=True)
SERVER = Can("a grpcio server")
AIO_SERVER = Can("a grpcio aio server")


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
