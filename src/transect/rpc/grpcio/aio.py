# SPDX-License-Identifier: Apache-2.0
"""An asyncio channel with a chain.  As in `client.py` the chain stands at the level of serialisers; delays are awaited,
the event loop never waits for a chain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Generator
from functools import partialmethod
from typing import Any

import grpc
from grpc import aio

from transect.rpc.grpcio import bases
from transect.rpc.grpcio.client import guarded
from transect.rpc.grpcio.ending import CANCELLED, OK, Ended, outcome
from transect.rpc.grpcio.handle import Action, Carried, Cause, Decision, Rpc, Side
from transect.rpc.grpcio.metadata import changed, pairs
from transect.rpc.grpcio.steps import (
    NS,
    Answer,
    Reply,
    Send,
    Sleep,
    Stage,
    Steps,
    Unary,
    Upload,
    deadline_of,
    left,
    raising,
    show,
)
from transect.rpc.grpcio.versions import Versions


class Channel(aio.Channel):
    """`inner` with a chain in front of the methods which it covers."""

    def __init__(self, inner: aio.Channel, carried: Carried | Versions) -> None:
        self._inner = inner
        self._versions = Versions.of(carried)

    def _wrap(
        self,
        kind: str,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        *more: Any,
        **named: Any,
    ) -> Any:
        """A stub's method of that kind, through the chain where it covers the method."""
        make = getattr(self._inner, kind)
        if not self._versions.covers(method):
            return make(method, request_serializer, response_deserializer, *more, **named)
        below = make(method, None, None, *more, **named)
        return KINDS[kind](below, self._versions, method, request_serializer, response_deserializer)

    unary_unary: Any = partialmethod(_wrap, "unary_unary")
    unary_stream: Any = partialmethod(_wrap, "unary_stream")
    stream_unary: Any = partialmethod(_wrap, "stream_unary")
    stream_stream: Any = partialmethod(_wrap, "stream_stream")

    async def __aenter__(self) -> Channel:
        return self

    async def __aexit__(self, *_: object) -> bool | None:
        await self.close()
        return False

    async def close(self, grace: float | None = None) -> None:
        await self._inner.close(grace)

    def get_state(self, try_to_connect: bool = False) -> Any:
        return self._inner.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: Any) -> None:
        await self._inner.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._inner.channel_ready()


def error_of(ended: Ended) -> aio.AioRpcError:
    """As an asyncio stub raises it."""
    return aio.AioRpcError(
        ended.code(), aio.Metadata(), aio.Metadata(), ended.details(), ended.debug_error_string()
    )


class _Method:
    def __init__(self, inner: Any, versions: Versions, method: str, serialize: Any, deserialize: Any) -> None:
        self._inner = inner
        self._versions = versions
        self._method = method
        self._serialize = guarded(serialize, "Exception serializing request!")
        self._deserialize = guarded(deserialize, "Exception deserializing response!")

    def _begun(self, metadata: Any) -> tuple[Carried, Rpc, Any]:
        """An RPC of the version that takes those which begin now; and its metadata."""
        carried = self._versions.current
        metadata = carried.stamped(metadata)
        return carried, carried.begin(self._method, metadata), metadata


class _Call:
    """What all calls share: asking the call below, or what ended this one before there was one."""

    _call: Any = None  # gRPC's call, once there is one
    _over: Ended | None = None  # how this side ended the RPC

    def done(self) -> bool:
        return self._over is not None or (self._call is not None and self._call.done())

    def cancelled(self) -> bool:
        return self._over is None and self._call is not None and self._call.cancelled()

    def add_done_callback(self, callback: Callable[[Any], Any]) -> None:
        if self._call is not None:
            self._call.add_done_callback(lambda _: callback(self))
        else:
            asyncio.get_running_loop().call_soon(callback, self)

    def time_remaining(self) -> float | None:
        return None if self._call is None else self._call.time_remaining()

    async def _settled(self) -> None:
        """Returns once `_call` or `_over` is there."""

    async def initial_metadata(self) -> Any:
        await self._settled()
        return aio.Metadata() if self._call is None else await self._call.initial_metadata()

    async def trailing_metadata(self) -> Any:
        await self._settled()
        return aio.Metadata() if self._call is None else await self._call.trailing_metadata()

    async def code(self) -> grpc.StatusCode:
        await self._settled()
        return self._over.code() if self._over is not None else await self._call.code()

    async def details(self) -> str:
        await self._settled()
        return self._over.details() if self._over is not None else await self._call.details()

    async def debug_error_string(self) -> str:
        await self._settled()
        return (
            self._over.debug_error_string()
            if self._over is not None
            else await self._call.debug_error_string()
        )

    async def wait_for_connection(self) -> None:
        await self._settled()
        if self._call is not None:
            await self._call.wait_for_connection()


async def driven(steps: Steps, send: Callable[[Send], Awaitable[Reply]]) -> Answer:
    """Do all of it."""
    try:
        step = next(steps)
        while True:
            try:
                done = await (asyncio.sleep(step.seconds) if isinstance(step, Sleep) else send(step))
            except BaseException as error:
                step = steps.throw(error)
            else:
                step = steps.send(done)
    except StopIteration as end:
        answer: Answer = end.value
        return answer


class _OneReply(_Call):
    """A call with one reply, driven by a task of its own, like gRPC's."""

    def __init__(
        self, carried: Carried, steps: Steps, start: Callable[[Send], Any], deserialize: Any
    ) -> None:
        self._carried = carried
        self._start = start
        self._deserialize = deserialize
        self._answer: Answer | None = None
        self._task = asyncio.get_running_loop().create_task(self._drive(steps))

    async def _drive(self, steps: Steps) -> Any:
        """The reply, or the exception to raise: raised in the task it would be logged when nobody asks."""
        try:
            self._answer = await driven(steps, self._send)
            return self._deserialize(self._answer.message), None
        except Ended as ended:
            self._over = ended
            return None, error_of(ended)
        except (grpc.RpcError, asyncio.CancelledError) as error:
            return None, error

    async def _send(self, step: Send) -> Reply:
        self._call = call = self._start(step)
        message = await call
        if self._carried.touches.replies:
            return Reply(message, call, await call.initial_metadata(), await call.trailing_metadata())
        return Reply(message, call)

    def __await__(self) -> Generator[Any, None, Any]:
        try:
            reply, error = yield from asyncio.shield(self._task).__await__()
        except asyncio.CancelledError:
            self.cancel()
            raise
        if error is not None:
            raise error
        return reply

    def cancel(self) -> bool:
        if self._task.done():
            return False
        if self._call is not None:
            self._call.cancel()
        return self._task.cancel()

    def cancelled(self) -> bool:
        return super().cancelled() or (
            self._task.done() and isinstance(self._outcome(), asyncio.CancelledError)
        )

    def _outcome(self) -> BaseException | None:
        return asyncio.CancelledError() if self._task.cancelled() else self._task.result()[1]

    def done(self) -> bool:
        return self._task.done()

    def add_done_callback(self, callback: Callable[[Any], Any]) -> None:
        self._task.add_done_callback(lambda _: callback(self))

    async def _settled(self) -> None:
        await asyncio.wait([self._task])
        if self._call is None and self._over is None:
            self._over = Ended.cancelled_here() if self._answer is None else Ended.answered()

    async def initial_metadata(self) -> Any:
        found = await super().initial_metadata()
        return (
            _changed(found, self._answer.initial)
            if self._answer is not None and self._answer.initial
            else found
        )

    async def trailing_metadata(self) -> Any:
        found = await super().trailing_metadata()
        return (
            _changed(found, self._answer.trailing)
            if self._answer is not None and self._answer.trailing
            else found
        )


def _changed(metadata: Any, changes: Any) -> aio.Metadata:
    return aio.Metadata(*changed(metadata, changes))


class UnaryUnaryCall(_OneReply, bases.AioUnaryUnaryCall):
    pass


class QuickCall(_Call, bases.AioUnaryUnaryCall):
    """A call whose request has passed as it is, of a chain that touches only messages.

    It needs no task of its own: whoever asks first drives it, and the others wait for him.
    """

    def __init__(
        self,
        unary: Unary,
        rpc: Rpc,
        data: bytes,
        start: Callable[[Send], Any],
        send: Send,
        deserialize: Callable[[bytes], Any],
    ) -> None:
        self._unary = unary
        self._deserialize = deserialize
        self._rpc = rpc
        self._data = data
        self._start = start
        self._sent = send
        self._deadline = deadline_of(send.timeout)
        self._call = start(send)
        self._result: tuple[Any, BaseException | None] | None = None
        self._waiting: list[asyncio.Future[None]] | None = None  # None: nobody drives yet

    async def _drive(self) -> None:
        try:
            self._result = self._deserialize(await self._message()), None
        except Ended as ended:
            self._over = ended
            self._result = None, error_of(ended)
        except (grpc.RpcError, asyncio.CancelledError) as error:
            self._result = None, error

    async def _message(self) -> bytes:
        """The reply as it leaves the chain."""
        rpc, stage = self._rpc, Stage.FAILED
        value: Any
        try:
            out = rpc.response(await self._call)
        except (grpc.RpcError, asyncio.CancelledError) as error:
            value = error
        else:
            if not isinstance(out, bytes):
                stage, value = Stage.REPLY, out
            else:
                after = rpc.finish(OK, Cause.REPLY)
                if after is None:
                    return out
                stage, value = Stage.RETRY, (after, out)
        steps = self._unary.resumed(stage, rpc, self._data, value, self._deadline, self._sent.metadata)
        return (await driven(steps, self._again)).message

    async def _again(self, step: Send) -> Reply:
        self._call = call = self._start(step)
        return Reply(await call, call)

    def __await__(self) -> Generator[Any, None, Any]:
        yield from self._settled().__await__()
        assert self._result is not None, "driven, and nothing came of it"
        reply, error = self._result
        if error is not None:
            raise error
        return reply

    async def _settled(self) -> None:
        if self._result is not None:
            return
        if self._waiting is not None:
            mine = asyncio.get_running_loop().create_future()
            self._waiting.append(mine)
            await mine
            return
        self._waiting = []
        await self._drive()
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    def cancel(self) -> bool:
        return self._result is None and self._call.cancel()


class UnaryUnary(_Method, bases.AioUnaryUnary):
    def __call__(
        self,
        request: Any,
        *,
        timeout: Any = None,
        metadata: Any = None,
        credentials: Any = None,
        wait_for_ready: Any = None,
        compression: Any = None,
    ) -> Any:
        def start(step: Send) -> Any:
            return self._inner(
                step.message,
                timeout=step.timeout,
                metadata=step.metadata,
                credentials=credentials,
                wait_for_ready=wait_for_ready,
                compression=compression,
            )

        carried = self._versions.current
        try:
            data = self._serialize(request)
        except Ended as ended:
            return UnaryUnaryCall(carried, raising(ended), start, self._deserialize)
        metadata, unary = carried.stamped(metadata), Unary(carried, self._method)
        rpc, out = unary.begin(data, metadata)
        if not (carried.touches.headers or carried.touches.replies) and isinstance(out, bytes):
            return QuickCall(unary, rpc, data, start, Send(out, timeout, metadata), self._deserialize)
        steps = unary.resumed(Stage.REQUEST, rpc, data, out, deadline_of(timeout), metadata)
        return UnaryUnaryCall(carried, steps, start, self._deserialize)


class _Uploading(_Call):
    """Writing the requests of a stream through the chain."""

    _carried: Carried
    _upload: Upload
    _serialize: Any

    async def _through(self, request: Any) -> bytes | None:
        """The request as it goes on; None: it does not, and the stream ends."""
        upload = self._upload
        try:
            out = upload.rpc.request(self._serialize(request))
        except Ended as ended:
            upload.refusal = ended
            upload.rpc.finish(*outcome(ended))
            return None
        if isinstance(out, bytes):
            return out
        seconds = upload.decide(out)
        if seconds < 0:
            return None
        if seconds:
            await asyncio.sleep(seconds)
        message: bytes = out[2]
        return message

    async def _requests(self, requests: Any) -> AsyncIterator[bytes]:
        async for request in _asynchronous(requests):
            out = await self._through(request)
            if out is None:
                self._end()
                return
            yield out

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
        if self._upload.answer is None:
            await self._call.done_writing()


async def _asynchronous(requests: Any) -> AsyncIterator[Any]:
    if isinstance(requests, AsyncIterable):
        async for request in requests:
            yield request
    else:
        for request in requests:
            yield request


class StreamUnaryCall(_Uploading, _OneReply, bases.AioStreamUnaryCall):
    def __init__(
        self, method: StreamUnary, request_iterator: Any, timeout: Any, metadata: Any, named: Any
    ) -> None:
        carried, rpc, metadata = method._begun(metadata)
        self._upload = upload = Upload(carried, rpc)
        self._serialize = method._serialize
        requests = None if request_iterator is None else self._requests(request_iterator)
        # Made here, not by the task: a request may be written before the task has run.
        self._call = method._inner(requests, timeout=timeout, metadata=metadata, **named)
        steps = upload.steps(requests, deadline_of(timeout), metadata)
        _OneReply.__init__(self, carried, steps, lambda _: self._call, method._deserialize)

    async def _send(self, step: Send) -> Reply:
        try:
            return await super()._send(step)
        except asyncio.CancelledError as error:
            # What we cancelled ourselves, because the chain ended the RPC, cancels no one else.
            if self._upload.answer is not None or self._upload.refusal is not None:
                raise self._upload.refusal or Ended.answered() from error
            raise

    async def code(self) -> grpc.StatusCode:
        await self._settled()
        return grpc.StatusCode.OK if self._upload.answer is not None else await super().code()


class StreamUnary(_Method, bases.AioStreamUnary):
    def __call__(
        self,
        request_iterator: Any = None,
        timeout: Any = None,
        metadata: Any = None,
        credentials: Any = None,
        wait_for_ready: Any = None,
        compression: Any = None,
    ) -> Any:
        named = {"credentials": credentials, "wait_for_ready": wait_for_ready, "compression": compression}
        return StreamUnaryCall(self, request_iterator, timeout, metadata, named)


class _ManyReplies(_Call):
    """Reading the replies of a stream through the chain."""

    _carried: Carried
    _rpc: Rpc
    _deserialize: Any
    _upload: Upload | None = None

    def _init(self, method: _Method, carried: Carried, rpc: Rpc) -> None:
        self._carried = carried
        self._rpc = rpc
        self._deserialize = method._deserialize
        self._fresh = self._carried.touches.replies
        self._changes: list[tuple[str, str | None]] = []
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
        if self._fresh:
            self._fresh = False
            self._rpc.receive(Side.RESPONSE, pairs(await self._call.initial_metadata()))
        out = self._rpc.response(reply)
        if not isinstance(out, bytes):
            out = await self._decided(out)
        return self._deserialize(out)

    async def _decided(self, out: Decision) -> bytes:
        if self._carried.touches.replies:
            self._changes += self._rpc.changes(Side.RESPONSE)
        if out[0] in (Action.REJECT, Action.OVER):
            refusal = Ended.rejected(out) if out[0] == Action.REJECT else self._refusal() or Ended.over()
            self._over = refusal
            self._rpc.finish(*outcome(refusal))
            self._call.cancel()
            raise refusal
        if out[3]:
            await asyncio.sleep(out[3] * NS)
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
            return error_of(refusal)
        if self._carried.touches.replies and isinstance(error, aio.AioRpcError):
            show(self._rpc, error.initial_metadata(), error.trailing_metadata())
        self._rpc.finish(*outcome(error))
        if isinstance(error, asyncio.CancelledError) and self._call is not None:
            self._call.cancel()
        return error

    def cancel(self) -> bool:
        done: bool = self._call is not None and self._call.cancel()
        if done:
            self._rpc.finish(CANCELLED, Cause.CANCEL)
        return done

    def __del__(self) -> None:
        rpc = getattr(self, "_rpc", None)
        if rpc is not None and not rpc.finished:
            self.cancel()
            rpc.finish(CANCELLED, Cause.CANCEL)

    async def initial_metadata(self) -> Any:
        found = await super().initial_metadata()
        return _changed(found, self._changes) if self._changes else found


class UnaryStreamCall(_ManyReplies, bases.AioUnaryStreamCall):
    """The request's hooks run at once; where they ask for a delay, the call below is made by a task."""

    def __init__(self, method: UnaryStream, request: Any, timeout: Any, metadata: Any, named: Any) -> None:
        self._starting: asyncio.Task[None] | None = None
        carried, rpc, metadata = method._begun(metadata)
        self._init(method, carried, rpc)
        self._start: Any = lambda message, seconds, pairs: method._inner(
            message, timeout=seconds, metadata=pairs, **named
        )
        try:
            out = rpc.request(method._serialize(request))
        except Ended as ended:
            self._over = ended
            return
        if isinstance(out, bytes):
            self._call = self._start(out, timeout, metadata)
        elif out[0] in (Action.REJECT, Action.OVER):
            self._over = Ended.rejected(out) if out[0] == Action.REJECT else Ended.over()
            rpc.finish(*outcome(self._over))
        else:
            metadata = (
                changed(metadata, rpc.changes(Side.REQUEST)) if self._carried.touches.headers else metadata
            )
            self._starting = asyncio.get_running_loop().create_task(
                self._later(out, deadline_of(timeout), metadata)
            )

    async def _later(self, out: Decision, deadline: float | None, metadata: Any) -> None:
        remaining = left(deadline)
        late = remaining is not None and out[3] * NS >= remaining
        await asyncio.sleep(remaining if late and remaining is not None else out[3] * NS)
        if late:
            self._over = Ended.deadline()
            self._rpc.finish(*outcome(self._over))
        elif self._over is None:
            self._call = self._start(out[2], left(deadline), metadata)

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


class UnaryStream(_Method, bases.AioUnaryStream):
    def __call__(
        self,
        request: Any,
        *,
        timeout: Any = None,
        metadata: Any = None,
        credentials: Any = None,
        wait_for_ready: Any = None,
        compression: Any = None,
    ) -> Any:
        named = {"credentials": credentials, "wait_for_ready": wait_for_ready, "compression": compression}
        return UnaryStreamCall(self, request, timeout, metadata, named)


class StreamStreamCall(_Uploading, _ManyReplies, bases.AioStreamStreamCall):
    def __init__(
        self, method: StreamStream, request_iterator: Any, timeout: Any, metadata: Any, named: Any
    ) -> None:
        carried, rpc, metadata = method._begun(metadata)
        self._init(method, carried, rpc)
        self._upload: Upload = Upload(carried, rpc)
        self._serialize = method._serialize
        requests = None if request_iterator is None else self._requests(request_iterator)
        self._call = method._inner(requests, timeout=timeout, metadata=metadata, **named)

    def _refusal(self) -> Ended | None:
        return self._over or self._upload.refusal


class StreamStream(_Method, bases.AioStreamStream):
    def __call__(
        self,
        request_iterator: Any = None,
        timeout: Any = None,
        metadata: Any = None,
        credentials: Any = None,
        wait_for_ready: Any = None,
        compression: Any = None,
    ) -> Any:
        named = {"credentials": credentials, "wait_for_ready": wait_for_ready, "compression": compression}
        return StreamStreamCall(self, request_iterator, timeout, metadata, named)


KINDS: dict[str, type[_Method]] = {
    "unary_unary": UnaryUnary,
    "unary_stream": UnaryStream,
    "stream_unary": StreamUnary,
    "stream_stream": StreamStream,
}
