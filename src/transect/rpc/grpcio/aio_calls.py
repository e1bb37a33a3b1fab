# SPDX-License-Identifier: Apache-2.0
"""Calls of an asyncio stub with one reply: driven by a task of their own, or by whoever awaits them first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from typing import Any

import grpc
from grpc import aio

from transect.rpc.grpcio import bases
from transect.rpc.grpcio.ending import OK, Ended
from transect.rpc.grpcio.handle import Carried, Cause, Rpc
from transect.rpc.grpcio.metadata import changed
from transect.rpc.grpcio.steps import Answer, Reply, Send, Sleep, Stage, Steps, Unary, deadline_of
from transect.rpc.grpcio.stubs import Method


class AioMethod(Method):
    def begun(self, metadata: Any) -> tuple[Carried, Rpc, Any]:
        """Begin an RPC on the current version; returns the version, the RPC and its metadata."""
        carried = self._versions.current
        metadata = carried.stamped(metadata)
        return carried, carried.begin(self._method, metadata), metadata


def error_of(ended: Ended) -> aio.AioRpcError:
    """As an asyncio stub raises it."""
    return aio.AioRpcError(
        ended.code(),
        aio.Metadata(*ended.initial_metadata()),
        aio.Metadata(*ended.trailing_metadata()),
        ended.details(),
        ended.debug_error_string(),
    )


class Call:
    """What all calls share: they ask gRPC's call, or the error with which this side ended the RPC."""

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
        if self._over is not None:
            return aio.Metadata(*self._over.initial_metadata())
        return aio.Metadata() if self._call is None else await self._call.initial_metadata()

    async def trailing_metadata(self) -> Any:
        await self._settled()
        if self._over is not None:
            return aio.Metadata(*self._over.trailing_metadata())
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
    """Run all steps."""
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


class OneReply(Call):
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
        """The reply, or the exception to raise: one raised in the task is logged when nobody awaits the call."""
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
            self._task.done() and isinstance(self._error(), asyncio.CancelledError)
        )

    def _error(self) -> BaseException | None:
        """What the call raises, with what elements have set in the metadata of the reply."""
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
        if isinstance(error := self._error(), aio.AioRpcError):
            return error.initial_metadata()
        return (
            changed_metadata(found, self._answer.initial)
            if self._answer is not None and self._answer.initial
            else found
        )

    async def trailing_metadata(self) -> Any:
        found = await super().trailing_metadata()
        if isinstance(error := self._error(), aio.AioRpcError):
            return error.trailing_metadata()
        return (
            changed_metadata(found, self._answer.trailing)
            if self._answer is not None and self._answer.trailing
            else found
        )


def changed_metadata(metadata: Any, changes: Any) -> aio.Metadata:
    return aio.Metadata(*changed(metadata, changes))


class UnaryUnaryCall(OneReply, bases.AioUnaryUnaryCall):
    pass


class QuickCall(Call, bases.AioUnaryUnaryCall):
    """A call whose request has passed at once, through a chain that touches only messages.

    It needs no task of its own: whoever awaits it first drives it, and the others wait for that one.
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
