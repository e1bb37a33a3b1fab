# SPDX-License-Identifier: Apache-2.0
"""A future of an upload, while gRPC tells of its end before it tells of its headers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from types import SimpleNamespace
from typing import Any, cast

import grpc
import pytest

from transect.rpc.grpcio.future import Future
from transect.rpc.grpcio.handle import Carried
from transect.rpc.grpcio.steps import Answer, Send, Steps, received

CARRIED = cast(Carried, SimpleNamespace(touches=SimpleNamespace(replies=True)))


class Call(grpc.RpcError):
    """As gRPC's: one thread calls back when the call has ended, then lets the headers be known."""

    def __init__(self, failed: bool) -> None:
        self._failed = failed
        self._headers = threading.Event()

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        def tell() -> None:
            callback(self)
            self._headers.set()

        threading.Thread(target=tell, daemon=True).start()

    def result(self) -> bytes:
        if self._failed:
            raise self
        return b"reply"

    def initial_metadata(self) -> tuple[tuple[str, str], ...]:
        self._headers.wait()
        return (("x-headers", "came"),)

    def trailing_metadata(self) -> tuple[()]:
        return ()


def steps(seen: list[Any]) -> Steps:
    def run() -> Generator[Any, Any, Answer]:
        try:
            reply = yield Send(b"", None, None)
        except grpc.RpcError as error:
            seen.append(received(error)[0])
            raise
        seen.append(reply.initial)
        return Answer(reply.message, reply.call)

    return run()


@pytest.mark.parametrize("failed", [False, True], ids=["a reply", "an error"])
def test_headers_may_come_after_the_end(failed: bool) -> None:
    seen: list[Any] = []
    future = Future(CARRIED, steps(seen), lambda send: Call(failed), bytes, apart=True)
    if failed:
        with pytest.raises(Call):
            future.result(5)
    else:
        assert future.result(5) == b"reply"
    assert seen == [(("x-headers", "came"),)]
