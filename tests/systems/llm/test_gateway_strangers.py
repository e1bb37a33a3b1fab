# SPDX-License-Identifier: Apache-2.0
"""The gateway before anybody has shown a key: many slow clients, few descriptors, and good clients among them.

`make fuzz` has 2,000 slow clients before a gateway with 1,024 descriptors.
"""

from __future__ import annotations

import asyncio
import socket
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from tests.fuzz.reading import COUNT
from tests.systems.llm.running import gateway
from tests.systems.llm.upstream import engine

MANY = COUNT > 5000
SLOW, DESCRIPTORS, GOOD = (2000, 1024, 600) if MANY else (300, 256, 60)
ADDRESSES = 16  # that slow clients come from
TRICKLE_S = 0.5  # between two bytes

Send = Callable[[bytes], Awaitable[None]]


@asynccontextmanager
async def connected(url: str, source: str = "127.0.0.1") -> AsyncIterator[socket.socket]:
    host, _, port = url.removeprefix("http://").rpartition(":")
    with socket.socket() as made:
        made.setblocking(False)
        made.bind((source, 0))
        await asyncio.get_running_loop().sock_connect(made, (host, int(port)))
        yield made


async def _nothing(send: Send) -> None:
    """It says nothing at all."""


async def _one_byte(send: Send) -> None:
    await send(b"P")


async def _trickle(send: Send) -> None:
    """A head that goes on and on."""
    await send(b"POST /v1/completions HTTP/1.1\r\nhost: x\r\n")
    while True:
        await send(b"x: y\r\n")
        await asyncio.sleep(TRICKLE_S)


async def _empty_lines(send: Send) -> None:
    while True:
        await send(b"\r\n")
        await asyncio.sleep(TRICKLE_S)


async def _slow_body(send: Send) -> None:
    """A body of somebody without a key, that never ends."""
    await send(b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        await send(b"1\r\nx\r\n")
        await asyncio.sleep(TRICKLE_S)


KINDS: tuple[Callable[[Send], Awaitable[None]], ...] = (
    _nothing,
    _one_byte,
    _trickle,
    _empty_lines,
    _slow_body,
)


async def _slow(url: str, number: int) -> None:
    """A slow client, which comes back as soon as it is sent away."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            async with (
                connected(url, f"127.0.1.{number % ADDRESSES + 1}") as made,
                asyncio.TaskGroup() as both,
            ):
                saying = both.create_task(KINDS[number % len(KINDS)](partial(loop.sock_sendall, made)))
                while await loop.sock_recv(made, 4096):
                    pass
                saying.cancel()
        except (OSError, ExceptionGroup):
            await asyncio.sleep(0.01)


@asynccontextmanager
async def slow_clients(url: str, count: int) -> AsyncIterator[None]:
    clients = [asyncio.ensure_future(_slow(url, number)) for number in range(count)]
    await asyncio.sleep(1.0)
    try:
        yield
    finally:
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)


def request(key: str, body: bytes, more: str = "") -> bytes:
    head = f"POST /v1/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n{more}"
    return head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body


async def asked(url: str, sent: bytes) -> tuple[int, float]:
    """The status of an answer, and how long it took; 0: no answer."""
    began = time.monotonic()
    loop = asyncio.get_running_loop()
    try:
        async with connected(url) as made, asyncio.timeout(20):
            await loop.sock_sendall(made, sent)
            line = await loop.sock_recv(made, 4096)
            return int(line.split()[1]) if line else 0, time.monotonic() - began
    except OSError:
        return 0, time.monotonic() - began


BODY = b'{"prompt": [1, 2, 3], "max_tokens": 3}'
READY = b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n"


def test_good_clients_lose_nothing_by_many_slow_ones(
    tmp_path: Path, record_property: Callable[..., None]
) -> None:
    with (
        engine(slots=64, token_s=0.001, capacity=1 << 20) as served,
        gateway(tmp_path, [served.url], descriptors=DESCRIPTORS) as running,
    ):

        async def go() -> tuple[list[tuple[int, float]], list[int]]:
            answers, healths = [], []
            async with slow_clients(running.url, SLOW):
                for _ in range(GOOD // 20):
                    some = [asked(running.url, request(running.keys["ann"], BODY)) for _ in range(20)]
                    answers += await asyncio.gather(*some)
                    healths.append((await asked(running.admin, READY))[0])
            return answers, healths

        answers, healths = asyncio.run(go())
        assert Counter(status for status, _ in answers) == {200: GOOD}
        assert set(healths) == {200}
        seconds = sorted(took for _, took in answers)
        median, worst = statistics.median(seconds), seconds[-1]
        record_property("good clients", f"{GOOD}: median {median:.3f} s, worst {worst:.3f} s")
        print(f"{SLOW} slow clients, {DESCRIPTORS} descriptors, {GOOD} good requests: all answered;")
        print(f"median {median:.3f} s, worst {worst:.3f} s")
        closed = {k: v for k, v in running.metrics().items() if "connections_closed" in k and v}
        print(closed)
        assert closed, "slow clients are counted"
        assert "Traceback" not in (tmp_path / "errors").read_text()
