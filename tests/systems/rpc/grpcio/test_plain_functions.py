# SPDX-License-Identifier: Apache-2.0
"""Plain functions of an asyncio server behind a chain: what they ask of an RPC that has ended goes nowhere."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

import grpc
import pytest
from grpc import aio

from tests.systems.rpc.grpcio.kit import CANCEL, REPLY, Stub, ends, eventually
from tests.systems.rpc.grpcio.test_aio_server import Handlers, Plain
from transect.rpc.grpcio.aio_server import Server
from transect.rpc.grpcio.handle import Carried

WHOSE: ContextVar[str] = ContextVar("whose", default="nobody")


class Noting(Plain):
    """`left`: how each function has ended."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.left: list[str] = []
        self.threads: set[str] = set()
        self.called = threading.Event()

    def many(self, request: bytes, context: Any) -> Iterator[bytes]:
        try:
            context.add_callback(self.called.set)
            while True:
                self.threads.add(threading.current_thread().name)
                yield request
                self.began.set()
                time.sleep(0.002)
        finally:
            self.left.append(f"many {context.is_active()}")

    def chat(self, requests: Any, context: Any) -> Iterator[bytes]:
        try:
            self.began.set()
            yield from requests
        finally:
            self.left.append(f"chat {context.is_active()}")

    def say(self, request: bytes, context: Any) -> bytes:
        self.began.set()
        while context.is_active():
            time.sleep(0.002)
        for question in (context.peer, context.auth_context, context.peer_identities):
            with pytest.raises(grpc.RpcError):
                question()
        assert not context.add_callback(print)
        self.left.append("say")
        return request


async def served(does: Any, carried: Carried, case: Any, pool: ThreadPoolExecutor) -> None:
    server = Server(aio.server(pool, options=[("grpc.so_reuseport", 0)]), carried)
    server.add_generic_rpc_handlers((Handlers(does),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        await case(Stub.of(channel), server)
    await server.stop(None)


def left(does: Noting) -> list[str]:
    def some() -> list[str]:
        assert does.left
        return does.left

    return list(eventually(some))


@pytest.mark.parametrize("how", ["cancels", "stops"])
@pytest.mark.parametrize(
    ("method", "said"), [("many", ["many False"]), ("chat", ["chat False"]), ("say", ["say"])]
)
def test_a_function_whose_rpc_has_ended_ends(
    carried: Carried, probe: Any, how: str, method: str, said: list[str]
) -> None:
    does = Noting()

    async def case(stub: Stub, server: Any) -> None:
        call = stub.chat() if method == "chat" else getattr(stub, method)(b"x")
        if method == "chat":
            await call.write(b"first")
        assert await asyncio.to_thread(does.began.wait, 10)
        if how == "cancels":
            call.cancel()
        else:
            await server.stop(0)
        assert await asyncio.to_thread(left, does) == said
        await asyncio.to_thread(lambda: eventually(lambda: ends(probe)))

    with ThreadPoolExecutor(2, "ours") as pool:
        asyncio.run(asyncio.wait_for(served(does, carried, case, pool), 30))
    assert ends(probe) == [(1, CANCEL)]
    if method == "many":
        assert does.called.is_set(), "its callback"
        assert len(does.threads) == 1 and next(iter(does.threads)).startswith("ours"), (
            "in one thread of the server's"
        )


def test_a_function_sees_the_variables_of_its_task(carried: Carried) -> None:
    class Asking(Plain):
        def say(self, request: bytes, context: Any) -> bytes:
            return WHOSE.get().encode()

        def many(self, request: bytes, context: Any) -> Iterator[bytes]:
            yield WHOSE.get().encode()

    async def case(stub: Stub, server: Any) -> None:
        assert await stub.say(b"x") == b"ann"
        assert [one async for one in stub.many(b"x")] == [b"ann"]

    async def scene() -> None:
        WHOSE.set("ann")  # the server's tasks are made in this context
        with ThreadPoolExecutor(2) as pool:
            await served(Asking(), carried, case, pool)

    asyncio.run(scene())


def test_a_function_that_raises_stop_iteration_fails_as_any_other(carried: Carried, probe: Any) -> None:
    """No asyncio future takes that exception: its RPC would never end."""

    class Careless(Plain):
        def say(self, request: bytes, context: Any) -> bytes:
            return next(iter(()))

        def many(self, request: bytes, context: Any) -> Iterator[bytes]:
            return next(iter(()))

    async def case(stub: Stub, server: Any) -> None:
        for call in (stub.say(b"x", timeout=5), stub.many(b"x", timeout=5).read()):
            with pytest.raises(grpc.RpcError) as failed:
                await call
            assert failed.value.code() is grpc.StatusCode.UNKNOWN

    with ThreadPoolExecutor(2) as pool:
        asyncio.run(served(Careless(), carried, case, pool))
    assert ends(probe) == [(2, REPLY), (2, REPLY)]
