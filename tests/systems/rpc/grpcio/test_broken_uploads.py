# SPDX-License-Identifier: Apache-2.0
"""A client that breaks off while it sends: no handler takes what came for all there is, and `finish` hears CANCEL."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from grpc import aio

from tests.systems.rpc.envoy import http2
from tests.systems.rpc.envoy.http2 import connect, message
from tests.systems.rpc.grpcio.kit import CANCEL, CHAT, COLLECT, Echo, diary, ends, eventually, serving
from tests.systems.rpc.grpcio.test_aio_server import Handlers
from transect.rpc.grpcio.aio_server import Server
from transect.rpc.grpcio.handle import Carried

CLIENTS = 30


def break_off(port: int, number: int) -> None:
    """Two requests of a stream, and an end that is none; at several times after the second."""
    client = connect(port)
    for stream, path in ((1, COLLECT), (3, CHAT)):
        client.request(stream, path)
        for text in (b"a", b"b"):
            client.data(stream, message(text), end=False)
    time.sleep(number % 5 * 0.003)
    if number % 2:
        for stream in (1, 3):
            client.send(http2.frame(http2.RST_STREAM, 0, stream, struct.pack(">I", http2.CANCEL)))
        time.sleep(0.02)
    client.close()


class Coroutines:
    def __init__(self) -> None:
        self.whole: list[str] = []  # of which the handler took the end

    async def collect(self, requests: Any, context: Any) -> bytes:
        found = [request async for request in requests]
        self.whole.append("collect")
        return b"|".join(found)

    async def chat(self, requests: Any, context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request
        self.whole.append("chat")


class Readers(Coroutines):
    async def collect(self, requests: Any, context: Any) -> bytes:
        while await context.read() is not aio.EOF:
            pass
        self.whole.append("collect")
        return b""

    async def chat(self, requests: Any, context: Any) -> None:  # type: ignore[override]
        while (request := await context.read()) is not aio.EOF:
            await context.write(request)
        self.whole.append("chat")


class Plain:
    def __init__(self) -> None:
        self.whole: list[str] = []

    def collect(self, requests: Any, context: Any) -> bytes:
        found = list(requests)
        self.whole.append("collect")
        return b"|".join(found)

    def chat(self, requests: Any, context: Any) -> Iterator[bytes]:
        yield from requests
        self.whole.append("chat")


class Methods(Handlers):
    def service(self, handler_call_details: Any) -> Any:
        match handler_call_details.method:
            case "/t.Echo/Collect":
                return grpc.stream_unary_rpc_method_handler(self.does.collect)
            case "/t.Echo/Chat":
                return grpc.stream_stream_rpc_method_handler(self.does.chat)
        return None


def all_cancelled(probe: Any) -> None:
    """All that had begun has ended, as a cancellation."""
    assert set(eventually(lambda: ends(probe))) == {(1, CANCEL)}
    assert len(diary(probe)) > CLIENTS, "most of them had begun"


@pytest.mark.parametrize("kind", [Coroutines, Readers, Plain])
def test_asyncio(kind: Any, carried: Carried, probe: Any) -> None:
    does = kind()

    async def scene() -> None:
        with ThreadPoolExecutor(8) as pool:
            server = Server(aio.server(pool, options=[("grpc.so_reuseport", 0)]), carried)
            server.add_generic_rpc_handlers((Methods(does),))
            port = server.add_insecure_port("127.0.0.1:0")
            await server.start()
            for number in range(CLIENTS):
                await asyncio.to_thread(break_off, port, number)
            await asyncio.to_thread(all_cancelled, probe)
            await server.stop(None)

    asyncio.run(scene())
    assert does.whole == []


def test_threads(carried: Carried, probe: Any) -> None:
    echo, does = Echo(), Plain()
    echo.do = {COLLECT: does.collect, CHAT: does.chat}
    with serving(echo, carried) as port:
        for number in range(CLIENTS):
            break_off(port, number)
        all_cancelled(probe)
    assert does.whole == []
