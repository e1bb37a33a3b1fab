# SPDX-License-Identifier: Apache-2.0
"""An asyncio channel with a chain.  As in `client.py`, the chain works on serialised messages; delays are awaited, so
that the event loop never waits for a chain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from grpc import aio

from transect.rpc.grpcio import bases
from transect.rpc.grpcio.aio_calls import AioMethod, QuickCall, UnaryUnaryCall
from transect.rpc.grpcio.aio_streams import StreamStreamCall, StreamUnaryCall, UnaryStreamCall
from transect.rpc.grpcio.ending import Ended
from transect.rpc.grpcio.steps import Send, Stage, Unary, deadline_of, raising
from transect.rpc.grpcio.stubs import Given, Method, Stubs


class UnaryUnary(AioMethod, bases.AioUnaryUnary):
    def __call__(self, request: Any, **named: Any) -> Any:
        given = Given(**named)

        def start(step: Send) -> Any:
            return self._inner(step.message, timeout=step.timeout, metadata=step.metadata, **given.named)

        carried = self._versions.current
        try:
            data = self._serialize(request)
        except Ended as ended:
            return UnaryUnaryCall(carried, raising(ended), start, self._deserialize)
        metadata, unary = carried.stamped(given.metadata), Unary(carried, self._method)
        rpc, out = unary.begin(data, metadata)
        if not (carried.touches.headers or carried.touches.replies) and isinstance(out, bytes):
            send = Send(out, given.timeout, metadata)
            return QuickCall(unary, rpc, data, start, send, self._deserialize)
        steps = unary.resumed(Stage.REQUEST, rpc, data, out, deadline_of(given.timeout), metadata)
        return UnaryUnaryCall(carried, steps, start, self._deserialize)


class UnaryStream(AioMethod, bases.AioUnaryStream):
    def __call__(self, request: Any, **named: Any) -> Any:
        return UnaryStreamCall(self, request, Given(**named))


class StreamUnary(AioMethod, bases.AioStreamUnary):
    def __call__(self, request_iterator: Any = None, *args: Any, **named: Any) -> Any:
        return StreamUnaryCall(self, request_iterator, Given(*args, **named))


class StreamStream(AioMethod, bases.AioStreamStream):
    def __call__(self, request_iterator: Any = None, *args: Any, **named: Any) -> Any:
        return StreamStreamCall(self, request_iterator, Given(*args, **named))


class Channel(Stubs, aio.Channel):
    """`inner` with a chain in front of the methods which it covers."""

    KINDS: ClassVar[Mapping[str, type[Method]]] = {
        "unary_unary": UnaryUnary,
        "unary_stream": UnaryStream,
        "stream_unary": StreamUnary,
        "stream_stream": StreamStream,
    }

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
