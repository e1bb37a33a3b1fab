# SPDX-License-Identifier: Apache-2.0
"""The connections to one upstream: HTTP/1.1, one exchange at a time on each, kept for the next one.

A general client spends two milliseconds of processor time on a request, twice what all else in the gateway takes; the
gateway asks in one way only.  The parser is the one that the gateway's own listener has.  An upstream is never asked
to compress, to redirect, or through a proxy.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import cast
from urllib.parse import urlsplit

import httptools

CONNECT_S = 5.0
IDLE_S = 4.0  # for which a connection is kept; servers close theirs after five or more
KEPT = 256  # connections without an exchange
HEAD = 64 << 10  # bytes of an answer's headers
FULL = 256 << 10  # bytes that have come and nobody has taken: then reading pauses

Headers = Mapping[str, str]


class Unreachable(Exception):
    """An upstream that is not there, breaks off, or does not speak HTTP."""


class Silent(Unreachable):
    """It says nothing any more."""


class Connection(asyncio.Protocol):
    """One of them, and the answer that is coming in on it."""

    def __init__(self) -> None:
        self.closed = False
        self.idle_since = 0.0
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None
        self._renew()

    def _renew(self) -> None:
        """Ready for the next answer."""
        self._parser = httptools.HttpResponseParser(self)
        self.status = 0  # of the answer; 0: its head has not come whole
        self.headers: dict[str, str] = {}
        self.heard = 0  # bytes of the answer
        self.complete = False
        self.broken: Unreachable | None = None
        self._pieces: deque[bytes] = deque()
        self._held = 0  # bytes in them
        self._to_the_end = False  # of the connection: nothing else says where the answer ends
        self._again = False  # the upstream keeps the connection open

    # ---------------------------------------------------------------- one exchange

    def ask(self, request: bytes, silence_s: float) -> None:
        """Send a request; `silence_s`: how long the upstream may say nothing from now on."""
        self._renew()
        self._silence_s = silence_s
        self._last = self._loop.time()
        self._timer = self._loop.call_later(silence_s, self._quiet)
        self._transport.write(request)

    async def head(self) -> None:
        """Wait for the head of the answer.  Raises `Unreachable`."""
        while not self.status:
            await self._more()

    async def piece(self) -> bytes:
        """What has come of the body, or comes next; empty: that was all.  Raises `Unreachable`."""
        while not self._pieces:
            if self.complete:
                return b""
            await self._more()
        found = self._pieces.popleft() if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        if self._held >= FULL:
            self._transport.resume_reading()
            self._last = self._loop.time()  # it was we who did not listen
        self._held = 0
        return found

    async def read(self, most: int = 1 << 62) -> bytes:
        """The whole body.  Raises `Unreachable`, also where it has more than so many bytes."""
        pieces, size = [], 0
        while piece := await self.piece():
            pieces.append(piece)
            size += len(piece)
            if size > most:
                raise Unreachable(f"an answer of more than {most} bytes")
        return b"".join(pieces)

    def end(self) -> bool:
        """The exchange is over; whether another one may follow on this connection."""
        if self._timer is not None:
            self._timer.cancel()
        self.idle_since = self._loop.time()
        return self.complete and self._again and not self.closed

    def close(self) -> None:
        self.closed = True
        self._transport.abort()

    async def _more(self) -> None:
        """Wait until something happens."""
        if self.broken is not None:
            raise self.broken
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _break(self, why: Unreachable) -> None:
        if not self.complete and self.broken is None:
            self.broken = why
        self.close()
        self._wake()

    def _quiet(self) -> None:
        """Whether it has been silent for too long; looked at once in that time."""
        now = self._loop.time()
        if self._held:
            self._last = now
        left = self._last + self._silence_s - now
        if left > 0:
            self._timer = self._loop.call_later(left, self._quiet)
        elif not self.complete:
            self._break(Silent(f"nothing came for {self._silence_s:g} s"))

    # ---------------------------------------------------------------- told by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none by their class

    def data_received(self, data: bytes) -> None:
        if self.complete:  # more than was asked for
            self.close()
            return
        self.heard += len(data)
        self._last = self._loop.time()
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as wrong:
            self._break(Unreachable(f"no HTTP: {wrong}"))
            return
        if not self.status and self.heard > HEAD:
            self._break(Unreachable(f"headers of more than {HEAD} bytes"))
        elif self._held >= FULL and not self.complete:
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self.status and self._to_the_end and exc is None and self.broken is None:
            self.complete = True
        elif not self.complete and self.broken is None:
            self.broken = Unreachable("the connection was closed")
        self._wake()

    # ---------------------------------------------------------------- told by the parser

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            self.headers.clear()
            return
        if self.headers.get("content-encoding", "identity") != "identity":
            self._break(Unreachable("an answer that is compressed, which nobody asked for"))
            return
        self.status = status
        sized = "content-length" in self.headers or "transfer-encoding" in self.headers
        self._to_the_end = not sized and status not in (204, 304)

    def on_body(self, data: bytes) -> None:
        self._pieces.append(data)
        self._held += len(data)

    def on_message_complete(self) -> None:
        self.complete = bool(self.status)  # else it was only a notice that the answer will come
        self._again = self._parser.should_keep_alive()


class Connections:
    """Those to one upstream."""

    def __init__(self, url: str, silence_s: float, headers: Headers) -> None:
        """`silence_s`: how long it may say nothing while it answers.  `headers`: those of every request."""
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._host, self._port = parts.hostname, parts.port or (443 if self._tls else 80)
        self._path = parts.path.rstrip("/")
        always = {"host": parts.netloc, "user-agent": "transect", "accept-encoding": "identity", **headers}
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in always.items())
        self._silence_s = silence_s
        self._idle: list[Connection] = []

    @asynccontextmanager
    async def ask(
        self, method: str, path: str, body: bytes = b"", silence_s: float | None = None
    ) -> AsyncIterator[Connection]:
        """An exchange, once the head of its answer is there.  Raises `Unreachable`."""
        length = f"content-length: {len(body)}\r\n" if body or method == "POST" else ""
        head = f"{method} {self._path}{path} HTTP/1.1\r\n{self._headers}{length}\r\n"
        request = head.encode("latin-1") + body
        connection = await self._answering(request, silence_s or self._silence_s)
        try:
            yield connection
        finally:
            if connection.end() and len(self._idle) < KEPT:
                self._idle.append(connection)
            else:
                connection.close()

    async def _answering(self, request: bytes, silence_s: float) -> Connection:
        """A connection on which the head of the answer has come."""
        while True:
            kept = self._kept()
            connection = kept or await self._connect()
            try:
                connection.ask(request, silence_s)
                await connection.head()
            except BaseException as wrong:
                connection.end()
                connection.close()
                # The upstream closed it just when this was sent: it has read nothing.
                if kept and not connection.heard and type(wrong) is Unreachable:
                    continue
                raise
            return connection

    def _kept(self) -> Connection | None:
        """One that can be used again, the one used last; older ones end."""
        after = asyncio.get_running_loop().time() - IDLE_S
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed and connection.idle_since >= after:
                return connection
            connection.close()
        return None

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_S):
                _, made = await loop.create_connection(Connection, self._host, self._port, ssl=self._tls)
        except TimeoutError:
            raise Unreachable(f"no connection within {CONNECT_S:g} s") from None
        except OSError as wrong:
            raise Unreachable(str(wrong)) from wrong
        return made

    def close(self) -> None:
        """End those that are idle."""
        while self._idle:
            self._idle.pop().close()
