# SPDX-License-Identifier: Apache-2.0
"""Calls of an asyncio stub with a stream in either direction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Coroutine
from typing import Any, TypeVar

import grpc
from grpc import aio

from transect.rpc.grpcio import bases
from transect.rpc.grpcio.aio_calls import AioMethod, Call, OneReply, changed_metadata, error_of
from transect.rpc.grpcio.ending import CANCELLED, OK, Ended, OfStream, outcome
from transect.rpc.grpcio.handle import Action, Carried, Cause, Decision, Rpc, Side
from transect.rpc.grpcio.metadata import changed, pairs
from transect.rpc.grpcio.steps import NS, Reply, Send, Upload, deadline_of, left, received, show, timeout_of
from transect.rpc.grpcio.stubs import Given

T = TypeVar("T")


class _Uploading(Call):
    """Writing the requests of a stream through the chain."""

    _carried: Carried
    _upload: Upload
    _serialize: Any

    async def _through(self, request: Any) -> bytes | None:
        """The request as it goes on; None: it does not, and the stream ends."""
        upload = self._upload
        upload.silent = False
        try:
            out = upload.rpc.request(self._serialize(request))
        except Ended as ended:
            upload.refusal = ended
            upload.rpc.finish(*outcome(ended))
            return None
        if isinstance(out, bytes):
            return out
        if out[3]:
            await asyncio.sleep(out[3] * NS)
        if not upload.decide(out):
            return None
        message: bytes = out[2]
        return message

    async def _requests(self, requests: Any) -> AsyncIterator[bytes]:
        async for request in _asynchronous(requests):
            out = await self._through(request)
            if out is None:
                self._end()
                return
            yield out
        if self._upload.ends():
            self._end()

    def _end(self) -> None:
        # Cancelled first: a stream that just ends would look complete to the server.
        self._call.cancel()

    async def write(self, request: Any) -> None:
        out = await self._through(request)
        if out is None:
            self._end()
            if self._upload.refusal is not None:
                raise error_of(self._upload.refusal)
            raise asyncio.InvalidStateError("RPC already finished.")
        await self._call.write(out)

    async def done_writing(self) -> None:
        if self._upload.ends():
            self._end()
        elif self._upload.answer is None:
            await self._call.done_writing()


async def _asynchronous(requests: Any) -> AsyncIterator[Any]:
    if isinstance(requests, AsyncIterable):
        async for request in requests:
            yield request
    else:
        for request in requests:
            yield request


def _ending(call: Any) -> tuple[int, Cause]:
    """Code and cause of a call that is done."""
    code, text = _at_once(call.code()), _at_once(call.details())
    return outcome(aio.AioRpcError(code, aio.Metadata(), aio.Metadata(), text))


def _at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that need not wait."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        given: T = end.value
        return given
    raise AssertionError("a call that is done knows its status")


class StreamUnaryCall(_Uploading, OneReply, bases.AioStreamUnaryCall):
    def __init__(self, method: AioMethod, request_iterator: Any, given: Given) -> None:
        carried, rpc, metadata = method.begun(given.metadata)
        self._upload = upload = Upload(carried, rpc, carried.holds(method._method))
        self._serialize = method._serialize
        requests = None if request_iterator is None else self._requests(request_iterator)
        # Made here, not by the task: a request may be written before the task has run.
        self._call = method._inner(requests, timeout=given.timeout, metadata=metadata, **given.named)
        steps = upload.steps(requests, deadline_of(given.timeout), metadata)
        OneReply.__init__(self, carried, steps, lambda _: self._call, method._deserialize)

    async def _send(self, step: Send) -> Reply:
        try:
            return await super()._send(step)
        except asyncio.CancelledError as error:
            # We cancelled the call ourselves, because the chain ended the RPC: that must not cancel the caller.
            if self._upload.answer is not None or self._upload.refusal is not None:
                raise self._upload.refusal or Ended.answered() from error
            raise

    async def code(self) -> grpc.StatusCode:
        await self._settled()
        return grpc.StatusCode.OK if self._upload.answer is not None else await super().code()


class _ManyReplies(Call):
    """Reading the replies of a stream through the chain."""

    _carried: Carried
    _rpc: Rpc
    _deserialize: Any
    _upload: Upload | None = None

    def _init(self, method: AioMethod, carried: Carried, rpc: Rpc) -> None:
        self._carried = carried
        self._rpc = rpc
        self._deserialize = method._deserialize
        self._fresh = self._carried.touches.replies
        self._changes = OfStream(carried, rpc)
        self._iterator: AsyncIterator[Any] | None = None

    async def read(self) -> Any:
        try:
            await self._settled()
            if self._over is not None:
                raise error_of(self._over)
            reply = await self._call.read()
            if reply is aio.EOF:
                await self._ended()
                return reply
            return await self._passed(reply)
        except (grpc.RpcError, asyncio.CancelledError) as error:
            raise await self._failed(error) from None

    def __aiter__(self) -> AsyncIterator[Any]:
        if self._iterator is None:
            self._iterator = self._iterate()
        return self._iterator

    async def _iterate(self) -> AsyncIterator[Any]:
        try:
            await self._settled()
            if self._over is not None:
                raise error_of(self._over)
            async for reply in self._call:
                yield await self._passed(reply)
            await self._ended()
        except (grpc.RpcError, asyncio.CancelledError) as error:
            raise await self._failed(error) from None

    async def _passed(self, reply: bytes) -> Any:
        first, self._fresh = self._fresh, False
        if first:
            self._rpc.receive(Side.RESPONSE, pairs(await self._call.initial_metadata()))
        out = self._rpc.response(reply)
        if first:
            self._changes.begin()
        if not isinstance(out, bytes):
            out = await self._decided(out)
        return self._deserialize(out)

    async def _decided(self, out: Decision) -> bytes:
        if out[3]:
            await asyncio.sleep(out[3] * NS)
        if out[0] in (Action.REJECT, Action.OVER):
            refusal = Ended.rejected(out) if out[0] == Action.REJECT else self._refusal() or Ended.over()
            self._over = refusal
            self._rpc.finish(*outcome(refusal))
            self._call.cancel()
            raise self._changes.told(refusal)
        message: bytes = out[2]
        return message

    def _refusal(self) -> Ended | None:
        return self._over or (self._upload.refusal if self._upload is not None else None)

    async def _ended(self) -> None:
        if self._carried.touches.replies:
            self._rpc.receive(Side.TRAILERS, pairs(await self._call.trailing_metadata()))
        self._rpc.finish(OK, Cause.REPLY)

    async def _failed(self, error: BaseException) -> BaseException:
        refusal = self._refusal() or (error if isinstance(error, Ended) else None)
        if refusal is not None:
            self._over = refusal
            self._rpc.finish(*outcome(refusal))
            return error_of(self._changes.told(refusal))
        if self._carried.touches.replies and isinstance(error, aio.AioRpcError):
            show(self._rpc, *received(error))
        self._rpc.finish(*outcome(error))
        if isinstance(error, asyncio.CancelledError) and self._call is not None:
            self._call.cancel()
        return self._changes.told(error)  # type: ignore[no-any-return]

    def cancel(self) -> bool:
        done: bool = self._call is not None and self._call.cancel()
        if done:
            self._rpc.finish(CANCELLED, Cause.CANCEL)
        return done

    def __del__(self) -> None:
        """Dropped before anybody asked for the end of the RPC, which may have come all the same."""
        rpc = getattr(self, "_rpc", None)
        if rpc is None or rpc.finished:
            return
        if self._call is not None and self._call.done() and not self._call.cancelled():
            rpc.finish(*_ending(self._call))
        else:
            self.cancel()
            rpc.finish(CANCELLED, Cause.CANCEL)

    async def initial_metadata(self) -> Any:
        found, changes = await super().initial_metadata(), self._changes.initial
        return changed_metadata(found, changes) if changes else found

    async def trailing_metadata(self) -> Any:
        found = await super().trailing_metadata()  # waits for the end
        changes = self._changes.trailing
        return changed_metadata(found, changes) if changes else found


class UnaryStreamCall(_ManyReplies, bases.AioUnaryStreamCall):
    """The request's hooks run at once; where they ask for a delay, the call below is made by a task."""

    def __init__(self, method: AioMethod, request: Any, given: Given) -> None:
        self._starting: asyncio.Task[None] | None = None
        carried, rpc, metadata = method.begun(given.metadata)
        self._init(method, carried, rpc)
        self._start: Any = lambda message, seconds, pairs: method._inner(
            message, timeout=seconds, metadata=pairs, **given.named
        )
        try:
            out = rpc.request(method._serialize(request))
        except Ended as ended:
            self._over = ended
            return
        if isinstance(out, bytes):
            self._call = self._start(out, given.timeout, metadata)
        elif out[0] in (Action.REJECT, Action.OVER) and not out[3]:
            self._over = Ended.rejected(out) if out[0] == Action.REJECT else Ended.over()
            rpc.finish(*outcome(self._over))
        else:
            metadata = (
                changed(metadata, rpc.changes(Side.REQUEST)) if self._carried.touches.headers else metadata
            )
            self._starting = asyncio.get_running_loop().create_task(
                self._later(out, deadline_of(given.timeout), metadata)
            )

    async def _later(self, out: Decision, deadline: float | None, metadata: Any) -> None:
        remaining = left(deadline)
        late = remaining is not None and out[3] * NS >= remaining
        await asyncio.sleep(remaining if late and remaining is not None else out[3] * NS)
        if late or out[0] == Action.REJECT:
            self._over = self._over or (Ended.deadline() if late else Ended.rejected(out))
            self._rpc.finish(*outcome(self._over))
        elif self._over is None:
            self._call = self._start(out[2], timeout_of(deadline), metadata)

    async def _settled(self) -> None:
        if self._starting is not None:
            await asyncio.wait([self._starting])

    def cancel(self) -> bool:
        if self._call is None and self._over is None and self._starting is not None:
            self._over = Ended.cancelled_here()
            self._starting.cancel()
            self._rpc.finish(CANCELLED, Cause.CANCEL)
            return True
        return super().cancel()


class StreamStreamCall(_Uploading, _ManyReplies, bases.AioStreamStreamCall):
    def __init__(self, method: AioMethod, request_iterator: Any, given: Given) -> None:
        carried, rpc, metadata = method.begun(given.metadata)
        self._init(method, carried, rpc)
        self._upload: Upload = Upload(carried, rpc, carried.holds(method._method))
        self._serialize = method._serialize
        requests = None if request_iterator is None else self._requests(request_iterator)
        self._call = method._inner(requests, timeout=given.timeout, metadata=metadata, **given.named)

    def _refusal(self) -> Ended | None:
        return self._over or self._upload.refusal
