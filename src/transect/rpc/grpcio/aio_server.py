# SPDX-License-Identifier: Apache-2.0
"""An asyncio server with a chain.  Handlers may be coroutines (also ones that use `context.read` and `context.write`),
asynchronous generators, or plain functions, which run in threads (`aio_plain.py`)."""

from __future__ import annotations

import gc
import inspect
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from typing import Any

import grpc
from grpc import aio

from transect.rpc.grpcio.aio_context import Context
from transect.rpc.grpcio.aio_plain import in_thread
from transect.rpc.grpcio.handle import Carried
from transect.rpc.grpcio.server import ATTACH_FIRST, Handlers, Serving, kind_of, rebuilt
from transect.rpc.grpcio.versions import Unknown, Versions


def _held(server: Any) -> list[Any]:
    """What a server has been given.  The Python object does not keep it, and the Cython object has no accessor for it;
    but the garbage collector sees what the Cython object refers to."""
    while isinstance(server, Server):
        server = server._inner
    return gc.get_referents(getattr(server, "_server", None))


def thread_pool(server: Any) -> Executor | None:
    """Where the server runs handlers that are plain functions; None: in asyncio's default executor."""
    return next((item for item in _held(server) if isinstance(item, Executor)), None)


def _serves(server: Any) -> bool:
    """Whether services have been added."""
    found = [item for known in _held(server) if isinstance(known, list | dict) for item in _items(known)]
    return any(isinstance(item, grpc.GenericRpcHandler | grpc.RpcMethodHandler) for item in found)


def _items(known: list[Any] | dict[Any, Any]) -> list[Any]:
    return list(known.values()) if isinstance(known, dict) else known


def must_be_fresh(inner: aio.Server) -> None:
    """Raises ValueError when services were added before: their RPCs would bypass the chain."""
    if _serves(inner):
        raise ValueError(ATTACH_FIRST)


class Server(aio.Server):
    """`inner` with a chain in front of the methods which it covers."""

    def __init__(self, inner: aio.Server, carried: Carried | Versions) -> None:
        """Raises ValueError when services were added before."""
        must_be_fresh(inner)
        self._inner = inner
        self._versions = Versions.of(carried)

    def _wrap(self, method: str, handler: Any) -> Any:
        return wrapped(self._versions, method, handler, thread_pool(self._inner))

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Any) -> None:
        self._inner.add_generic_rpc_handlers(tuple(Handlers(h, self._wrap) for h in generic_rpc_handlers))

    def add_registered_method_handlers(self, service_name: str, method_handlers: Any) -> None:
        made = {name: self._wrap(f"/{service_name}/{name}", h) for name, h in method_handlers.items()}
        self._inner.add_registered_method_handlers(service_name, made)

    def add_insecure_port(self, address: str) -> int:
        return self._inner.add_insecure_port(address)

    def add_secure_port(self, address: str, server_credentials: Any) -> int:
        return self._inner.add_secure_port(address, server_credentials)

    async def start(self) -> None:
        await self._inner.start()

    async def stop(self, grace: float | None) -> None:
        await self._inner.stop(grace)

    async def wait_for_termination(self, timeout: float | None = None) -> bool:
        return await self._inner.wait_for_termination(timeout)


def wrapped(versions: Versions, method: str, handler: Any, pool: Executor | None = None) -> Any:
    """The handler with the chain in front of it, or the handler itself where the chain does not cover the method.

    `pool`: where plain functions run."""
    if not versions.covers(method):
        return handler
    kind = kind_of(handler)
    original = getattr(handler, kind)
    plain = not (inspect.isasyncgenfunction(original) or inspect.iscoroutinefunction(original))
    behavior = in_thread(original, kind, pool) if plain else original
    chain = Awaiting(versions, method, handler.request_deserializer, handler.response_serializer, behavior)
    made = chain.generator if inspect.isasyncgenfunction(behavior) else chain.coroutine
    return rebuilt(kind, made(handler.request_streaming), original)


class Awaiting(Serving):
    """The same for a handler that is a coroutine or an asynchronous generator."""

    def coroutine(self, streams: bool) -> Any:
        async def behavior(request: Any, context: Any) -> Any:
            call = await self._served(context)
            return await call.one(self._behavior, request, streams)

        return behavior

    def generator(self, streams: bool) -> Any:
        async def behavior(request: Any, context: Any) -> AsyncIterator[bytes]:
            call = await self._served(context)
            async for reply in call.many(self._behavior, request, streams):
                yield reply

        return behavior

    async def _served(self, context: Any) -> Context:
        try:
            carried = self._versions.chosen(context.invocation_metadata)
        except Unknown as unknown:
            self.refuse(context)
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(unknown))
        touches, rpc = self.begun(carried, context)
        return Context(context, self, touches, rpc, carried.holds(self._method))
