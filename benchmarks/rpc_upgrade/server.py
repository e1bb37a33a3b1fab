# SPDX-License-Identifier: Apache-2.0
"""The server of the edge, with the last element in its library: `python server.py NAME`.  Prints its port; serves until
its standard input closes."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "rpc_python_chain"))

import grpc
from chains import policies
from peers import generated

from transect.emit.py.load import load_text
from transect.rpc import attach


def main() -> None:
    echo, echo_grpc = generated()

    class Echo(echo_grpc.EchoServicer):  # type: ignore[misc,name-defined]
        def Say(self, request: Any, context: Any) -> Any:
            return echo.Answer(text=request.text, number=request.number)

    below = grpc.server(ThreadPoolExecutor(8))
    server: Any = attach(below, [load_text(policies(1)).Last()], service=echo, name=sys.argv[1])
    echo_grpc.add_EchoServicer_to_server(Echo(), server)
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    sys.stdin.read()
    server.stop(1).wait()
    server.chain.close()


if __name__ == "__main__":
    main()
