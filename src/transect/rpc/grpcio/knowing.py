# SPDX-License-Identifier: Apache-2.0
"""A server that knows the tenant of each RPC, for whom the layer before it vouches.

    server = transect.rpc.know_callers(grpc.server(pool), "identity.key")

Handlers, chains and `take_turns` then find the tenant's name, and nothing else, in the metadata `x-transect-tenant`.
Within a handler, `transect.identity.current()` gives the same, with the deadline.  An RPC for which nobody vouches has
the tenant `anonymous`.
"""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import Context as Variables
from contextvars import copy_context
from pathlib import Path
from typing import Any

import grpc
from grpc import aio

from transect.base.request_id import named
from transect.identity import HEADER, Caller, Keys, Verifier
from transect.identity.caller import NOBODY, work_for
from transect.identity.speaking import serving, serving_task
from transect.rpc.grpcio import aio_server, server
from transect.rpc.grpcio.context import Passing
from transect.rpc.grpcio.server import kind_of, rebuilt

_END = object()
FOR_EVER_S = 1e9


class Knowing(server.Server):
    """`inner`, a threaded server."""

    def __init__(self, inner: grpc.Server, verifier: Verifier) -> None:
        server.must_be_fresh(inner)
        self._inner = inner
        self.verifier = verifier

    def _wrap(self, method: str, handler: Any) -> Any:
        return _rewritten(handler, plain(getattr(handler, kind_of(handler)), self.verifier, handler))


class KnowingAio(aio_server.Server):
    """`inner`, of asyncio."""

    def __init__(self, inner: aio.Server, verifier: Verifier) -> None:
        aio_server.must_be_fresh(inner)
        self._inner = inner
        self.verifier = verifier

    def _wrap(self, method: str, handler: Any) -> Any:
        behavior = getattr(handler, kind_of(handler))
        if inspect.isasyncgenfunction(behavior):
            return _rewritten(handler, _generator(behavior, self.verifier))
        if inspect.iscoroutinefunction(behavior):
            return _rewritten(handler, _coroutine(behavior, self.verifier))
        return _rewritten(handler, plain(behavior, self.verifier, handler))


def _rewritten(handler: Any, behavior: Any) -> Any:
    kind = kind_of(handler)
    return rebuilt(kind, behavior, getattr(handler, kind))._replace(
        request_deserializer=handler.request_deserializer, response_serializer=handler.response_serializer
    )


# ---------------------------------------------------------------- who calls


class Known(Passing):
    """The context of a handler, with the tenant's name in its metadata."""

    def __init__(self, inner: Any, metadata: Any) -> None:
        super().__init__(inner)
        self._metadata = metadata

    def invocation_metadata(self) -> Any:
        return self._metadata


class KnownAio:
    """The same for asyncio."""

    def __init__(self, inner: Any, metadata: Any) -> None:
        self._inner = inner
        self._metadata = metadata

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def invocation_metadata(self) -> Any:
        return self._metadata


def met(context: Any, verifier: Verifier) -> tuple[Caller, Any]:
    """The caller of the RPC, and `context` with the tenant's name in its metadata."""
    sent = tuple(context.invocation_metadata() or ())
    words = [str(value) for name, value in sent if name == HEADER]
    caller = (verifier.of(",".join(words)) if words else None) or NOBODY  # two words count as none
    ends = [end for end in (_end(context), caller.deadline) if end is not None]
    caller = Caller(caller.tenant, min(ends, default=None), named(sent))
    kind: Any = type(sent[0]) if sent and hasattr(sent[0], "_fields") else lambda name, value: (name, value)
    metadata = (*(pair for pair in sent if pair[0] != HEADER), kind(HEADER, caller.tenant))
    known = Known if isinstance(context, grpc.ServicerContext) else KnownAio
    return caller, known(context, metadata)


def _end(context: Any) -> float | None:
    """When the client gives up, on the clock of `time.monotonic()`; None: never."""
    left = context.time_remaining()  # without a deadline: None, or at a threaded server 292 years
    return None if left is None or left > FOR_EVER_S else float(time.monotonic() + left)


# ---------------------------------------------------------------- handlers of each sort


def plain(behavior: Callable[..., Any], verifier: Verifier, handler: Any) -> Callable[..., Any]:
    """A function that gRPC runs in a thread.  Each call has context variables of its own: the thread serves another RPC
    next.

    The scheduler is told whom the thread works for.
    """

    def begin(context: Any) -> tuple[Caller, Variables, Any]:
        caller, known = met(context, verifier)
        variables = copy_context()
        variables.run(work_for, caller)
        return caller, variables, known

    def one(request: Any, context: Any, *more: Any) -> Any:
        caller, variables, known = begin(context)
        with serving(caller.tenant, caller.deadline):
            return variables.run(behavior, request, known, *more)

    def many(request: Any, context: Any) -> Iterator[Any]:
        caller, variables, known = begin(context)
        with serving(caller.tenant, caller.deadline):
            replies = iter(variables.run(behavior, request, known))
        try:
            while True:
                with serving(caller.tenant, caller.deadline):
                    reply = variables.run(next, replies, _END)
                if reply is _END:
                    return
                yield reply
        finally:
            if inspect.isgenerator(replies):
                variables.run(replies.close)

    if getattr(behavior, "experimental_non_blocking", False):  # it gives its replies to a callback
        one.experimental_non_blocking = True  # type: ignore[attr-defined]
        return one
    return many if handler.response_streaming else one


def _coroutine(behavior: Callable[..., Any], verifier: Verifier) -> Callable[..., Any]:
    async def one(request: Any, context: Any) -> Any:
        caller, known = met(context, verifier)
        work_for(caller)  # gRPC has made this task for the RPC alone
        return await serving_task(caller.tenant, caller.deadline, behavior(request, known))

    return one


def _generator(behavior: Callable[..., Any], verifier: Verifier) -> Callable[..., Any]:
    async def many(request: Any, context: Any) -> AsyncIterator[Any]:
        caller, known = met(context, verifier)
        work_for(caller)
        replies = behavior(request, known)
        while True:
            try:
                reply = await serving_task(caller.tenant, caller.deadline, replies.__anext__())
            except StopAsyncIteration:
                return
            yield reply

    return many


def know_callers(server: Any, keys: str | os.PathLike[str]) -> Any:
    """`server`, of `grpc` or `grpc.aio`, which then knows each RPC's tenant; `keys`: the file that all layers share.

    Wrap the server with this first, then wrap the result with a chain or `take_turns`; add services to the outermost.
    Raises `transect.identity.NoKeys`, and ValueError when services were added before.
    """
    verifier = Verifier(Keys(Path(keys)))
    return KnowingAio(server, verifier) if isinstance(server, aio.Server) else Knowing(server, verifier)
