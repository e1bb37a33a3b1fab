# SPDX-License-Identifier: Apache-2.0
"""Driving the steps of an RPC: in the calling thread, or in the background as a future."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

import grpc

from transect.rpc.grpcio import bases
from transect.rpc.grpcio.ending import Ended
from transect.rpc.grpcio.handle import Carried
from transect.rpc.grpcio.metadata import changed
from transect.rpc.grpcio.steps import Answer, Reply, Send, Sleep, Steps


def block(steps: Steps, send: Callable[[Send], Reply]) -> Answer:
    """Run all steps in the calling thread."""
    try:
        step = next(steps)
        while True:
            try:
                done = time.sleep(step.seconds) if isinstance(step, Sleep) else send(step)
            except BaseException as error:
                step = steps.throw(error)
            else:
                step = steps.send(done)
    except StopIteration as end:
        answer: Answer = end.value
        return answer


def reply_of(carried: Carried, message: bytes, call: Any) -> Reply:
    if carried.touches.replies:
        return Reply(message, call, call.initial_metadata(), call.trailing_metadata())
    return Reply(message, call)


class Shown(grpc.Call):
    """A call whose metadata the chain has changed."""

    def __init__(self, answer: Answer) -> None:
        self._call = answer.call
        self._answer = answer

    def initial_metadata(self) -> Any:
        return changed(self._call.initial_metadata(), self._answer.initial)

    def trailing_metadata(self) -> Any:
        return changed(self._call.trailing_metadata(), self._answer.trailing)

    def code(self) -> grpc.StatusCode:
        return self._call.code()  # type: ignore[no-any-return]

    def details(self) -> str:
        return self._call.details()  # type: ignore[no-any-return]

    def is_active(self) -> bool:
        return False

    def time_remaining(self) -> Any:
        return None

    def cancel(self) -> bool:
        return False

    def add_callback(self, callback: Callable[[], None]) -> bool:
        return False


def shown(answer: Answer) -> Any:
    return Shown(answer) if answer.initial or answer.trailing else answer.call


class Future(grpc.Call, bases.Future):
    """An RPC under way.  Its steps run one at a time: in the thread that makes it, in gRPC's, and in a timer's."""

    def __init__(
        self,
        carried: Carried,
        steps: Steps,
        start: Callable[[Send], Any],
        finish: Callable[[bytes], Any],
        *,
        apart: bool = False,
    ) -> None:
        """`apart`: handle the reply in a thread of its own, since that waits for headers.

        gRPC may report the end of an upload before its headers, and reports both in one thread, which must not wait for
        itself.
        """
        super().__init__()
        self._apart = apart
        self._carried = carried
        self._steps = steps
        self._start = start  # returns gRPC's future
        self._deserialize = finish
        self._condition = threading.Condition()
        self._call: Any = None
        self._timer: threading.Timer | None = None
        self._answer: Answer | None = None
        self._result: Any = None
        self._error: BaseException | None = None
        self._done = False
        self._cancelled = False
        self._callbacks: list[Callable[[Any], object]] = []
        self._advance(None, None)

    # ------------------------------------------------------------ driving

    def _advance(self, value: Any, error: BaseException | None) -> None:
        try:
            step = self._steps.send(value) if error is None else self._steps.throw(error)
        except StopIteration as end:
            self._answered(end.value)
        except Exception as failure:
            self._settle(None, failure)
        else:
            self._do(step)

    def _do(self, step: Sleep | Send) -> None:
        if isinstance(step, Send):
            self._call = self._start(step)
            self._call.add_done_callback(self._replied_apart if self._apart else self._replied)
            if self._cancelled:
                self._call.cancel()
            return
        with self._condition:
            if not self._cancelled:
                self._timer = threading.Timer(step.seconds, self._woken)
                self._timer.daemon = True
                self._timer.start()
                return
        self._advance(None, grpc.FutureCancelledError())

    def _woken(self) -> None:
        with self._condition:
            if self._timer is None:  # cancelled
                return
            self._timer = None
        self._advance(None, None)

    def _replied_apart(self, call: Any) -> None:
        threading.Thread(target=self._replied, args=(call,), name="transect-reply", daemon=True).start()

    def _replied(self, call: Any) -> None:
        try:
            reply = reply_of(self._carried, call.result(), call)
        except BaseException as error:
            self._advance(None, error)
        else:
            self._advance(reply, None)

    def _answered(self, answer: Answer) -> None:
        self._answer = answer
        try:
            result = self._deserialize(answer.message)
        except grpc.RpcError as error:
            self._settle(None, error)
        else:
            self._settle(result, None)

    def _settle(self, result: Any, error: BaseException | None) -> None:
        with self._condition:
            self._result, self._error, self._done = result, error, True
            self._cancelled &= error is not None  # the cancellation may have come too late
            callbacks, self._callbacks = self._callbacks, []
            self._condition.notify_all()
        for callback in callbacks:
            callback(self)

    # ------------------------------------------------------------ grpc.Future

    def cancel(self) -> bool:
        with self._condition:
            if self._done:
                return False
            self._cancelled = True
            timer, self._timer = self._timer, None
            call = self._call
        if timer is not None:
            timer.cancel()
            self._advance(None, grpc.FutureCancelledError())
        elif call is not None:
            call.cancel()
        return True

    def cancelled(self) -> bool:
        return self._cancelled

    def running(self) -> bool:
        return not self._done

    def done(self) -> bool:
        return self._done

    def _wait(self, timeout: float | None) -> None:
        with self._condition:
            if not self._condition.wait_for(lambda: self._done, timeout):
                raise grpc.FutureTimeoutError
        if self._cancelled and self._error is not None:
            raise grpc.FutureCancelledError

    def result(self, timeout: float | None = None) -> Any:
        self._wait(timeout)
        if self._error is not None:
            raise self._error
        return self._result

    def exception(self, timeout: float | None = None) -> Any:
        self._wait(timeout)
        return self._error

    def traceback(self, timeout: float | None = None) -> TracebackType | None:
        self._wait(timeout)
        return None if self._error is None else self._error.__traceback__

    def add_done_callback(self, fn: Callable[[Any], object]) -> None:
        with self._condition:
            if not self._done:
                self._callbacks.append(fn)
                return
        fn(self)

    # ------------------------------------------------------------ grpc.Call

    def _ended(self) -> Any:
        """Wait for the end; returns the object that knows code, details and metadata."""
        with self._condition:
            self._condition.wait_for(lambda: self._done)
        if self._cancelled and not hasattr(self._error, "code"):
            return self._call if self._call is not None else Ended.cancelled_here()
        return self._error if self._error is not None else shown(self._answer)  # type: ignore[arg-type]

    def code(self) -> Any:
        return self._ended().code()

    def details(self) -> Any:
        return self._ended().details()

    def initial_metadata(self) -> Any:
        return self._ended().initial_metadata()

    def trailing_metadata(self) -> Any:
        return self._ended().trailing_metadata()

    def is_active(self) -> bool:
        return not self._done

    def time_remaining(self) -> Any:
        return None if self._call is None else self._call.time_remaining()

    def add_callback(self, callback: Callable[[], object]) -> bool:
        with self._condition:
            if self._done:
                return False
            self._callbacks.append(lambda _: callback())
            return True
