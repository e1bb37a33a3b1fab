# SPDX-License-Identifier: Apache-2.0
"""A synchronous channel with a chain: generated stubs use it as they use any channel.

The chain works on serialised messages: the channel below gets no serialisers; the stub's run here, before and after the
hooks.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MethodType
from typing import Any, ClassVar

import grpc

from transect.rpc.grpcio import bases
from transect.rpc.grpcio.ending import CANCELLED, OK, Ended, OfStream, outcome
from transect.rpc.grpcio.future import Future, block, reply_of, shown
from transect.rpc.grpcio.handle import Action, Carried, Cause, Decision, Rpc, Side
from transect.rpc.grpcio.metadata import changed, pairs
from transect.rpc.grpcio.steps import (
    NS,
    Reply,
    Send,
    Stage,
    Steps,
    Unary,
    Upload,
    deadline_of,
    left,
    received,
    show,
    timeout_of,
)
from transect.rpc.grpcio.stubs import Given, Method, Stubs, Transform, plain

JOIN_SECONDS = 5.0  # gRPC returns the call at once, unless the call failed to start


class UnaryUnary(Method, bases.UnaryUnary):
    """One request, one reply."""

    def stub(self, serialize: Transform | None, deserialize: Transform | None) -> Any:
        """This method; in C, where the chain is native and touches nothing but messages."""
        made = self._quick(serialize, deserialize)
        if made is not self:
            # The stub keeps the object it was given, so that object passes its calls on to the new version's.
            self._versions.watch(made, lambda first: first.follow(self._quick(serialize, deserialize)))
        return made

    def _quick(self, serialize: Any, deserialize: Any) -> Any:
        carried = self._versions.current
        touches, make = carried.touches, getattr(carried.handle, "unary", None)
        if make is None or touches.headers or touches.replies or carried.stamps:
            return self
        others = (partial(self._otherwise, carried), self.with_call, self.future)
        bound = self._inner.__call__  # looked up once; else Python looks it up in the class at every call
        inner = bound if isinstance(bound, MethodType) else self._inner
        return make(inner, serialize, deserialize, self._method, carried.peer, *others)

    def __call__(self, request: Any, *args: Any, **named: Any) -> Any:
        return self.with_call(request, *args, **named)[0]

    def with_call(self, request: Any, *args: Any, **named: Any) -> tuple[Any, Any]:
        given = Given(*args, **named)
        carried = self._versions.current
        data = self._serialize(request)
        unary = Unary(carried, self._method)
        steps = unary.steps(data, deadline_of(given.timeout), carried.stamped(given.metadata))
        return self._blocking(carried, steps, given)

    def _blocking(self, carried: Carried, steps: Steps, given: Given) -> tuple[Any, Any]:
        def send(step: Send) -> Reply:
            reply, call = self._inner.with_call(step.message, step.timeout, step.metadata, *given.rest)
            return reply_of(carried, reply, call)

        answer = block(steps, send)
        return self._deserialize(answer.message), shown(answer)

    def _otherwise(
        self, carried: Carried, stage: int, rpc: Any, data: Any, value: Any, args: Any, named: Any
    ) -> Any:
        """Go on where the quick path in C stopped; the stages are those of `grpc_unary.c`."""
        if stage == Stage.BEGIN:
            return self(*args, **named)
        if stage == Stage.DECODE:
            return self._deserialize(value)
        given = Given(*args[1:], **named)
        deadline = None if given.timeout is None else time.monotonic() + given.timeout - rpc.elapsed * NS
        steps = Unary(carried, self._method).resumed(stage, rpc, data, value, deadline, given.metadata)
        return self._blocking(carried, steps, given)[0]

    def future(self, request: Any, *args: Any, **named: Any) -> Any:
        given = Given(*args, **named)
        carried = self._versions.current
        data = self._serialize(request)

        def start(step: Send) -> Any:
            return self._inner.future(step.message, step.timeout, step.metadata, *given.rest)

        unary = Unary(carried, self._method)
        steps = unary.steps(data, deadline_of(given.timeout), carried.stamped(given.metadata))
        return Future(carried, steps, start, self._deserialize)


class UnaryStream(Method, bases.UnaryStream):
    """One request, many replies."""

    def __call__(self, request: Any, *args: Any, **named: Any) -> Any:
        given = Given(*args, **named)
        carried = self._versions.current
        try:
            data = self._serialize(request)
        except Ended as error:
            return Replies(carried, None, None, self._deserialize, error)
        metadata, timeout = carried.stamped(given.metadata), given.timeout
        rpc = carried.begin(self._method, metadata)
        out: Any = rpc.request(data)
        if out.__class__ is not bytes:
            deadline = deadline_of(timeout)
            refusal = held(out, deadline)
            if refusal is not None:
                rpc.finish(*outcome(refusal))
                return Replies(carried, rpc, None, self._deserialize, refusal)
            if carried.touches.headers:
                metadata = changed(metadata, rpc.changes(Side.REQUEST))
            out, timeout = out[2], timeout_of(deadline)
        call = self._inner(out, timeout, metadata, *given.rest)
        return Replies(carried, rpc, call, self._deserialize)


def held(out: Any, deadline: float | None) -> Ended | None:
    """Wait as long as the chain asks; returns the refusal, if there is one."""
    remaining = left(deadline)
    if remaining is not None and out[3] and out[3] * NS >= remaining:
        time.sleep(remaining)
        return Ended.deadline()
    if out[3]:
        time.sleep(out[3] * NS)
    match out[0]:
        case Action.REJECT:
            return Ended.rejected(out)
        case Action.OVER:
            return Ended.over()
    return None


class StreamUnary(Method, bases.StreamUnary):
    """Many requests, one reply."""

    def __call__(self, request_iterator: Any, *args: Any, **named: Any) -> Any:
        return self.with_call(request_iterator, *args, **named)[0]

    def with_call(self, request_iterator: Any, *args: Any, **named: Any) -> tuple[Any, Any]:
        uploading, steps, start = self._begun(request_iterator, Given(*args, **named))

        def send(step: Send) -> Reply:
            call = start(step)
            return reply_of(uploading.carried, call.result(), call)

        answer = block(steps, send)
        return self._deserialize(answer.message), shown(answer)

    def future(self, request_iterator: Any, *args: Any, **named: Any) -> Any:
        uploading, steps, start = self._begun(request_iterator, Given(*args, **named))
        carried = uploading.carried
        return Future(carried, steps, start, self._deserialize, apart=carried.touches.replies)

    def _begun(self, requests: Any, given: Given) -> tuple[Upload, Steps, Callable[[Send], Any]]:
        """Begin an RPC: returns its upload, its steps, and the function that starts its call."""
        carried = self._versions.current
        metadata = carried.stamped(given.metadata)
        uploading = Upload(carried, carried.begin(self._method, metadata), carried.holds(self._method))
        passing = Requests(iter(requests), uploading, self._serialize)

        def start(step: Send) -> Any:
            # Not the blocking call: only a future can be cancelled when a request is refused.
            return passing.join(self._inner.future(passing, step.timeout, step.metadata, *given.rest))

        return uploading, uploading.steps(passing, deadline_of(given.timeout), metadata), start


class StreamStream(Method, bases.StreamStream):
    """Many requests, many replies."""

    def __call__(self, request_iterator: Any, *args: Any, **named: Any) -> Any:
        given = Given(*args, **named)
        carried = self._versions.current
        metadata = carried.stamped(given.metadata)
        uploading = Upload(carried, carried.begin(self._method, metadata), carried.holds(self._method))
        requests = Requests(iter(request_iterator), uploading, self._serialize)
        call = requests.join(self._inner(requests, given.timeout, metadata, *given.rest))
        return Replies(carried, uploading.rpc, call, self._deserialize, uploading=uploading)


class Requests:
    """The requests of a stream on their way through the chain; gRPC takes them in a thread of its own."""

    def __init__(self, requests: Iterator[Any], uploading: Upload, serialize: Transform) -> None:
        self._requests = requests
        self._uploading = uploading
        self._serialize = serialize
        self._request = uploading.rpc.request
        self._call: Any = None
        self._joined = threading.Event()

    def join(self, call: Any) -> Any:
        """Set the call to cancel when a request is refused."""
        self._call = call
        self._joined.set()
        return call

    def __iter__(self) -> Requests:
        return self

    def __next__(self) -> bytes:
        try:
            request = next(self._requests)
        except StopIteration:
            if self._uploading.ends():
                self._end()
            raise
        except BaseException:
            self._uploading.broken = True
            raise
        self._uploading.silent = False
        try:
            out = self._request(self._serialize(request))
        except Ended as error:
            self._uploading.refusal = error
            self._uploading.rpc.finish(*outcome(error))
            self._end()
        if out.__class__ is bytes:
            return out
        return self._slowly(out)  # type: ignore[arg-type]

    def _slowly(self, out: Decision) -> bytes:
        if out[3]:
            time.sleep(out[3] * NS)
        if not self._uploading.decide(out):
            self._end()
        message: bytes = out[2]
        return message

    def _end(self) -> None:
        # Cancelled first: a stream that just ends would look complete to the server.
        if self._joined.wait(JOIN_SECONDS):
            self._call.cancel()
        raise StopIteration


class Replies(grpc.RpcError, grpc.Call, bases.Future):
    """The replies of a stream, and their call."""

    def __init__(
        self,
        carried: Carried,
        rpc: Rpc | None,
        call: Any,
        deserialize: Transform,
        refusal: Ended | None = None,
        uploading: Upload | None = None,
    ) -> None:
        super().__init__()
        self._carried = carried
        self._rpc = rpc
        self._call: Any = call if call is not None else refusal
        self._next = call.__next__ if call is not None else self._refuse
        self._deserialize = deserialize
        self._refusal = refusal
        self._uploading = uploading
        self._fresh = carried.touches.replies  # headers have yet to be shown to the chain
        self._response: Any = rpc.response if rpc is not None else plain
        self._changes = OfStream(carried, rpc)

    def __iter__(self) -> Replies:
        return self

    def __next__(self) -> Any:
        try:
            reply = self._next()
        except StopIteration:
            self._finish(OK, Cause.REPLY)
            raise
        except Exception as error:
            raise self._failed(error) from None
        except BaseException:
            self.cancel()
            raise
        first = self._fresh
        if first:
            self._show()
        out = self._response(reply)
        if first:
            self._changes.begin()
        if out.__class__ is not bytes:
            out = self._held(out)
        try:
            return self._deserialize(out)
        except Ended as error:
            raise self._stopped(error) from None

    next = __next__

    def _held(self, out: Decision) -> bytes:
        """A reply that the chain delays or refuses."""
        refusal = held(out, None)
        if refusal is not None:
            raise self._stopped((self._ended() if out[0] == Action.OVER else None) or refusal)
        message: bytes = out[2]
        return message

    def _stopped(self, error: Ended) -> Ended:
        """End the RPC on this side; returns the error to raise."""
        self._refusal = error
        self._finish(*outcome(error))
        self._call.cancel()
        return self._changes.told(error)  # type: ignore[no-any-return]

    def _ended(self) -> Ended | None:
        return self._refusal or (self._uploading.refusal if self._uploading is not None else None)

    def _failed(self, error: Exception) -> Exception:
        refusal = self._ended()
        if (
            refusal is None
            and isinstance(error, grpc.RpcError)
            and self._carried.touches.replies
            and self._rpc is not None
        ):
            show(self._rpc, *received(error))
        self._finish(*self._ending(refusal or error))
        return self._changes.told(refusal or error)  # type: ignore[no-any-return]

    def _ending(self, error: BaseException) -> tuple[int, Cause]:
        return outcome(error) if self._uploading is None else self._uploading.ending(error)

    def _refuse(self) -> Any:
        assert self._refusal is not None
        raise self._refusal

    def _show(self) -> None:
        self._fresh = False
        assert self._rpc is not None
        self._rpc.receive(Side.RESPONSE, pairs(self._call.initial_metadata()))

    def _finish(self, code: int, cause: int) -> None:
        if self._rpc is not None and not self._rpc.finished:
            if self._carried.touches.replies and cause == Cause.REPLY and code == OK:
                self._rpc.receive(Side.TRAILERS, pairs(self._call.trailing_metadata()))
            self._rpc.finish(code, cause)

    def __del__(self) -> None:
        """Dropped before anybody asked for the end of the RPC, which may have come all the same."""
        if self._rpc is None or self._rpc.finished:
            return
        if self._call.done():
            self._finish(*self._ending(self._call))
        else:
            self.cancel()
            self._rpc.finish(CANCELLED, Cause.CANCEL)

    # ------------------------------------------------------------ grpc.Call

    def cancel(self) -> bool:
        done: bool = self._call.cancel()
        if done:
            self._finish(CANCELLED, Cause.CANCEL)
        return done

    def code(self) -> Any:
        return self._known().code()

    def details(self) -> Any:
        return self._known().details()

    def _known(self) -> Any:
        return self._ended() or self._call

    def initial_metadata(self) -> Any:
        found, changes = self._known().initial_metadata(), self._changes.initial
        return changed(found, changes) if changes else found

    def trailing_metadata(self) -> Any:
        found = self._known().trailing_metadata()  # waits for the end
        changes = self._changes.trailing
        return changed(found, changes) if changes else found

    def debug_error_string(self) -> Any:
        return self._known().debug_error_string()

    def is_active(self) -> bool:
        return self._call.is_active()  # type: ignore[no-any-return]

    def time_remaining(self) -> Any:
        return self._call.time_remaining()

    def add_callback(self, callback: Callable[[], None]) -> bool:
        return self._call.add_callback(callback)  # type: ignore[no-any-return]

    # ------------------------------------------------------------ grpc.Future

    def cancelled(self) -> bool:
        return self._call.cancelled()  # type: ignore[no-any-return]

    def running(self) -> bool:
        return self._call.running()  # type: ignore[no-any-return]

    def done(self) -> bool:
        return self._call.done()  # type: ignore[no-any-return]

    def result(self, timeout: float | None = None) -> Any:
        return self._known().result(timeout)

    def exception(self, timeout: float | None = None) -> Any:
        return self._known().exception(timeout)

    def traceback(self, timeout: float | None = None) -> Any:
        return self._known().traceback(timeout)

    def add_done_callback(self, fn: Callable[[Any], object]) -> None:
        self._call.add_done_callback(lambda _: fn(self))


class Channel(Stubs, grpc.Channel):
    """`inner` with a chain in front of the methods which it covers."""

    KINDS: ClassVar[Mapping[str, type[Method]]] = {
        "unary_unary": UnaryUnary,
        "unary_stream": UnaryStream,
        "stream_unary": StreamUnary,
        "stream_stream": StreamStream,
    }

    def subscribe(self, callback: Any, try_to_connect: bool | None = False) -> None:
        self._inner.subscribe(callback, try_to_connect=bool(try_to_connect))

    def unsubscribe(self, callback: Any) -> None:
        self._inner.unsubscribe(callback)

    def close(self) -> None:
        self._inner.close()

    def __enter__(self) -> Channel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
