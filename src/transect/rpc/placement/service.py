# SPDX-License-Identifier: Apache-2.0
"""The echo service in a process of its own, for measuring: prints its port, serves until it is told to stop.

`--attach`: the service is behind a chain of the do-nothing element, in its gRPC library.
"""

from __future__ import annotations

import sys

import grpc

from transect.control.stopping import stopping
from transect.rpc import attach, echo
from transect.rpc.placement.null import null


def main() -> None:
    def around(server: grpc.Server) -> grpc.Server:
        if "--attach" not in sys.argv[1:]:
            return server
        return attach(server, [null()], service=echo.DESCRIPTOR, native=True)

    with stopping() as stop:
        server, port = echo.serve(around=around)
        print(port, flush=True)
        stop.wait()
        server.stop(0)


if __name__ == "__main__":
    main()
