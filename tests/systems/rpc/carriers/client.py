# SPDX-License-Identifier: Apache-2.0
"""Making the calls, by a blocking stub or by asyncio's, and what the client saw of each."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import grpc
from grpc import aio

from tests.systems.rpc.carriers.calls import Call
from tests.systems.rpc.carriers.service import generated, shown

AT_ONCE = 8
REPLIES = 3  # of a stream
CANCEL_AFTER = 0.15  # seconds, where no reply comes first


@dataclass
class Got:
    """What the client saw of one call."""

    code: str = ""
    details: str = ""
    replies: list[str] = field(default_factory=list)  # "text/note/bytes of pad"
    initial: tuple[tuple[str, str], ...] = ()
    trailing: tuple[tuple[str, str], ...] = ()


def _requests(call: Call) -> list[Any]:
    return [generated()[0].Ask(text=text, pad=b"\0" * call.pad) for text in call.texts]


def _method(channel: Any, call: Call) -> Any:
    if not call.raw:
        return getattr(generated()[1].KitStub(channel), call.kind.value)
    makes = channel.unary_stream if call.kind.many else channel.unary_unary
    return makes(f"/kit.Kit/{call.kind.value}", response_deserializer=generated()[0].Answer.FromString)


def _argument(call: Call, requests: Any) -> Any:
    return requests if call.kind.uploads else call.raw or _requests(call)[0]


def _options(call: Call) -> dict[str, Any]:
    compression = grpc.Compression.Gzip if call.gzip else None
    metadata = (("x-call", call.name), *call.metadata)
    return {"timeout": call.timeout, "metadata": metadata, "compression": compression}


def _note(got: Got, reply: Any) -> None:
    got.replies.append(f"{reply.text}/{reply.note}/{len(reply.pad)}")


class Waiting:
    """Requests of a stream that stays open when the client means to cancel it, or to wait for its deadline."""

    def __init__(self, call: Call) -> None:
        self._requests = iter(_requests(call))
        self._open = call.cancel
        self._raises = call.raises
        self.over = threading.Event()

    def __iter__(self) -> Iterator[Any]:
        yield from self._requests
        if self._raises:
            raise OSError("the file with the rest is gone")
        if self._open:
            self.over.wait(10)


def blocking(channel: Any, call: Call) -> Got:
    got, method = Got(), _method(channel, call)
    waiting = Waiting(call)
    argument = _argument(call, iter(waiting))
    if call.kind.many:
        under_way = method(argument, **_options(call))
    else:
        under_way = method.future(argument, **_options(call))
    timer = threading.Timer(CANCEL_AFTER, under_way.cancel)
    if call.cancel:
        timer.start()
    try:
        if call.kind.many:
            for reply in islice(under_way, REPLIES) if call.drops else under_way:
                _note(got, reply)
        else:
            _note(got, under_way.result())
        told = under_way
    except grpc.RpcError as error:
        told = error if hasattr(error, "trailing_metadata") else under_way
    except grpc.FutureCancelledError:
        told = under_way
    waiting.over.set()
    timer.cancel()
    got.code, got.details = told.code().name, told.details() or ""
    got.initial, got.trailing = shown(told.initial_metadata()), shown(told.trailing_metadata())
    assert shown(under_way.trailing_metadata()) == got.trailing, f"{call.name}: the call and its error differ"
    return got


def all_blocking(channel: Any, calls: tuple[Call, ...]) -> dict[str, Got]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(
            zip((c.name for c in calls), pool.map(lambda c: blocking(channel, c), calls), strict=True)
        )


async def _uploaded(call: Call, over: asyncio.Event) -> AsyncIterator[Any]:
    for request in _requests(call):
        yield request
    if call.raises:
        raise OSError("the file with the rest is gone")
    if call.cancel:
        await over.wait()


async def awaited(channel: Any, call: Call) -> Got:
    got, method, over = Got(), _method(channel, call), asyncio.Event()
    argument = _argument(call, _uploaded(call, over))
    under_way = method(argument, **_options(call))
    if call.cancel:
        asyncio.get_running_loop().call_later(CANCEL_AFTER, under_way.cancel)
    error: Any = None
    try:
        if call.drops:
            for _ in range(REPLIES):
                _note(got, await under_way.read())
        elif call.kind.many:
            async for reply in under_way:
                _note(got, reply)
        else:
            _note(got, await under_way)
    except (aio.AioRpcError, asyncio.CancelledError) as failed:
        error = failed
    over.set()
    if isinstance(error, aio.AioRpcError):
        got.code, got.details = error.code().name, error.details() or ""
        got.initial, got.trailing = shown(error.initial_metadata()), shown(error.trailing_metadata())
        trailing = shown(await under_way.trailing_metadata())
        assert trailing == got.trailing, f"{call.name}: the call and its error differ"
        return got
    got.code, got.details = (await under_way.code()).name, await under_way.details() or ""
    got.initial = shown(await under_way.initial_metadata())
    got.trailing = shown(await under_way.trailing_metadata())
    return got


async def all_awaited(channel: Any, calls: tuple[Call, ...]) -> dict[str, Got]:
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(call: Call) -> Got:
        async with turn:
            return await awaited(channel, call)

    found = await asyncio.gather(*(one(call) for call in calls))
    return dict(zip((c.name for c in calls), found, strict=True))


def settle(seconds: float = 0.3) -> None:
    """Time in which servers hear of what clients have done last."""
    time.sleep(seconds)
