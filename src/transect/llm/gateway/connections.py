# SPDX-License-Identifier: Apache-2.0
"""The connections to one upstream, kept from one request to the next.

An upstream is never asked to compress, to redirect, or through a proxy.  Upstreams that are silent, or answer for too
long, are found by a regular look at all exchanges: a timer for each piece of each answer would cost more than the
piece.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Mapping
from math import inf
from types import TracebackType

import aiohttp

CONNECT_S = 5.0
IDLE_S = 4.0  # for which a connection is kept; servers close theirs after five or more
FULL = 256 << 10  # bytes received and not yet taken, at which reading pauses
LOOK_S = 0.5  # between two looks at all exchanges; less if a limit is short, so that it holds within a fifth


class Unreachable(Exception):
    """An upstream that is not there, breaks off, or does not speak HTTP."""


class Absent(Unreachable):
    """No connection could be made: nothing of the request has been sent."""


class Silent(Unreachable):
    """It says nothing any more."""


class Exchange:
    """One request, and its answer once the head of that is there (`async with`).

    Raises `Unreachable`, and TimeoutError for an answer that takes too long; also while it is read.
    """

    def __init__(self, by: Connections, asking: Awaitable[aiohttp.ClientResponse]) -> None:
        self._by = by
        self._asking = asking
        self._over: Exception | None = None  # why the exchange was ended
        self.status = 0
        self.headers: Mapping[str, str] = {}  # in any case of letters

    async def __aenter__(self) -> Exchange:
        self._task = asyncio.current_task()
        self._began = self._waits = time.monotonic()  # `_waits`: for the upstream, since then
        self._by.under_way.add(self)
        try:
            self._response = response = await self._asking
            if response.headers.get("content-encoding", "identity") != "identity":
                response.close()
                raise Unreachable("an answer that is compressed, which nobody asked for")
        except BaseException as wrong:
            self._end(wrong)
            raise
        self._waits = inf
        self.status, self.headers = response.status, response.headers
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._response.release()  # closes the connection if the answer was not read to its end
        self._end(error)

    async def piece(self) -> bytes:
        """The next piece of the body; empty at its end."""
        self._waits = time.monotonic()
        found: bytes = await self._response.content.readany()
        self._waits = inf
        return found

    async def read(self, most: int) -> bytes:
        """The whole body.  Raises `Unreachable` where it has more than so many bytes."""
        pieces, size, body = [], 0, self._response.content
        while not body.at_eof():
            piece = await self.piece()
            pieces.append(piece)
            size += len(piece)
            if size > most:
                raise Unreachable(f"an answer of more than {most} bytes")
        return b"".join(pieces)

    def look(self, now: float) -> None:
        """End it if it takes too long: whoever waits in it is interrupted."""
        if self._over is not None:
            return
        if now - self._waits > self._by.silence_s:
            self._over = Silent(f"nothing came for {self._by.silence_s:g} s")
        elif now - self._began > self._by.answer_s:
            self._over = TimeoutError(f"no whole answer within {self._by.answer_s:g} s")
        if self._over is not None and self._task is not None:
            self._task.cancel()

    def _end(self, error: BaseException | None) -> None:
        """Raises what the error means to the caller."""
        self._by.under_way.discard(self)
        match error:
            case asyncio.CancelledError() if self._over is not None and self._task is not None:
                if self._task.uncancel() == 0:  # nothing else cancels it
                    raise self._over from None
            case aiohttp.ConnectionTimeoutError():
                raise Absent(f"no connection within {CONNECT_S:g} s") from None
            case aiohttp.ClientConnectorError():
                raise Absent(str(error)) from error
            case aiohttp.ClientError():
                raise Unreachable(str(error)) from error
            case _:
                pass


class Connections:
    """Those to one upstream."""

    def __init__(
        self, url: str, headers: Mapping[str, str], *, silence_s: float, answer_s: float = inf
    ) -> None:
        """`silence_s`: how long it may say nothing while it answers.  `answer_s`: how long an answer may take
        altogether.  `headers`: those of every request."""
        self._url = url.rstrip("/")
        self._headers = {"user-agent": "transect", "accept-encoding": "identity", **headers}
        self.silence_s = silence_s
        self.answer_s = answer_s
        self.under_way: set[Exchange] = set()
        self._session: aiohttp.ClientSession | None = None  # made within the event loop
        self._looks: asyncio.Task[None] | None = None

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Exchange:
        """An exchange that is about to begin; `headers`: beside those of every request."""
        asking = self._sessions().request(
            method, self._url + path, data=body, headers=headers, allow_redirects=False
        )
        return Exchange(self, asking)

    def _sessions(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_S),
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
                auto_decompress=False,
                read_bufsize=FULL,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
            self._looks = asyncio.ensure_future(self._look())
        return self._session

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(min(LOOK_S, self.silence_s / 5, self.answer_s / 5))
            now = time.monotonic()
            for exchange in self.under_way:
                exchange.look(now)

    async def close(self) -> None:
        """End all of them."""
        if self._session is not None and self._looks is not None:
            self._looks.cancel()
            await self._session.close()
            await asyncio.sleep(0)  # lets the loop close the transports
