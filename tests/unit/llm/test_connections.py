# SPDX-License-Identifier: Apache-2.0
"""The gateway's connections, before upstreams that answer byte by byte as a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from transect.llm.gateway.connections import Connections, Silent, Unreachable

WHOLE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
HALF: list[bytes | None] = [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel"]


@dataclass
class Upstream:
    """Answers each request with the next of these, in these pieces; None: it closes the connection."""

    answers: list[list[bytes | None]]
    seen: list[bytes] = field(default_factory=list)
    connections: int = 0
    open: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await self._exchanges(reader, writer)
        writer.close()
        self.open -= 1

    async def _exchanges(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0] or b"0")
            self.seen.append(head + await reader.readexactly(size))
            for piece in self.answers.pop(0):
                if piece is None:
                    return
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)


def during(upstream: Upstream, asked: Callable[[Connections], Awaitable[None]], **limits: float) -> None:
    async def run() -> None:
        server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        http = Connections(f"http://127.0.0.1:{port}/base/", {"x-key": "k"}, **{"silence_s": 5.0, **limits})
        try:
            await asked(http)
        finally:
            await http.close()
            server.close()
            while upstream.open:
                await asyncio.sleep(0.001)
            await asyncio.sleep(0)

    asyncio.run(run())


async def whole(http: Connections, body: bytes = b"{}") -> tuple[int, bytes]:
    async with http.ask("POST", "/v1/completions", body) as answer:
        return answer.status, await answer.read(1 << 20)


@pytest.mark.parametrize(
    "pieces",
    [
        [WHOLE],
        [WHOLE[i : i + 1] for i in range(len(WHOLE))],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"2\r\nhe\r\n3\r\nl", b"lo\r\n0\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\n\r\nhel", b"lo", None],
        [b"HTTP/1.1 100 Continue\r\n\r\n", WHOLE],
    ],
    ids=["at once", "byte by byte", "in chunks", "to the end of the connection", "after a notice"],
)
def test_an_answer_is_read_however_it_comes(pieces: list[bytes | None]) -> None:
    upstream = Upstream([pieces])

    async def asked(http: Connections) -> None:
        assert await whole(http) == (200, b"hello")

    during(upstream, asked)
    head, _, body = upstream.seen[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /base/v1/completions HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nx-key: k\r\n" in head and body == b"{}"


def test_a_connection_serves_again() -> None:
    upstream = Upstream([[WHOLE], [WHOLE], [WHOLE, None], [WHOLE]])

    async def asked(http: Connections) -> None:
        assert [await whole(http) for _ in range(2)] == [(200, b"hello")] * 2
        assert upstream.connections == 1
        assert await whole(http) == (200, b"hello")
        while upstream.open:  # closed after it, by the upstream
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.05)  # and that has arrived
        assert await whole(http) == (200, b"hello")
        assert upstream.connections == 2

    during(upstream, asked)


def test_an_answer_that_was_left_ends_its_connection() -> None:
    upstream = Upstream([[b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"], [WHOLE]])

    async def asked(http: Connections) -> None:
        async with http.ask("GET", "/") as answer:
            assert await answer.piece() == b"half"
        assert await whole(http) == (200, b"hello")

    during(upstream, asked)
    assert upstream.connections == 2


@pytest.mark.parametrize(
    ("pieces", "why"),
    [
        ([b"<html>\r\n\r\n"], "Bad status line"),
        ([b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx"], "compressed"),
        ([b"HTTP/1.1 200 OK\r\nx: " + b"y" * (1 << 16), b"y" * (1 << 16)], "more than"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", None], "not completed"),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"], "chunk size"),
        ([None], "disconnected"),
    ],
)
def test_what_is_no_answer_is_said_so(pieces: list[bytes | None], why: str) -> None:
    async def asked(http: Connections) -> None:
        with pytest.raises(Unreachable, match=why):
            await whole(http)

    during(Upstream([pieces]), asked)


def test_silence_ends_it_and_nobody_there_is_told() -> None:
    async def asked(http: Connections) -> None:
        with pytest.raises(Silent):
            await whole(http)

    during(Upstream([HALF]), asked, silence_s=0.05)

    async def nobody() -> None:
        http = Connections("http://127.0.0.1:1", {}, silence_s=1)
        with pytest.raises(Unreachable):
            await whole(http)
        await http.close()

    asyncio.run(nobody())


def test_an_answer_that_takes_too_long_is_ended_and_our_own_pause_is_no_silence() -> None:
    async def asked(http: Connections) -> None:
        with pytest.raises(TimeoutError, match=r"within 0\.3 s"):
            async with http.ask("GET", "/") as answer:
                assert await answer.piece() == b"hel"
                await asyncio.sleep(5)  # as long as its reader takes
        assert not http.under_way

    during(Upstream([HALF]), asked, silence_s=0.1, answer_s=0.3)


@pytest.mark.parametrize("begun", [False, True], ids=["before its head", "after it"])
def test_who_is_cancelled_is_not_told_of_limits(begun: bool) -> None:
    """Also when the limit is reached at the same moment."""

    async def asked(http: Connections) -> None:
        asking = asyncio.ensure_future(whole(http))
        while not (http.under_way and upstream.seen):
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        (exchange,) = http.under_way
        asking.cancel()
        exchange.look(float("inf"))
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert not http.under_way

    upstream = Upstream([HALF if begun else []])
    during(upstream, asked)


def test_an_answer_may_not_be_larger_than_is_wanted() -> None:
    async def asked(http: Connections) -> None:
        with pytest.raises(Unreachable, match="more than 4 bytes"):
            async with http.ask("GET", "/") as answer:
                await answer.read(4)

    during(Upstream([[WHOLE]]), asked)
