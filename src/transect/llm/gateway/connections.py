# SPDX-License-Identifier: Apache-2.0
"""The connections to one upstream, kept from one request to the next.

An upstream is never asked to compress, to redirect, or through a proxy.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp

CONNECT_S = 5.0
IDLE_S = 4.0  # for which a connection is kept; servers close theirs after five or more
FULL = 256 << 10  # bytes that have come and nobody has taken: then reading pauses


class Unreachable(Exception):
    """An upstream that is not there, breaks off, or does not speak HTTP."""


class Silent(Unreachable):
    """It says nothing any more."""


class Answer:
    """An answer whose head is there."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers  # in any case of letters
        self._body = response.content

    async def piece(self) -> bytes:
        """What has come of the body, or comes next; empty: that was all."""
        found: bytes = await self._body.readany()
        return found

    async def read(self, most: int) -> bytes:
        """The whole body.  Raises `Unreachable` where it has more than so many bytes."""
        pieces, size = [], 0
        while piece := await self.piece():
            pieces.append(piece)
            size += len(piece)
            if size > most:
                raise Unreachable(f"an answer of more than {most} bytes")
        return b"".join(pieces)


class Connections:
    """Those to one upstream."""

    def __init__(self, url: str, silence_s: float, headers: Mapping[str, str]) -> None:
        """`silence_s`: how long it may say nothing while it answers.  `headers`: those of every request."""
        self._url = url.rstrip("/")
        self._headers = {"user-agent": "transect", "accept-encoding": "identity", **headers}
        self._silence_s = silence_s
        self._session: aiohttp.ClientSession | None = None  # made within the event loop

    @asynccontextmanager
    async def ask(
        self, method: str, path: str, body: bytes | None = None, silence_s: float | None = None
    ) -> AsyncIterator[Answer]:
        """An exchange, once the head of its answer is there.

        Raises `Unreachable`, also while the answer is read.
        """
        limits = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_S, sock_read=silence_s or self._silence_s
        )
        try:
            async with self._sessions().request(
                method, self._url + path, data=body, timeout=limits, allow_redirects=False
            ) as response:
                if response.headers.get("content-encoding", "identity") != "identity":
                    raise Unreachable("an answer that is compressed, which nobody asked for")
                yield Answer(response)
        except aiohttp.ConnectionTimeoutError:
            raise Unreachable(f"no connection within {CONNECT_S:g} s") from None
        except aiohttp.SocketTimeoutError as wrong:
            raise Silent(f"nothing came for {limits.sock_read:g} s") from wrong
        except aiohttp.ClientError as wrong:
            raise Unreachable(str(wrong)) from wrong

    def _sessions(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_S),
                headers=self._headers,
                auto_decompress=False,
                read_bufsize=FULL,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    async def close(self) -> None:
        """End all of them."""
        if self._session is not None:
            await self._session.close()
            await asyncio.sleep(0)  # transports close when the loop runs
