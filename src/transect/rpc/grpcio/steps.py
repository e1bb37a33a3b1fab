# SPDX-License-Identifier: Apache-2.0
"""One RPC with a single reply, on the client's side, free of I/O: a generator of what to do next.

A blocking call, a future and a coroutine each drive the same generator: they answer `Sleep` with None, and `Send` with
a `Reply` or by throwing the error in.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeAlias

import grpc

from transect.rpc.grpcio.ending import CANCELLED, NO_MESSAGE, OK, Ended, outcome, told
from transect.rpc.grpcio.handle import Action, Carried, Cause, Decision, Rpc, Side
from transect.rpc.grpcio.metadata import Changes, changed, pairs

NS = 1e-9
PAST = -1.0  # seconds: a timeout that is over


@dataclass(frozen=True, slots=True)
class Sleep:
    seconds: float


@dataclass(frozen=True, slots=True)
class Send:
    message: Any  # bytes, or an iterator of bytes
    timeout: float | None  # seconds left
    metadata: Any


@dataclass(frozen=True, slots=True)
class Reply:
    message: bytes
    call: Any
    initial: Any = None  # metadata, where the chain touches replies' headers
    trailing: Any = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the application gets."""

    message: bytes
    call: Any
    initial: Changes = ()
    trailing: Changes = ()


Steps: TypeAlias = Generator[Sleep | Send, Any, Answer]


def deadline_of(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


def left(deadline: float | None) -> float | None:
    """Seconds until the deadline."""
    return None if deadline is None else max(deadline - time.monotonic(), 0.0)


def timeout_of(deadline: float | None) -> float | None:
    """The timeout with which gRPC begins a call: negative once the deadline has passed, which ends the call at once.
    With a timeout of 0, or of some nanoseconds, gRPC answers most calls with OK."""
    remaining = left(deadline)
    return PAST if remaining == 0 else remaining


class Stage(IntEnum):
    """Where the quick path of `grpc_unary.c` stopped."""

    BEGIN = 0
    REQUEST = 1
    FAILED = 2
    REPLY = 3
    RETRY = 4
    DECODE = 5


def raising(error: Exception) -> Steps:
    """Steps that only raise this error."""
    raise error
    yield


def _held(out: Decision, deadline: float | None) -> Steps:
    yield from admitted(out, deadline)
    return Answer(out[2], None)


@dataclass(frozen=True, slots=True)
class Unary:
    """A method with one request and one reply."""

    carried: Carried
    method: str

    def begin(self, data: bytes, metadata: Any) -> tuple[Rpc, bytes | Decision]:
        carried = self.carried
        rpc = carried.begin(self.method, metadata)
        return rpc, rpc.request(data)

    def steps(self, data: bytes, deadline: float | None, metadata: Any) -> Steps:
        """All attempts."""
        return (yield from self._from(1, data, deadline, metadata))

    def resumed(
        self, stage: int, rpc: Rpc, data: bytes, value: Any, deadline: float | None, metadata: Any
    ) -> Steps:
        """The steps left when the first attempt got as far as `stage`; `value` as `grpc_unary.c` says."""
        match stage:
            case Stage.REQUEST:
                trying = self._attempt(rpc, value, deadline, metadata)
            case Stage.FAILED:
                trying = raising(value)
            case Stage.REPLY:
                trying = _held(value, deadline)
            case _:
                assert stage == Stage.RETRY, f"stage {stage}"
                after, message = value
                if not self._again(1, Cause.REPLY, after, deadline):
                    return Answer(message, None)
                yield Sleep(after * NS)
                return (yield from self._from(2, data, deadline, metadata))
        return (yield from self._tried(1, rpc, trying, data, deadline, metadata))

    def _from(self, attempt: int, data: bytes, deadline: float | None, metadata: Any) -> Steps:
        rpc, out = self.begin(data, metadata)
        trying = self._attempt(rpc, out, deadline, metadata)
        return (yield from self._tried(attempt, rpc, trying, data, deadline, metadata))

    def _tried(
        self, attempt: int, rpc: Rpc, trying: Steps, data: bytes, deadline: float | None, metadata: Any
    ) -> Steps:
        """This attempt, and the retries which elements ask for when it has ended."""
        failure, answer = None, None
        try:
            answer = yield from trying
        except Exception as error:
            failure = error
        except BaseException:  # GeneratorExit, CancelledError, KeyboardInterrupt: nobody waits any more
            rpc.finish(CANCELLED, Cause.CANCEL)
            raise
        code, cause = (OK, Cause.REPLY) if failure is None else self._failed(rpc, failure)
        after = rpc.finish(code, cause)
        if after is not None and self._again(attempt, cause, after, deadline):
            yield Sleep(after * NS)
            return (yield from self._from(attempt + 1, data, deadline, metadata))
        if answer is None:
            raise told(self.carried, rpc, failure)
        return answer

    def _again(self, attempt: int, cause: int, after: int, deadline: float | None) -> bool:
        """Whether an element's wish to send the request once more is granted."""
        if attempt >= self.carried.attempts or cause in (Cause.CANCEL, Cause.DEADLINE):
            return False
        return deadline is None or time.monotonic() + after * NS < deadline

    def _failed(self, rpc: Rpc, error: Exception) -> tuple[int, Cause]:
        if self.carried.touches.replies and isinstance(error, grpc.RpcError) and not isinstance(error, Ended):
            show(rpc, *received(error))
        return outcome(error)

    def _attempt(self, rpc: Rpc, out: bytes | Decision, deadline: float | None, metadata: Any) -> Steps:
        if not isinstance(out, bytes):
            yield from admitted(out, deadline)
            if out[0] == Action.RESPOND:
                return Answer(out[2], Ended.answered())
            if self.carried.touches.headers:
                metadata = changed(metadata, rpc.changes(Side.REQUEST))
            out = out[2]
        reply = yield Send(out, timeout_of(deadline), metadata)
        return (yield from replied(self.carried, rpc, reply, deadline))


@dataclass(slots=True)
class Upload:
    """A method with many requests and one reply.  Whoever feeds the requests notes here how the chain ends them."""

    carried: Carried
    rpc: Rpc
    silent: bool = False  # no request has come, and one must: without it, there is nothing to decide
    refusal: Ended | None = None
    answer: bytes | None = None  # of a `Respond`
    broken: bool = False  # the client's iterator of requests has raised

    def steps(self, requests: Any, deadline: float | None, metadata: Any) -> Steps:
        try:
            reply = yield Send(requests, timeout_of(deadline), metadata)
            answer = yield from replied(self.carried, self.rpc, reply, deadline)
        except Exception as error:
            if self.answer is not None:
                return Answer(self.answer, Ended.answered())
            failure = self.refusal or error
            if failure is error and isinstance(error, grpc.RpcError) and self.carried.touches.replies:
                show(self.rpc, *received(error))
            self.rpc.finish(*self.ending(failure))
            raise told(self.carried, self.rpc, failure) from None
        except BaseException:
            self.rpc.finish(CANCELLED, Cause.CANCEL)
            raise
        self.rpc.finish(OK, Cause.REPLY)
        return answer

    def ending(self, error: BaseException) -> tuple[int, Cause]:
        """Code and cause of what the RPC raised.  UNKNOWN for a broken iterator is gRPC's own, not the peer's."""
        code, cause = outcome(error)
        own = self.broken and cause is Cause.REPLY and code == grpc.StatusCode.UNKNOWN.value[0]
        return (CANCELLED, Cause.CANCEL) if own else (code, cause)

    def ends(self) -> bool:
        """Note that no more requests come; returns whether that ends the RPC, because there was none."""
        if self.silent:
            self.refusal = Ended(grpc.StatusCode.INVALID_ARGUMENT, NO_MESSAGE, Cause.REJECT)
        return self.silent

    def decide(self, out: Decision) -> bool:
        """Whether the request passes on, now that its delay is over; if not, the requests end."""
        if self.rpc.finished:  # meanwhile
            return False
        match out[0]:
            case Action.FORWARD:
                return True
            case Action.RESPOND:
                self.answer = out[2]
                self.rpc.finish(OK, Cause.REPLY)
            case Action.REJECT:
                self.refusal = Ended.rejected(out)
                self.rpc.finish(*outcome(self.refusal))
        return False


def replied(carried: Carried, rpc: Rpc, reply: Reply, deadline: float | None) -> Steps:
    """Run the response hooks on the one reply."""
    if not carried.touches.replies:
        out = rpc.response(reply.message)
        if isinstance(out, bytes):
            return Answer(out, reply.call)
        yield from admitted(out, deadline)
        return Answer(out[2], reply.call)
    show(rpc, reply.initial, reply.trailing)
    out = rpc.response(reply.message)
    if not isinstance(out, bytes):
        yield from admitted(out, deadline)
        out = out[2]
    return Answer(out, reply.call, rpc.changes(Side.RESPONSE), rpc.changes(Side.TRAILERS))


def received(error: Any) -> tuple[Any, Any]:
    """Headers and trailers that came with a failed reply."""
    if not hasattr(error, "trailing_metadata"):  # gRPC's futures raise errors without a call
        return (), ()
    return error.initial_metadata(), error.trailing_metadata()


def show(rpc: Rpc, initial: Any, trailing: Any) -> None:
    rpc.receive(Side.RESPONSE, pairs(initial))
    rpc.receive(Side.TRAILERS, pairs(trailing))


def admitted(out: Decision, deadline: float | None) -> Generator[Sleep | Send, Any, None]:
    """Wait as long as the chain asks, then raise the refusal, if there is one."""
    after, remaining = out[3] * NS, left(deadline)
    if remaining is not None and after and after >= remaining:
        yield Sleep(remaining)
        raise Ended.deadline()
    if after:
        yield Sleep(after)
    match out[0]:
        case Action.REJECT:
            raise Ended.rejected(out)
        case Action.OVER:
            raise Ended.over()
