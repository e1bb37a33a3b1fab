# SPDX-License-Identifier: Apache-2.0
"""A gRPC server, and calls to it, that do what they are told, step by step: messages are bytes, and no reply goes out
before it is ordered."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc

from transect.rpc.grpcio.metadata import pairs

WHOSE = "x-trial-rpc"  # header that names the RPC
ROOM = 32  # RPCs at once
Headers = Sequence[tuple[str, str | bytes]]
Wrap = Callable[[Any], Any]
Order = Callable[[grpc.ServicerContext], bytes | None]  # None: the RPC ends


@dataclass(frozen=True)
class Came:
    """A message at the server."""

    data: bytes
    headers: Sequence[tuple[str, str]]
    at: float  # time.monotonic
    route: str


class Puppet(grpc.GenericRpcHandler):
    """One server; `route`: its name in chains."""

    def __init__(self, *, streaming: bool, route: str = "", wrap: Wrap = lambda server: server) -> None:
        self.route = route
        self._streaming = streaming
        self._wrap = wrap
        self._orders: dict[str, queue.Queue[Order]] = {}
        self._came: dict[str, list[Came]] = {}
        self._news = threading.Condition()
        self.port = 0
        self._start()

    def _start(self) -> None:
        server = grpc.server(ThreadPoolExecutor(ROOM), options=[("grpc.so_reuseport", 0)])
        self._server = self._wrap(server)
        self._server.add_generic_rpc_handlers((self,))
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        self._server.start()

    def close(self) -> None:
        """RPCs that are under way break off."""
        self._server.stop(0).wait()

    def reset(self) -> None:
        """Break off what is under way, and serve again."""
        self.close()
        self._start()

    # ------------------------------------------------------------ what it is asked

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        if self._streaming:
            return grpc.stream_stream_rpc_method_handler(self._stream)
        return grpc.unary_unary_rpc_method_handler(self._answer)

    def _answer(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        replies = self._ordered(context)
        self._note(context, request)
        return next(replies, b"")

    def _stream(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        replies = self._ordered(context)
        threading.Thread(target=self._read, args=(context, requests), daemon=True).start()
        return replies

    def _read(self, context: grpc.ServicerContext, requests: Iterator[bytes]) -> None:
        with contextlib.suppress(Exception):  # the RPC has ended
            for data in requests:
                self._note(context, data)

    def _note(self, context: grpc.ServicerContext, data: bytes) -> None:
        headers = pairs(context.invocation_metadata())
        with self._news:
            here = Came(data, headers, time.monotonic(), self.route)
            self._came.setdefault(_whose(context), []).append(here)
            self._news.notify_all()

    def _ordered(self, context: grpc.ServicerContext) -> Iterator[bytes]:
        """Replies as they are ordered, until the RPC is over."""
        orders = self._orders[_whose(context)] = queue.Queue()
        context.add_callback(lambda: orders.put(_over))

        def replies() -> Iterator[bytes]:
            while (reply := orders.get()(context)) is not None:
                yield reply

        return replies()

    def came(self, name: str) -> list[Came]:
        """Messages of an RPC so far."""
        with self._news:
            return list(self._came.get(name, ()))

    # ------------------------------------------------------------ what it is told

    def reply(self, name: str, data: bytes, headers: Headers) -> None:
        def order(context: grpc.ServicerContext) -> bytes:
            with contextlib.suppress(ValueError):  # headers have gone before
                context.send_initial_metadata(tuple(headers))
            return data

        self._orders[name].put(order)

    def end(self, name: str, code: int) -> None:
        def order(context: grpc.ServicerContext) -> None:
            if code:  # without a message, which `set_code` would send
                context.abort(CODES[code], "the trial's server")

        self._orders[name].put(order)


CODES = {code.value[0]: code for code in grpc.StatusCode}


def _over(_: grpc.ServicerContext) -> None:
    """The RPC has ended by itself."""


def _whose(context: grpc.ServicerContext) -> str:
    return str(dict(context.invocation_metadata()).get(WHOSE, ""))


# ---------------------------------------------------------------- calls


@dataclass
class Call:
    """An RPC as its client sees it."""

    _running: Any  # grpc.Call, and an iterator where replies stream
    _sending: queue.Queue[bytes | None] | None  # of a method whose requests stream
    replies: list[bytes] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def begin(
        cls, channel: Any, path: str, data: bytes, headers: Headers, timeout: float | None, streaming: bool
    ) -> Call:
        if not streaming:
            running = channel.unary_unary(path).future(data, metadata=tuple(headers), timeout=timeout)
            made = cls(running, None)
            running.add_done_callback(lambda _: made._done())
            return made
        sending: queue.Queue[bytes | None] = queue.Queue()
        sending.put(data)
        running = channel.stream_stream(path)(
            iter(sending.get, None), metadata=tuple(headers), timeout=timeout
        )
        made = cls(running, sending)
        threading.Thread(target=made._listen, daemon=True).start()
        return made

    def _done(self) -> None:
        with contextlib.suppress(Exception):  # a status, or cancelled: `code` says it
            self.replies.append(self._running.result())
        self.over.set()

    def _listen(self) -> None:
        with contextlib.suppress(Exception):
            for data in self._running:
                self.replies.append(data)
        self.over.set()

    def send(self, data: bytes) -> None:
        assert self._sending is not None, "a unary method has one request"
        self._sending.put(data)

    def cancel(self) -> None:
        self._running.cancel()

    @property
    def code(self) -> int:
        """After it is over."""
        return int(self._running.code().value[0])

    @property
    def details(self) -> str:
        return self._running.details() or ""

    def headers(self) -> Mapping[str, str]:
        """The reply's headers, for which this waits, and its trailers, if they have come."""
        found = dict(pairs(self._running.initial_metadata()))
        return found | (dict(pairs(self._running.trailing_metadata())) if self.over.is_set() else {})


# ---------------------------------------------------------------- other addresses


class Relay:
    """Passes connections on from another address of loopback, so that a server sees another peer."""

    def __init__(self, source: str, target: tuple[str, int]) -> None:
        self._source, self._target = source, target
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._door.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                here, _ = self._door.accept()
                there = socket.create_connection(self._target, source_address=(self._source, 0))
                for a, b in ((here, there), (there, here)):
                    threading.Thread(target=_pump, args=(a, b), daemon=True).start()


def _pump(a: socket.socket, b: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := a.recv(1 << 16):
            b.sendall(data)
    for end in (a, b):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
