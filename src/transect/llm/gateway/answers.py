# SPDX-License-Identifier: Apache-2.0
"""Answers of the gateway's own, in the form of OpenAI's API."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from contextlib import suppress
from typing import Any

from transect.base.request_id import HEADER
from transect.llm.tenants import Nobody

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = Sequence[tuple[bytes, bytes]]

KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "invalid_request_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    429: "rate_limit_error",
    431: "invalid_request_error",
}
UNIDENTIFIED = {
    Nobody.NO_KEY: "this needs a valid API key: `Authorization: Bearer KEY`",
    Nobody.DISAGREE: "this shows keys that are not of one tenant: send one, in `Authorization` or in `X-API-Key`",
}
LAST = frozenset({401, 408, 413, 415})  # after which the connection is closed
TELL_S = 1.0  # for a client to take the last event of an answer that breaks off
JSON = (b"content-type", b"application/json")


def error_body(status: int, why: str) -> bytes:
    kind = KINDS.get(status, "server_error")
    return json.dumps({"error": {"message": why, "type": kind, "code": status}}).encode()


def event_of_error(status: int, why: str) -> bytes:
    """The last event of a stream that breaks off."""
    return b"data: " + error_body(status, why) + b"\n\n"


class Reply:
    """The way back to one client, which remembers whether the client has been told anything."""

    __slots__ = ("_send", "begun", "request_id", "streams")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False
        self.request_id = ""  # the client is told it; empty: it is not known whose the request is
        self.streams = False  # the answer is a stream of events, to which another can be added

    def send(self, message: MutableMapping[str, Any]) -> Awaitable[None]:
        self.begun = True
        if self.request_id and message["type"] == "http.response.start":
            told = (HEADER.encode(), self.request_id.encode())
            message = {**message, "headers": [*message["headers"], told]}
        return self._send(message)

    async def broken(self, status: int, why: str) -> None:
        """Tell the client, if that is still possible, that its answer does not come, or not to its end."""
        if not self.begun:
            await error_answer(self.send, status, why, 5.0)
        elif self.streams:
            # Do not wait for a client that does not read: its request would hold its part of a window meanwhile.
            with suppress(TimeoutError):
                async with asyncio.timeout(TELL_S):
                    await self.send({"type": "http.response.body", "body": event_of_error(status, why)})


async def plain_answer(send: Send, status: int, body: bytes, headers: Headers = ()) -> None:
    """A whole answer."""
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


async def error_answer(send: Send, status: int, why: str, retry_s: float | None = None) -> None:
    """An error; `retry_s`: after how many seconds another try makes sense."""
    headers = [JSON]
    if retry_s is not None:
        headers.append((b"retry-after", str(math.ceil(retry_s)).encode()))
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if status in LAST:
        headers.append((b"connection", b"close"))
    await plain_answer(send, status, error_body(status, why), headers)
