# SPDX-License-Identifier: Apache-2.0
"""Clients that keep a gateway waiting, in a process of their own: `slow_clients.py URL COUNT`.

Each comes back as soon as it is sent away.  A line on standard output says that all have come.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

ADDRESSES = 16  # that they come from
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


async def nothing(send: Send) -> None:
    """It says nothing at all."""


async def one_byte(send: Send) -> None:
    await send(b"P")


async def again_and_again(send: Send, first: bytes, then: bytes) -> None:
    await send(first)
    while True:
        await send(then)
        await asyncio.sleep(TRICKLE_S)


HEAD = b"POST /v1/completions HTTP/1.1\r\nhost: x\r\n"
KINDS: tuple[Callable[[Send], Awaitable[None]], ...] = (
    nothing,
    one_byte,
    partial(again_and_again, first=HEAD, then=b"x: y\r\n"),  # a head without an end
    partial(again_and_again, first=b"", then=b"\r\n"),  # nothing but empty lines before it
    partial(again_and_again, first=HEAD + b"transfer-encoding: chunked\r\n\r\n", then=b"1\r\nx\r\n"),
)


async def one(url: str, number: int, come: asyncio.Semaphore) -> None:
    loop = asyncio.get_running_loop()
    while True:
        try:
            async with connected(url, f"127.0.1.{number % ADDRESSES + 1}") as made:
                come.release()
                saying = asyncio.ensure_future(KINDS[number % len(KINDS)](partial(loop.sock_sendall, made)))
                try:
                    while await loop.sock_recv(made, 4096):
                        pass
                finally:
                    saying.cancel()
                    await asyncio.gather(saying, return_exceptions=True)
        except OSError:
            await asyncio.sleep(0.01)


async def main(url: str, count: int) -> None:
    come = asyncio.Semaphore(0)
    clients = [asyncio.ensure_future(one(url, number, come)) for number in range(count)]
    for _ in range(count):
        await come.acquire()
    print("all have come", flush=True)
    await asyncio.gather(*clients)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
