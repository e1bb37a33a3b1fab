# SPDX-License-Identifier: Apache-2.0
"""What the tests of the grpcio carrier share: an echo service over raw bytes, the probe chain, and its diary.

The probe chain (C, by hand) has two elements which do what the messages tell them: `q1 reject 7 no` is for `request` of
element 1, `p0 …` for `response` of element 0.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import grpc

from transect.rpc.grpcio import client, native, server
from transect.rpc.grpcio.handle import Carried, Cause, Touches

SOURCE = Path(__file__).parents[1] / "envoy" / "probe_chain.c"
SAY, MANY, COLLECT, CHAT = "/t.Echo/Say", "/t.Echo/Many", "/t.Echo/Collect", "/t.Echo/Chat"
BARE = Touches(headers=False, replies=False, peer=False)
REPLY, REJECT, CANCEL, DEADLINE, RESET = Cause
LARGE = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)]


@cache
def probe_module() -> Any:
    """The compiled probe chain."""
    return native.load(native.compiled({"chain.c": SOURCE.read_bytes()}))


@dataclass(slots=True)
class Told:
    """What the diary says of one RPC."""

    entered: list[int] = field(default_factory=list)  # elements, in order of their first request
    requests: Counter[int] = field(default_factory=Counter)  # by element
    responses: Counter[int] = field(default_factory=Counter)
    finished: list[int] = field(default_factory=list)
    ends: list[tuple[int, Cause]] = field(default_factory=list)
    got: list[str] = field(default_factory=list)
    peer: str = ""


def diary(handle: Any) -> list[Told]:
    """What the carrier called, by RPC; asserts what holds for every RPC however it ends."""
    rpcs: dict[str, Told] = {}
    for line in handle.save(0).decode().splitlines():
        verb, number, *rest = line.split(" ")
        told = rpcs.setdefault(number, Told())
        assert not told.ends or verb == "end", f"after the end: {line}"
        match verb:
            case "rpc":
                told.peer = rest[1]
            case "q":
                told.requests[int(rest[0])] += 1
                if int(rest[0]) not in told.entered:
                    told.entered.append(int(rest[0]))
            case "p":
                told.responses[int(rest[0])] += 1
            case "f":
                told.finished.append(int(rest[0]))
            case "end":
                told.ends.append((int(rest[0]), Cause(int(rest[1]))))
            case "get":
                told.got.append(rest[0])
    for number, told in rpcs.items():
        assert len(told.ends) <= 1, f"rpc {number} ended {len(told.ends)} times"
        if told.ends:
            assert told.finished == told.entered[::-1], (
                f"rpc {number}: entered {told.entered}, finished {told.finished}"
            )
    return list(rpcs.values())


def ends(handle: Any) -> list[tuple[int, Cause]]:
    """Code and cause of each RPC, in order of their beginning; asserts that all have ended."""
    told = diary(handle)
    assert all(t.ends for t in told), f"{sum(not t.ends for t in told)} of {len(told)} RPCs have not ended"
    return [t.ends[0] for t in told]


def eventually(check: Callable[[], Any], seconds: float = 5.0) -> Any:
    """The result of `check` once it stops failing."""
    limit = time.monotonic() + seconds
    while True:
        try:
            return check()
        except AssertionError:
            if time.monotonic() > limit:
                raise
            time.sleep(0.01)


class Echo(grpc.GenericRpcHandler):
    """All four kinds over raw bytes.  `do` replaces the handler of a method; `metadata` are those of each call."""

    def __init__(self) -> None:
        self.metadata: list[Any] = []
        self.seen: list[bytes] = []  # requests
        self.do: dict[str, Any] = {}

    def service(self, handler_call_details: Any) -> Any:
        self.metadata.append(handler_call_details.invocation_metadata)
        method = handler_call_details.method
        do = self.do.get(method)
        match method:
            case "/t.Echo/Say":
                return grpc.unary_unary_rpc_method_handler(do or self._say)
            case "/t.Echo/Many":
                return grpc.unary_stream_rpc_method_handler(do or self._many)
            case "/t.Echo/Collect":
                return grpc.stream_unary_rpc_method_handler(do or self._collect)
            case "/t.Echo/Chat":
                return grpc.stream_stream_rpc_method_handler(do or self._chat)
        return None

    def _say(self, request: bytes, context: Any) -> bytes:
        self.seen.append(request)
        return request

    def _many(self, request: bytes, context: Any) -> Iterator[bytes]:
        for number in range(3):
            yield request if request[:1] in (b"q", b"p") else b"%s %d" % (request, number)

    def _collect(self, requests: Iterator[bytes], context: Any) -> bytes:
        self.seen += requests
        return b"|".join(self.seen)

    def _chat(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        for request in requests:
            self.seen.append(request)
            yield request


@dataclass
class Stub:
    """The four methods of the echo service."""

    say: Any
    many: Any
    collect: Any
    chat: Any

    @staticmethod
    def of(channel: Any) -> Stub:
        return Stub(
            channel.unary_unary(SAY),
            channel.unary_stream(MANY),
            channel.stream_unary(COLLECT),
            channel.stream_stream(CHAT),
        )


@contextmanager
def serving(echo: Echo, carried: Carried | None = None) -> Iterator[int]:
    """A real server, perhaps with a chain; its port."""
    with ThreadPoolExecutor(40) as pool:
        inner = grpc.server(pool, options=[*LARGE, ("grpc.so_reuseport", 0)])
        made = inner if carried is None else server.Server(inner, carried)
        made.add_generic_rpc_handlers((echo,))
        port = made.add_insecure_port("127.0.0.1:0")
        made.start()
        try:
            yield port
        finally:
            made.stop(0).wait()


@contextmanager
def calling(port: int, carried: Carried | None = None) -> Iterator[Stub]:
    """A real channel, perhaps with a chain."""
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=LARGE) as inner:
        yield Stub.of(inner if carried is None else client.Channel(inner, carried))


def refused(call: Callable[[], Any]) -> tuple[str, str]:
    """Name of the code, and details, of the error that it raises."""
    try:
        result = call()
    except grpc.RpcError as error:
        return error.code().name, error.details() or ""
    raise AssertionError(f"no error: {result!r}")
