# SPDX-License-Identifier: Apache-2.0
"""A synchronous server with a chain: services are added to it as to any server.

Handlers are wrapped when they are added, together with their serialisers: the server below passes bytes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from functools import partial
from queue import SimpleQueue
from typing import Any

import grpc

from transect.identity.caller import known_as
from transect.identity.words import HEADER
from transect.rpc.grpcio.context import Passing
from transect.rpc.grpcio.ending import (
    CANCELLED,
    DEADLINE_EXCEEDED,
    INTERNAL,
    INVALID_ARGUMENT,
    NO_MESSAGE,
    OK,
    UNAVAILABLE,
    UNKNOWN,
    shortened,
    status,
)
from transect.rpc.grpcio.handle import Action, Carried, Cause, Rpc, Side, Touches
from transect.rpc.grpcio.metadata import changed, pairs
from transect.rpc.grpcio.peer import identity
from transect.rpc.grpcio.steps import NS
from transect.rpc.grpcio.versions import Unknown, Versions

log = logging.getLogger(__name__)

# A cancelled RPC counts as late when little of its timeout is left, since its client's clock started before ours: NEAR
# seconds or, if that is more, 1/ROUNDED of the timeout (gRPC's core writes timeouts up to a hundredth too long, 1 s as
# 1010m); but at most 1/LATEST of it.
NEAR = 0.05
ROUNDED = 50
LATEST = 10

ATTACH_FIRST = "attach the chain first, then add services to what `attach` returns"


class Handlers(grpc.GenericRpcHandler):
    """Wraps the handlers that `inner` finds."""

    def __init__(self, inner: Any, wrap: Callable[[str, Any], Any]) -> None:
        self._inner = inner
        self._wrap = wrap
        self._made: dict[str, tuple[Any, Any]] = {}

    def service(self, handler_call_details: Any) -> Any:
        found = self._inner.service(handler_call_details)
        if found is None:
            return None
        method = handler_call_details.method
        known, wrapped = self._made.get(method, (None, None))
        if known is not found:
            wrapped = self._wrap(method, found)
            # What is not covered is not kept: where any path has a handler, strangers could add paths without end.
            if wrapped is not found:
                self._made[method] = found, wrapped
        return wrapped


def must_be_fresh(inner: grpc.Server) -> None:
    """Raises ValueError when services were added before: their RPCs would bypass the chain."""
    state = getattr(inner, "_state", None)
    for known in ("generic_handlers", "registered_method_handlers"):
        if getattr(state, known, None):
            raise ValueError(ATTACH_FIRST)


class Server(grpc.Server):
    """`inner` with a chain in front of the methods which it covers."""

    def __init__(self, inner: grpc.Server, carried: Carried | Versions) -> None:
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

    def start(self) -> None:
        self._inner.start()

    def stop(self, grace: float | None) -> Any:
        return self._inner.stop(grace)

    def wait_for_termination(self, timeout: float | None = None) -> bool:
        return self._inner.wait_for_termination(timeout)


KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")


def kind_of(handler: Any) -> str:
    """Which of the four kinds a handler is."""
    return KINDS[2 * bool(handler.request_streaming) + bool(handler.response_streaming)]


def rebuilt(kind: str, behavior: Any, original: Any) -> Any:
    """A handler without serialisers; its behaviour keeps the attribute that gRPC looks for."""
    pool = getattr(original, "experimental_thread_pool", None)
    if pool is not None:
        behavior.experimental_thread_pool = pool
    return getattr(grpc, f"{kind}_rpc_method_handler")(behavior)


def blocking(behavior: Any) -> Any:
    """Turn a handler that gives its replies to a callback, as gRPC's own health service does, into one that yields.

    The result holds a thread of the server's, as every other handler does.
    """

    def replies(request: Any, context: Any) -> Iterator[Any]:
        came: SimpleQueue[Any] = SimpleQueue()  # None ends it
        if not context.add_callback(partial(came.put, None)):
            return
        behavior(request, context, came.put)
        while (reply := came.get()) is not None:
            yield reply

    return replies


def wrapped(versions: Versions, method: str, handler: Any) -> Any:
    """The handler with the chain in front of it, or the handler itself where the chain does not cover the method."""
    if not versions.covers(method):
        return handler
    kind = kind_of(handler)
    behavior = getattr(handler, kind)
    handles = blocking(behavior) if getattr(behavior, "experimental_non_blocking", False) else behavior
    chain = Serving(versions, method, handler.request_deserializer, handler.response_serializer, handles)
    return rebuilt(kind, getattr(chain, kind), behavior)


class Stop(Exception):
    """The RPC has ended already: the handler's further work goes nowhere."""


class Serving:
    """One method behind its chain: a behaviour over bytes for each of the four kinds."""

    def __init__(
        self, versions: Versions, method: str, deserialize: Any, serialize: Any, behavior: Any
    ) -> None:
        self._versions = versions
        self._method = method
        self._deserialize = deserialize
        self._serialize = serialize
        self._behavior = behavior

    # ------------------------------------------------------------ the four kinds

    def unary_unary(self, data: bytes, context: Any) -> bytes | None:
        call = self._call(context)
        try:
            request = call.request(data)
        except Stop:
            return b""
        return call.answer if call.answer is not None else call.reply(self._behavior, request)

    def unary_stream(self, data: bytes, context: Any) -> Iterator[bytes]:
        call = self._call(context)
        try:
            request = call.request(data)
        except Stop:
            return iter(())
        return call.replies(self._behavior, request)

    def stream_unary(self, requests: Iterator[bytes], context: Any) -> bytes | None:
        call = self._call(context)
        return call.reply(self._opened, Incoming(requests, call))

    def stream_stream(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        call = self._call(context)
        return call.replies(self._opened, Incoming(requests, call))

    def _opened(self, requests: Incoming, context: Any) -> Any:
        """The handler begins when the stream's first message has passed, as for every other RPC."""
        requests.open()
        return self._behavior(requests, context)

    def _call(self, context: Any) -> ServedCall:
        try:
            carried = self._versions.chosen(context.invocation_metadata)
        except Unknown as unknown:
            self.refuse(context)
            context.abort(grpc.StatusCode.UNAVAILABLE, str(unknown))
        touches, rpc = self.begun(carried, context)
        if touches.headers or touches.replies:
            context = Context(context, rpc, touches)
        return ServedCall(self, touches, rpc, context, carried.holds(self._method))

    def refuse(self, context: Any) -> None:
        """Count an RPC for a version that is not here, with the current version."""
        self.begun(self._versions.current, context)[1].finish(UNAVAILABLE, Cause.REJECT)

    def begun(self, carried: Carried, context: Any) -> tuple[Touches, Rpc]:
        """Begin an RPC on that version.  What the version does not touch is not fetched."""
        touches = carried.touches
        peer = identity(context) if touches.peer else ""
        metadata = carried.seen(context.invocation_metadata())
        return touches, carried.handle.begin(self._method, peer, metadata)


class ServedCall:
    """One RPC on its way through a chain and a handler."""

    def __init__(self, serving: Serving, touches: Touches, rpc: Rpc, context: Any, holds: bool) -> None:
        self.holds = holds  # the handler begins only when a request has passed the chain
        self._deserialize = serving._deserialize
        self._serialize = serving._serialize
        self._touching = touches.headers or touches.replies
        self.rpc = rpc
        self.context = context
        self.answer: bytes | None = None  # of a `Respond`
        self.refusal: tuple[int, str] | None = None
        self._aborted: Exception | None = None  # by the chain; the client's status has been sent
        if not context.add_callback(partial(ended, rpc, context)):
            ended(rpc, context)

    def request(self, data: bytes) -> Any:
        """The message which the handler gets."""
        out = self.rpc.request(data)
        if out.__class__ is not bytes:
            out = self._decided(out)
            if self.answer is not None:
                return None
        if self._deserialize is None:
            return out
        try:
            return self._deserialize(out)
        except Exception:
            log.exception("Exception deserializing message!")
            self.abort(INTERNAL, "Exception deserializing request!", Cause.REPLY)

    def _decided(self, out: Any) -> Any:
        if out[3]:
            self._wait(out[3] * NS)
        match out[0]:
            case Action.REJECT:
                self.refusal = out[1], shortened(out[2])
                self.abort(*self.refusal, Cause.REJECT)
            case Action.RESPOND:
                self.answer = out[2]
                self._headers()
                self.rpc.finish(OK, Cause.REPLY)
                return out[2]
            case Action.OVER:
                raise Stop
        self._headers()
        return out[2]

    def _wait(self, seconds: float) -> None:
        left = self.context.time_remaining()
        time.sleep(min(seconds, left))
        if seconds >= left:
            self.abort(DEADLINE_EXCEEDED, "Deadline Exceeded", Cause.DEADLINE)
        if not self.context.is_active():
            ended(self.rpc, self.context)
            raise Stop

    def _headers(self) -> None:
        if self._touching:
            self.context.apply()

    def _withhold(self) -> None:
        """Withhold the handler's metadata together with its rejected reply."""
        if self._touching:
            self.context.withhold()
        self.context.set_trailing_metadata(())

    def abort(self, code: int, text: str, cause: Cause) -> None:
        self._headers()
        self.rpc.finish(code or UNKNOWN, cause)
        try:
            self.context.abort(status(code), text)
        except Exception as aborted:
            self._aborted = aborted
            raise

    def passed(self, reply: Any) -> bytes:
        """The reply which the client gets."""
        try:
            data = reply if self._serialize is None else self._serialize(reply)
        except Exception:
            log.exception("Exception serializing message!")
            self.abort(INTERNAL, "Failed to serialize response!", Cause.REPLY)
        out: Any = self.rpc.response(data)
        if out.__class__ is not bytes:
            if out[0] == Action.REJECT:
                self._withhold()
            out = self._decided(out)
        elif self._touching:
            self._headers()
        if self._touching:
            self.context.sent = True
        passed: bytes = out
        return passed

    # ------------------------------------------------------------ one reply, or many

    def reply(self, behavior: Any, request: Any) -> bytes | None:
        try:
            reply = behavior(request, self.context)
            self._refuse()
            if self.answer is not None:
                return self.answer
            code = code_of(self.context)
            if code != OK:  # the client gets no message, so the chain sees none, and nothing unseen leaves
                self._headers()
                self.rpc.finish(code, Cause.REPLY)
                return b""
            if not self.context.is_active():
                ended(self.rpc, self.context)
            data = self.passed(reply)
        except Exception as error:
            return self._raised(error)
        self.rpc.finish(OK, Cause.REPLY)
        return data

    def _refuse(self) -> None:
        """Abort where a request was refused and the handler took that for the end of its requests.

        An abort is raised again, not repeated: asyncio's servers take a second `abort` for an error of the handler's.
        """
        if self._aborted is not None:
            raise self._aborted
        if self.refusal is not None:
            self.context.abort(status(self.refusal[0]), self.refusal[1])

    def _raised(self, error: Exception) -> bytes:
        if self.answer is not None:
            return self.answer
        self._refuse()
        if isinstance(error, Stop):
            return b""
        self._fail()
        raise error

    def _fail(self) -> None:
        """The handler raised: by `abort`, or an exception of its own."""
        self._headers()
        if self.context.is_active():
            self.rpc.finish(code_of(self.context) or UNKNOWN, Cause.REPLY)
        else:
            ended(self.rpc, self.context)

    def replies(self, behavior: Any, request: Any) -> Iterator[bytes]:
        try:
            for reply in behavior(request, self.context):
                yield self.passed(reply)
        except Exception as error:
            self._raised(error)
            return
        self._refuse()
        self._headers()
        self.rpc.finish(code_of(self.context), Cause.REPLY)


class Incoming:
    """The requests of a stream, each through the chain."""

    def __init__(self, requests: Iterator[bytes], call: ServedCall) -> None:
        self._requests = requests
        self._call = call
        self._first: list[Any] = []  # the request that has passed, until the handler takes it

    def open(self) -> None:
        """Returns when the first request has passed; when none will, raises Stop or what gRPC's `abort` raises."""
        if not self._call.holds:
            return
        try:
            self._first.append(next(self))
        except StopIteration:
            if self._call.answer is None:
                self._call.abort(INVALID_ARGUMENT, NO_MESSAGE, Cause.REJECT)
            raise Stop from None

    def __iter__(self) -> Incoming:
        return self

    def __next__(self) -> Any:
        if self._first:
            return self._first.pop()
        if self._call.refusal is not None or self._call.answer is not None:
            raise StopIteration
        request = self._call.request(self._received())
        if self._call.answer is not None:
            raise StopIteration
        return request

    next = __next__

    def _received(self) -> bytes:
        """Raises StopIteration when the client has ended its requests, `grpc.RpcError` when it broke off.

        gRPC's iterator may end before gRPC knows which of the two it was; asked once more, gRPC knows.
        """
        try:
            return next(self._requests)
        except StopIteration:
            next(self._requests, None)
            raise

    def __getattr__(self, name: str) -> Any:  # gRPC's own iterator has `is_active` and the like
        return getattr(self._requests, name)


def code_of(context: Any) -> int:
    """The status code that the handler has set, as a number."""
    code = context.code()
    return OK if code is None else number(code)


def number(code: Any) -> int:
    """The number of a status code; gRPC takes either."""
    return code if isinstance(code, int) else code.value[0]


def ended(rpc: Rpc, context: Any) -> None:
    """The RPC is over; if the handler had not ended it, its client has."""
    if not rpc.finished:
        left = context.time_remaining()
        whole = 0.0 if left is None else rpc.elapsed * NS + left
        if left is not None and left <= min(max(NEAR, whole / ROUNDED), whole / LATEST):
            rpc.finish(DEADLINE_EXCEEDED, Cause.DEADLINE)
        else:
            rpc.finish(CANCELLED, Cause.CANCEL)


def received(context: Any, changes: Any) -> Any:
    """The request's metadata as the handler sees them after these changes; None where there are no changes.

    Where callers are known, an element that changes the tenant of the RPC changes for whom the handler works.
    """
    if not changes:
        return None
    for name, value in changes:
        if name == HEADER:
            known_as(value)
    known = context.invocation_metadata()
    kind: Any = type(known[0]) if known else tuple
    return tuple(kind(*pair) if hasattr(kind, "_fields") else pair for pair in changed(known, changes))


class Context(Passing):
    """The handler's context where the chain touches headers or trailers.

    Initial metadata are held back until the chain has seen the first reply; trailers until the end.
    """

    def __init__(self, inner: Any, rpc: Rpc, touches: Touches) -> None:
        super().__init__(inner)
        self._rpc = rpc
        self._touches = touches
        self._invocation: Any = None  # the request's metadata, once the chain has changed them
        self._initial: Any = None
        self.sent = False  # headers of the reply have gone to the client
        self._trailing: Any = ()  # the handler's
        self._trailers: dict[str, str | None] = {}  # the chain's changes

    def send_initial_metadata(self, initial_metadata: Any) -> None:
        if not self._touches.replies:
            self._inner.send_initial_metadata(initial_metadata)
            return
        if self.sent or self._initial is not None:
            raise ValueError("Initial metadata no longer allowed!")
        self._initial = initial_metadata
        self._rpc.receive(Side.RESPONSE, pairs(initial_metadata))

    def set_trailing_metadata(self, trailing_metadata: Any) -> None:
        self._trailing = trailing_metadata
        self._inner.set_trailing_metadata(changed(trailing_metadata, tuple(self._trailers.items())))
        self._rpc.receive(Side.TRAILERS, pairs(trailing_metadata))

    def withhold(self) -> None:
        """Drop the handler's initial metadata, unless they have been sent."""
        self._initial = None

    def apply(self) -> None:
        """Show the handler, and send the client, what the chain has set."""
        self._invocation = received(self, self._rpc.changes(Side.REQUEST)) or self._invocation
        if not self._touches.replies:
            return
        trailers = self._rpc.changes(Side.TRAILERS)
        if trailers:
            self._trailers.update(trailers)
            self._inner.set_trailing_metadata(changed(self._trailing, tuple(self._trailers.items())))
        changes = self._rpc.changes(Side.RESPONSE)
        if not self.sent and (changes or self._initial is not None):
            self.sent = True
            self._inner.send_initial_metadata(
                changed(self._initial, changes) if changes else tuple(self._initial)
            )

    def invocation_metadata(self) -> Any:
        return self._inner.invocation_metadata() if self._invocation is None else self._invocation

    def abort(self, code: Any, details: str = "", trailing_metadata: Any = ()) -> Any:
        if trailing_metadata:  # asyncio's has this parameter
            self.set_trailing_metadata(trailing_metadata)
        self.apply()
        self._inner.abort(code, details)
