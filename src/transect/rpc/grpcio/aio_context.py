# SPDX-License-Identifier: Apache-2.0
"""One RPC of an asyncio server on its way through a chain and a handler."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from grpc import aio

from transect.rpc.grpcio import bases
from transect.rpc.grpcio.context import Delegating
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
from transect.rpc.grpcio.handle import Action, Cause, Decision, Rpc, Side, Touches
from transect.rpc.grpcio.metadata import changed, pairs
from transect.rpc.grpcio.server import Serving, Stop, code_of, ended, number, received
from transect.rpc.grpcio.steps import NS

log = logging.getLogger(__name__)


class Context(Delegating, bases.AioServicerContext):
    """One RPC on its way through a chain and a handler, and the context which the handler sees."""

    def __init__(self, inner: Any, serving: Serving, touches: Touches, rpc: Rpc, holds: bool) -> None:
        self._inner = inner
        self._holds = holds  # the handler begins only when a request has passed the chain
        self._first: list[Any] = []  # the request that has passed, until the handler takes it
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
        self._aborted: aio.AbortError | None = None  # by the chain; the client's status has been sent
        inner.add_done_callback(partial(ended, rpc))

    # ------------------------------------------------------------ driving

    async def one(self, behavior: Any, request: Any, streams: bool) -> Any:
        """Run a handler that is a coroutine: it returns one reply, or writes replies with `write`."""
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
                # An empty message where gRPC wants one.  The client gets no message with an error status, so the chain
                # sees none, and a message that the chain has not seen must not leave.
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
        """Run a handler that is an asynchronous generator."""
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
        """End a refused RPC with its refusal, whatever the handler made of it.  A second abort would be an error."""
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
            if out[0] == Action.REJECT:  # the handler's metadata are withheld with the reply
                self._initial = None
                self.set_trailing_metadata(())
            out = await self._decided(out)
        elif self._touches.replies:
            await self._apply()
        self._sent = True  # headers leave with the reply, whether or not the chain has set any
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
        """The requests of a stream; waits until the first has passed, where the handler must not begin before."""
        if self._holds:
            data = await self._received()
            if data is aio.EOF:
                await self._abort(INVALID_ARGUMENT, NO_MESSAGE, Cause.REJECT)
            self._first.append(await self._request(data))
        return self._incoming(requests)

    async def _received(self) -> Any:
        """The next message, or EOF when the client has ended its requests; is cancelled when the client broke off."""
        data = await self._inner.read()
        if data is aio.EOF:
            await self._ended()
        return data

    async def _ended(self) -> None:
        """gRPC reports the end of the requests before it knows whether the client has broken off.

        Asked once more, it knows: if the client has, this task is cancelled.
        """
        await self._inner.read()

    async def _incoming(self, requests: Any) -> AsyncIterator[Any]:
        if self._first:
            yield self._first.pop()
        async for data in requests:
            request = await self._request(data)
            if self._answer is not None:
                return
            yield request
        await self._ended()

    # ------------------------------------------------------------ grpc.aio.ServicerContext

    async def read(self) -> Any:
        if self._first:
            return self._first.pop()
        data = await self._received()
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
        await self._aborting(code)
        await self._inner.abort(code, details)

    async def abort_with_status(self, status: Any) -> Any:
        await self._aborting(status.code)
        await self._inner.abort_with_status(status)

    async def _aborting(self, code: Any) -> None:
        """Note, before the client hears it, that the handler ended the RPC: a client that then hangs up did not."""
        await self._apply()
        self._rpc.finish(number(code) or UNKNOWN, Cause.REPLY)

    def invocation_metadata(self) -> Any:
        return self._inner.invocation_metadata() if self._invocation is None else self._invocation

    def add_done_callback(self, callback: Any) -> None:
        self._inner.add_done_callback(lambda _: callback(self))

    def cancelled(self) -> bool:
        return self._inner.cancelled()  # type: ignore[no-any-return]

    def done(self) -> bool:
        return self._inner.done()  # type: ignore[no-any-return]
