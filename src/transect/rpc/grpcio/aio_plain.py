# SPDX-License-Identifier: Apache-2.0
"""Handlers of an asyncio server that are plain functions: the function runs in a thread, its chain on the event loop.

Whatever the function asks of its RPC is done by the RPC's own task.  gRPC frees a call when that task has ended: a
thread that asked the call directly (`peer()`, say) after the client had broken off would end the process (gRPC 1.85).
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Executor, Future
from contextvars import copy_context
from functools import partial
from threading import Lock
from typing import Any

import grpc
from grpc import aio

from transect.rpc.grpcio.context import Delegating

Work = Callable[[], Awaitable[Any]]


class Gone(grpc.RpcError):
    """The RPC has ended, by its client or by the chain: what its function still asks goes nowhere."""


def in_thread(behavior: Callable[[Any, Any], Any], kind: str, pool: Executor | None) -> Callable[..., Any]:
    """A coroutine function that runs `behavior` in the pool; of many replies, each is written as it comes."""
    requests_stream, replies_stream = kind.startswith("stream"), kind.endswith("stream")

    async def coroutine(request: Any, context: Any) -> Any:
        asked = Asked()
        known = Blocking(context, asked)
        argument = Requests(context, asked) if requests_stream else request
        run = partial(copy_context().run, result, written if replies_stream else replied)
        return await asked.answer(
            asyncio.get_running_loop().run_in_executor(pool, run, behavior, argument, known)
        )

    return coroutine


# These run in the thread.


def result(run: Callable[..., Any], *given: Any) -> Any:
    """What `run` returns.  StopIteration becomes another error: an asyncio future refuses it, and the RPC would never
    end."""
    try:
        return run(*given)
    except StopIteration as stop:
        raise RuntimeError("the handler raised StopIteration") from stop


def replied(behavior: Callable[[Any, Any], Any], argument: Any, context: Blocking) -> Any:
    return behavior(argument, context)


def written(behavior: Callable[[Any, Any], Any], argument: Any, context: Blocking) -> None:
    """All replies of one function are made in one thread."""
    replies = behavior(argument, context)
    try:
        for reply in replies:
            context.write(reply)
    finally:
        if inspect.isgenerator(replies):
            replies.close()


class Asked:
    """What a thread asks of an RPC's task."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.Queue[tuple[Work, Future[Any]] | None] = asyncio.Queue()
        self.over = False  # nothing is answered any more

    async def answer(self, function: asyncio.Future[Any]) -> Any:
        """Do what the thread asks until the function has ended; returns the function's result."""
        function.add_done_callback(lambda _: self._waiting.put_nowait(None))
        try:
            while (one := await self._waiting.get()) is not None:
                await _answered(*one)
            return await function
        finally:
            self.over = True
            function.cancel()  # works only where it has not begun
            while not self._waiting.empty():
                left = self._waiting.get_nowait()
                if left is not None:
                    left[1].set_exception(Gone())

    def ask(self, work: Work) -> Any:
        """Called in the thread: the result of `work`, run on the loop; raises what it raises, and Gone when the RPC has
        ended."""
        future: Future[Any] = Future()
        self._loop.call_soon_threadsafe(self._put, work, future)
        return future.result()

    def _put(self, work: Work, future: Future[Any]) -> None:
        if self.over:
            future.set_exception(Gone())
        else:
            self._waiting.put_nowait((work, future))


async def _answered(work: Work, future: Future[Any]) -> None:
    try:
        result = await work()
    except Exception as wrong:
        future.set_exception(wrong)
    except BaseException:  # cancelled
        future.set_exception(Gone())
        raise
    else:
        future.set_result(result)


class Requests(Iterator[Any]):
    """The requests of a stream, for a thread."""

    def __init__(self, context: Any, asked: Asked) -> None:
        self._context = context
        self._asked = asked

    def __next__(self) -> Any:
        request = self._asked.ask(self._context.read)
        if request is aio.EOF:
            raise StopIteration
        return request


class Blocking(Delegating):
    """The context of a plain function: asyncio's, and the methods which that lacks."""

    def __init__(self, inner: Any, asked: Asked) -> None:
        self._inner = inner
        self._asked = asked
        self._lock = Lock()  # for the two below: the RPC ends in the loop's thread
        self._over = False
        self._callbacks: list[Callable[[], Any]] = []
        inner.add_done_callback(self._end)

    def _end(self, *_: object) -> None:
        with self._lock:
            self._over = True
        for callback in self._callbacks:
            callback()

    def add_callback(self, callback: Callable[[], Any]) -> bool:
        """Returns False, and never calls it, when the RPC has ended."""
        with self._lock:
            if not self._over:
                self._callbacks.append(callback)
            return not self._over

    def is_active(self) -> bool:
        return not (self._over or self._asked.over)

    def time_remaining(self) -> float:
        left = self._inner.time_remaining()
        return float("inf") if left is None else left

    def write(self, message: Any) -> None:
        self._asked.ask(partial(self._inner.write, message))

    def send_initial_metadata(self, initial_metadata: Any) -> None:
        self._asked.ask(partial(self._inner.send_initial_metadata, initial_metadata))

    def abort(self, code: Any, details: str = "", trailing_metadata: Any = ()) -> None:
        self._asked.ask(partial(self._inner.abort, code, details, trailing_metadata))

    def abort_with_status(self, status: Any) -> None:
        self._asked.ask(partial(self._inner.abort_with_status, status))

    # These ask gRPC's call, which lives as long as the RPC's task.

    def peer(self) -> str:
        return self._of_the_call(self._inner.peer)  # type: ignore[no-any-return]

    def peer_identities(self) -> Any:
        return self._of_the_call(self._inner.peer_identities)

    def peer_identity_key(self) -> Any:
        return self._of_the_call(self._inner.peer_identity_key)

    def auth_context(self) -> Any:
        return self._of_the_call(self._inner.auth_context)

    def _of_the_call(self, question: Callable[[], Any]) -> Any:
        async def work() -> Any:
            return question()

        return self._asked.ask(work)
