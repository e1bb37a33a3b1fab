# SPDX-License-Identifier: Apache-2.0
"""The demo service: its generated modules, a servicer, a server and a channel for it."""

from __future__ import annotations

import importlib
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import grpc
from grpc_tools import protoc

from tests.systems.rpc.grpcio.kit import LARGE

HERE = Path(__file__).parent


@cache
def modules() -> tuple[Any, Any]:
    """`echo_pb2` and `echo_pb2_grpc` of echo.proto, under names of their own."""
    folder = tempfile.mkdtemp(prefix="transect-protos-")
    (Path(folder) / "grpcio_demo.proto").write_text((HERE / "echo.proto").read_text())
    places = [f"-I{folder}", f"--python_out={folder}", f"--grpc_python_out={folder}"]
    assert protoc.main(["protoc", *places, "grpcio_demo.proto"]) == 0
    sys.path.insert(0, folder)
    try:
        return importlib.import_module("grpcio_demo_pb2"), importlib.import_module("grpcio_demo_pb2_grpc")
    finally:
        sys.path.remove(folder)


def servicer(seen: list[Any] | None = None) -> Any:
    """Echoes text and number; `seen` gets every request."""
    pb2, pb2_grpc = modules()
    kept = seen if seen is not None else []

    def answer(ask: Any) -> Any:
        kept.append(ask)
        return pb2.Answer(text=ask.text, number=ask.number)

    class Echo(pb2_grpc.EchoServicer):  # type: ignore[misc,name-defined]
        def Say(self, request: Any, context: Any) -> Any:
            return answer(request)

        def Many(self, request: Any, context: Any) -> Iterator[Any]:
            for _ in range(3):
                yield answer(request)

        def Collect(self, request_iterator: Any, context: Any) -> Any:
            return answer(list(request_iterator)[-1])

        def Chat(self, request_iterator: Any, context: Any) -> Iterator[Any]:
            for request in request_iterator:
                yield answer(request)

    return Echo()


@contextmanager
def server(does: Any, wrap: Any = lambda server: server) -> Iterator[tuple[Any, int]]:
    """A real server, as `wrap` returns it; and its port."""
    _, pb2_grpc = modules()
    with ThreadPoolExecutor(40) as pool:
        made = wrap(grpc.server(pool, options=[*LARGE, ("grpc.so_reuseport", 0)]))
        pb2_grpc.add_EchoServicer_to_server(does, made)
        port = made.add_insecure_port("127.0.0.1:0")
        made.start()
        try:
            yield made, port
        finally:
            made.stop(0).wait()
