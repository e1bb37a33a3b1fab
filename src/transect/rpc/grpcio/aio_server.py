# SPDX-License-Identifier: Apache-2.0
"""An asyncio server with a chain.  Handlers may be coroutines, asynchronous generators, use `context.read` and
`context.write`, or be plain functions, which gRPC runs in threads: the wrapper of each is of the same sort."""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import grpc
from grpc import aio

from transect.rpc.grpcio import bases
from transect.rpc.grpcio.ending import (
    DEADLINE_EXCEEDED,
    INTERNAL,
    INVALID_ARGUMENT,
    NO_MESSAGE,
    OK,
    UNKNOWN,
    shortened,
    status,
)
from transect.rpc.grpcio.handle import Action, Carried, Cause, Decision, Rpc, Side, Touches
from transect.rpc.grpcio.metadata import changed, pairs
from transect.rpc.grpcio.server import (
    ATTACH_FIRST,
    Handlers,
    Serving,
    Stop,
    code_of,
    ended,
    kind_of,
    rebuilt,
    received,
)
from transect.rpc.grpcio.steps import NS
from transect.rpc.grpcio.versions import Unknown, Versions

log = logging.getLogger(__name__)


def _serves(server: Any) -> bool:
    """Whether services have been added.  Python's side does not keep them, and Cython's has no way to ask; but it holds
    them where the collector looks."""
    held = gc.get_referents(getattr(server, "_server", None))
    found = [item for known in held if isinstance(known, list | dict) for item in _items(known)]
    return any(isinstance(item, grpc.GenericRpcHandler | grpc.RpcMethodHandler) for item in found)


def _items(known: list[Any] | dict[Any, Any]) -> list[Any]:
    return list(known.values()) if isinstance(known, dict) else known


def must_be_fresh(inner: aio.Server) -> None:
    """Raises ValueError when services were added before: they would stand beside the chain, not behind it."""
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
        return wrapped(self._versions, method, handler)

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


def wrapped(versions: Versions, method: str, handler: Any) -> Any:
    """The handler with the chain in front of it, or itself where the chain does not cover the method."""
    if not versions.covers(method):
        return handler
    kind = kind_of(handler)
    behavior = getattr(handler, kind)
    parts = (versions, method, handler.request_deserializer, handler.response_serializer, behavior)
    if inspect.isasyncgenfunction(behavior):
        return rebuilt(kind, Awaiting(*parts).generator(handler.request_streaming), behavior)
    if inspect.iscoroutinefunction(behavior):
        return rebuilt(kind, Awaiting(*parts).coroutine(handler.request_streaming), behavior)
    return rebuilt(kind, getattr(InThread(*parts), kind), behavior)


class InThread(Serving):
    """A plain function behind an asyncio server."""

    def _call(self, context: Any) -> Any:
        return super()._call(context if isinstance(context, Thread) else Thread(context))

    def unary_stream(self, data: bytes, context: Any) -> Iterator[bytes]:
        return self._until_aborted(super().unary_stream, data, context)

    def stream_stream(self, requests: Any, context: Any) -> Iterator[bytes]:
        return self._until_aborted(super().stream_stream, requests, context)

    def _until_aborted(self, behavior: Any, argument: Any, context: Any) -> Iterator[bytes]:
        try:
            yield from behavior(argument, Generating(context))
        except Aborted:
            return


class Thread:
    """The context of a plain function, with what asyncio's lacks."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._code: Any = None
        self._trailing: Any = ()
        self._over = False
        inner.add_callback(self._end)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def _end(self, *_: object) -> None:
        self._over = True

    def add_callback(self, callback: Any) -> bool:
        self._inner.add_callback(callback)
        return not self._over

    def is_active(self) -> bool:
        return not self._over

    def time_remaining(self) -> float:
        left = self._inner.time_remaining()
        return float("inf") if left is None else left

    def code(self) -> Any:
        return self._code

    def set_code(self, code: Any) -> None:
        self._code = code
        self._inner.set_code(code)

    def abort(self, code: Any, details: str = "", trailing_metadata: Any = ()) -> None:
        self._code = code
        self._inner.abort(code, details, trailing_metadata)

    def set_trailing_metadata(self, trailing_metadata: Any) -> None:
        self._trailing = trailing_metadata
        self._inner.set_trailing_metadata(trailing_metadata)

    def trailing_metadata(self) -> Any:
        return self._trailing


class Aborted(Exception):
    """The status is set; the generator ends."""


class Generating(Thread):
    """The context of a plain generator: in gRPC 1.85 one that aborts hangs, one that returns ends."""

    def abort(self, code: Any, details: str = "", trailing_metadata: Any = ()) -> None:
        self.set_code(code)
        self.set_details(details)
        if trailing_metadata:
            self.set_trailing_metadata(trailing_metadata)
        raise Aborted


class Awaiting(Serving):
    """A coroutine or an asynchronous generator."""

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


class Context(bases.AioServicerContext):
    """One RPC on its way through a chain and a handler, and the context which the handler sees."""

    def __init__(self, inner: Any, serving: Serving, touches: Touches, rpc: Rpc, holds: bool) -> None:
        self._inner = inner
        self._holds = holds  # the handler begins when a request has passed
        self._first: list[Any] = []  # has passed; the handler has yet to take it
        self._deserialize = serving._deserialize
        self._serialize = serving._serialize
        self._touches = touches
        self._rpc = rpc
        self._invocation: Any = None  # the request's metadata, once the chain has changed them
        self._initial: Any = None
        self._sent = False
        self._trailing: Any = ()  # the handler's
        self._trailers: dict[str, str | None] = {}  # the chain's changes
        self._answer: bytes | None = None  # of a `Respond`
        self._refusal: tuple[int, str] | None = None
        self._aborted: aio.AbortError | None = None  # by the chain; what the client hears is sent then
        inner.add_done_callback(partial(ended, rpc))

    # ------------------------------------------------------------ driving

    async def one(self, behavior: Any, request: Any, streams: bool) -> Any:
        """A coroutine: one reply, or replies by `write`."""
        try:
            argument = await self._opened(request) if streams else await self._request(request)
            if self._answer is not None:
                return self._answer
            reply = await behavior(argument, self)
            await self._refuse()
            if self._answer is not None:
                return self._answer
            code = code_of(self._inner)
            if code != OK or reply is None:
                await self._apply()
                self._rpc.finish(code, Cause.REPLY)
                # Where a message is due: the client gets none, so the chain sees none, and nothing unseen leaves.
                return None if reply is None else b""
            data = await self._passed(reply)
        except Exception as error:
            return await self._raised(error)
        except BaseException:  # cancelled
            ended(self._rpc, self._inner)
            raise
        self._rpc.finish(OK, Cause.REPLY)
        return data

    async def many(self, behavior: Any, request: Any, streams: bool) -> AsyncIterator[bytes]:
        """An asynchronous generator."""
        try:
            argument = await self._opened(request) if streams else await self._request(request)
            async for reply in behavior(argument, self):
                yield await self._passed(reply)
            await self._refuse()
        except Exception as error:
            await self._raised(error)
            return
        except asyncio.CancelledError:
            ended(self._rpc, self._inner)
            raise
        await self._apply()
        self._rpc.finish(code_of(self._inner), Cause.REPLY)

    async def _refuse(self) -> None:
        """Whatever the handler made of it: a refused RPC ends so.  To abort a second time is an error of its own."""
        if self._aborted is not None:
            raise self._aborted
        if self._refusal is not None:
            await self._inner.abort(status(self._refusal[0]), self._refusal[1])

    async def _raised(self, error: Exception) -> bytes:
        if self._answer is not None:
            return self._answer
        await self._refuse()
        if isinstance(error, Stop):
            return b""
        await self._apply()
        self._rpc.finish(code_of(self._inner) or UNKNOWN, Cause.REPLY)
        raise error

    # ------------------------------------------------------------ messages

    async def _request(self, data: bytes) -> Any:
        out: Any = self._rpc.request(data)
        if out.__class__ is not bytes:
            out = await self._decided(out)
            if self._answer is not None:
                return None
        if self._deserialize is None:
            return out
        try:
            return self._deserialize(out)
        except Exception:
            log.exception("Exception deserializing message!")
            await self._abort(INTERNAL, "Exception deserializing request!", Cause.REPLY)

    async def _passed(self, reply: Any) -> bytes:
        try:
            data = reply if self._serialize is None else self._serialize(reply)
        except Exception:
            log.exception("Exception serializing message!")
            await self._abort(INTERNAL, "Failed to serialize response!", Cause.REPLY)
        out: Any = self._rpc.response(data)
        if out.__class__ is not bytes:
            if out[0] == Action.REJECT:  # what the handler says beside the reply goes nowhere either
                self._initial = None
                self.set_trailing_metadata(())
            out = await self._decided(out)
        elif self._touches.replies:
            await self._apply()
        self._sent = True  # with the reply, whatever the chain has set
        return out  # type: ignore[no-any-return]

    async def _decided(self, out: Decision) -> Any:
        if out[3]:
            await self._wait(out[3] * NS)
        match out[0]:
            case Action.REJECT:
                self._refusal = out[1], shortened(out[2])
                await self._abort(*self._refusal, Cause.REJECT)
            case Action.RESPOND:
                self._answer = out[2]
                await self._apply()
                self._rpc.finish(OK, Cause.REPLY)
                return out[2]
            case Action.OVER:
                raise Stop
        await self._apply()
        return out[2]

    async def _wait(self, seconds: float) -> None:
        left = self._inner.time_remaining()
        await asyncio.sleep(seconds if left is None else min(seconds, left))
        if left is not None and seconds >= left:
            await self._abort(DEADLINE_EXCEEDED, "Deadline Exceeded", Cause.DEADLINE)

    async def _abort(self, code: int, text: str, cause: Cause) -> None:
        await self._apply()
        self._rpc.finish(code or UNKNOWN, cause)
        try:
            await self._inner.abort(status(code), text)
        except aio.AbortError as aborted:
            self._aborted = aborted
            raise

    async def _apply(self) -> None:
        """Show the handler, and send the client, what the chain has set."""
        if self._touches.headers:
            self._invocation = received(self, self._rpc.changes(Side.REQUEST)) or self._invocation
        if not self._touches.replies:
            return
        trailers = self._rpc.changes(Side.TRAILERS)
        if trailers:
            self._trailers.update(trailers)
            self._inner.set_trailing_metadata(changed(self._trailing, tuple(self._trailers.items())))
        changes = self._rpc.changes(Side.RESPONSE)
        if not self._sent and (changes or self._initial is not None):
            self._sent = True
            await self._inner.send_initial_metadata(changed(self._initial, changes))

    async def _opened(self, requests: Any) -> AsyncIterator[Any]:
        """The requests of a stream, when the first of them has passed: the handler hears of it then."""
        if self._holds:
            data = await self._inner.read()
            if data is aio.EOF:
                await self._abort(INVALID_ARGUMENT, NO_MESSAGE, Cause.REJECT)
            self._first.append(await self._request(data))
        return self._incoming(requests)

    async def _incoming(self, requests: Any) -> AsyncIterator[Any]:
        if self._first:
            yield self._first.pop()
        async for data in requests:
            request = await self._request(data)
            if self._answer is not None:
                return
            yield request

    # ------------------------------------------------------------ grpc.aio.ServicerContext

    async def read(self) -> Any:
        if self._first:
            return self._first.pop()
        data = await self._inner.read()
        if data is aio.EOF or self._answer is not None:
            return aio.EOF
        request = await self._request(data)
        return aio.EOF if self._answer is not None else request

    async def write(self, message: Any) -> None:
        await self._inner.write(await self._passed(message))

    async def send_initial_metadata(self, initial_metadata: Any) -> None:
        if not self._touches.replies:
            await self._inner.send_initial_metadata(initial_metadata)
            return
        if self._sent or self._initial is not None:
            raise aio.UsageError("Send initial metadata failed: already sent")
        self._initial = initial_metadata
        self._rpc.receive(Side.RESPONSE, pairs(initial_metadata))

    def set_trailing_metadata(self, trailing_metadata: Any) -> None:
        self._trailing = trailing_metadata
        self._inner.set_trailing_metadata(changed(trailing_metadata, tuple(self._trailers.items())))
        if self._touches.replies:
            self._rpc.receive(Side.TRAILERS, pairs(trailing_metadata))

    async def abort(self, code: Any, details: str = "", trailing_metadata: Any = ()) -> None:  # type: ignore[override]
        if trailing_metadata:
            self.set_trailing_metadata(trailing_metadata)
        await self._apply()
        await self._inner.abort(code, details)

    async def abort_with_status(self, status: Any) -> Any:
        await self._apply()
        await self._inner.abort_with_status(status)

    def invocation_metadata(self) -> Any:
        return self._inner.invocation_metadata() if self._invocation is None else self._invocation

    def set_code(self, code: Any) -> None:
        self._inner.set_code(code)

    def set_details(self, details: str) -> None:
        self._inner.set_details(details)

    def code(self) -> Any:
        return self._inner.code()

    def details(self) -> Any:
        return self._inner.details()

    def trailing_metadata(self) -> Any:
        return self._inner.trailing_metadata()

    def set_compression(self, compression: grpc.Compression) -> None:
        self._inner.set_compression(compression)

    def disable_next_message_compression(self) -> None:
        self._inner.disable_next_message_compression()

    def peer(self) -> str:
        return self._inner.peer()  # type: ignore[no-any-return]

    def peer_identities(self) -> Any:
        return self._inner.peer_identities()

    def peer_identity_key(self) -> Any:
        return self._inner.peer_identity_key()

    def auth_context(self) -> Any:
        return self._inner.auth_context()

    def time_remaining(self) -> Any:
        return self._inner.time_remaining()

    def add_done_callback(self, callback: Any) -> None:
        self._inner.add_done_callback(lambda _: callback(self))

    def cancelled(self) -> bool:
        return self._inner.cancelled()  # type: ignore[no-any-return]

    def done(self) -> bool:
        return self._inner.done()  # type: ignore[no-any-return]
