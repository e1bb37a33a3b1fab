# SPDX-License-Identifier: Apache-2.0
"""How an RPC ended: our own error for an RPC that the chain refuses, and code and cause of every other end."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any

import grpc
from grpc import aio

from transect.rpc.grpcio import bases
from transect.rpc.grpcio.handle import Carried, Cause, Decision, Rpc, Side
from transect.rpc.grpcio.metadata import Changes, changed, sent

STATUS = {code.value[0]: code for code in grpc.StatusCode}
OK, CANCELLED, UNKNOWN, INVALID_ARGUMENT, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE = 0, 1, 2, 3, 4, 13, 14

# Only the text of a status tells whether it came from the peer or from gRPC's own transport.
TRANSPORT = (
    "failed to connect",
    "Socket closed",
    "Stream removed",
    "Connection reset",
    "Connection refused",
    "Broken pipe",
    "GOAWAY",
    "RST_STREAM",
    "Cancelling all calls",
    "keepalive",
    "endpoint closing",
    "resolution failed",
)
DEADLINE = "Deadline Exceeded"  # likewise, from gRPC's own clock
DEADLINES = (DEADLINE, f"Stream removed ({DEADLINE})")  # before and after the first reply


def status(code: int) -> grpc.StatusCode:
    """A rejection is no success: OK, like every number without a name, becomes UNKNOWN."""
    return STATUS.get(code, grpc.StatusCode.UNKNOWN) if code else grpc.StatusCode.UNKNOWN


NO_MESSAGE = "a request without a message: the chain has nothing to decide"
LONGEST_TEXT = 1024  # bytes, in a status that a server sends; peers refuse headers of 8 or 16 KiB in all


def shortened(text: str) -> str:
    """The text, cut at a character boundary to what headers can take: it may be made of a message, of any length."""
    if len(text) <= LONGEST_TEXT // 4:
        return text
    return text.encode(errors="replace")[:LONGEST_TEXT].decode(errors="ignore")


class Ended(grpc.RpcError, grpc.Call, bases.Future):
    """An RPC that ended on this side, before the peer answered or was asked; a synchronous stub raises it."""

    def __init__(self, code: grpc.StatusCode, text: str, cause: Cause) -> None:
        super().__init__(text)
        self.cause = cause
        self.initial: Changes = ()  # what elements have set for a reply that never comes
        self.trailing: Changes = ()
        self._code = code
        self._text = text

    @classmethod
    def rejected(cls, decision: Decision) -> Ended:
        return cls(status(decision[1]), decision[2], Cause.REJECT)

    @classmethod
    def over(cls) -> Ended:
        return cls(grpc.StatusCode.CANCELLED, "the RPC has ended", Cause.CANCEL)

    @classmethod
    def answered(cls) -> Ended:
        """The call of an RPC which the chain answered itself."""
        return cls(grpc.StatusCode.OK, "", Cause.REPLY)

    @classmethod
    def cancelled_here(cls) -> Ended:
        return cls(grpc.StatusCode.CANCELLED, "Locally cancelled by application!", Cause.CANCEL)

    @classmethod
    def deadline(cls) -> Ended:
        return cls(grpc.StatusCode.DEADLINE_EXCEEDED, DEADLINE, Cause.DEADLINE)

    @classmethod
    def internal(cls, text: str) -> Ended:
        """With gRPC's own text, since our (de)serialising takes the place of gRPC's."""
        return cls(grpc.StatusCode.INTERNAL, text, Cause.CANCEL)

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._text

    def debug_error_string(self) -> str:
        return f"transect:{self._code.name}:{self._text}"

    def initial_metadata(self) -> tuple[Any, ...]:
        return sent(self.initial)

    def trailing_metadata(self) -> tuple[Any, ...]:
        return sent(self.trailing)

    def is_active(self) -> bool:
        return False

    def time_remaining(self) -> Any:
        return None

    def add_callback(self, callback: Callable[[], None]) -> bool:
        return False

    def cancel(self) -> bool:
        return False

    def cancelled(self) -> bool:
        return False

    def running(self) -> bool:
        return False

    def done(self) -> bool:
        return True

    def result(self, timeout: float | None = None) -> Any:
        raise self

    def exception(self, timeout: float | None = None) -> Exception:
        return self

    def traceback(self, timeout: float | None = None) -> TracebackType | None:
        try:
            raise self
        except grpc.RpcError:
            return sys.exc_info()[2]

    def add_done_callback(self, fn: Callable[[Any], None]) -> None:
        fn(self)

    def __str__(self) -> str:
        return f"<{type(self).__name__}: {self._code.name}: {self._text}>"

    __repr__ = __str__


class Failed(grpc.RpcError, grpc.Call):
    """What gRPC raised, with the headers and trailers that elements have set."""

    def __init__(self, error: Any, initial: Changes, trailing: Changes) -> None:
        super().__init__(*error.args)
        self._error = error
        self._initial = initial
        self._trailing = trailing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._error, name)

    def code(self) -> grpc.StatusCode:
        return self._error.code()  # type: ignore[no-any-return]

    def details(self) -> str:
        return self._error.details()  # type: ignore[no-any-return]

    def initial_metadata(self) -> Any:
        return changed(self._error.initial_metadata(), self._initial)

    def trailing_metadata(self) -> Any:
        return changed(self._error.trailing_metadata(), self._trailing)

    def is_active(self) -> bool:
        return False

    def time_remaining(self) -> Any:
        return self._error.time_remaining()

    def cancel(self) -> bool:
        return False

    def add_callback(self, callback: Callable[[], None]) -> bool:
        return False

    def __str__(self) -> str:
        return str(self._error)

    __repr__ = __str__


def told(carried: Carried, rpc: Rpc, error: Any) -> Any:
    """The error as the application gets it: with what elements have set and removed in the metadata of the reply."""
    if not carried.touches.replies:
        return error
    return _with(error, rpc.changes(Side.RESPONSE), rpc.changes(Side.TRAILERS))


class OfStream:
    """What elements have set and removed in the metadata of a streamed reply.  The call shows these changes, and so
    does the error that ends it."""

    def __init__(self, carried: Carried, rpc: Rpc | None) -> None:
        self._rpc = rpc if carried.touches.replies else None
        self.initial: Changes = ()  # by the hooks of the first message; when later ones run, the headers have left
        self._trailing: dict[str, str | None] = {}

    def begin(self) -> None:
        """Called when the chain has decided on the first message."""
        if self._rpc is not None:
            self.initial = self._rpc.changes(Side.RESPONSE)

    @property
    def trailing(self) -> Changes:
        if self._rpc is not None:
            self._trailing.update(self._rpc.changes(Side.TRAILERS))
        return tuple(self._trailing.items())

    def told(self, error: Any) -> Any:
        return _with(error, self.initial, self.trailing)


def _with(error: Any, initial: Changes, trailing: Changes) -> Any:
    if not isinstance(error, grpc.RpcError):
        return error
    if isinstance(error, Ended):
        error.initial, error.trailing = initial, trailing
        return error
    if not (initial or trailing):
        return error
    if isinstance(error, aio.AioRpcError):
        return aio.AioRpcError(
            error.code(),
            aio.Metadata(*changed(error.initial_metadata(), initial)),
            aio.Metadata(*changed(error.trailing_metadata(), trailing)),
            error.details(),
            error.debug_error_string(),
        )
    return Failed(error, initial, trailing)


def outcome(error: BaseException) -> tuple[int, Cause]:
    """Code and cause, on the client's side, of what an RPC raised."""
    if isinstance(error, Ended):
        return error.code().value[0], error.cause
    if not isinstance(error, grpc.RpcError) or not hasattr(error, "code"):
        return CANCELLED, Cause.CANCEL
    code, text = error.code(), error.details() or ""
    cancelled = getattr(error, "cancelled", None)
    if cancelled is not None and cancelled():
        return CANCELLED, Cause.CANCEL
    number = code.value[0]
    if code is grpc.StatusCode.DEADLINE_EXCEEDED and text.startswith(DEADLINES):
        return number, Cause.DEADLINE
    if code is grpc.StatusCode.CANCELLED and text == "Channel closed!":
        return number, Cause.CANCEL
    if code is grpc.StatusCode.CANCELLED and text in ("CANCELLED", "Cancelled"):
        return number, Cause.RESET  # the peer reset the stream, with no status
    if any(words in text for words in TRANSPORT):
        return number, Cause.RESET
    return number, Cause.REPLY
