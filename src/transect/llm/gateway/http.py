# SPDX-License-Identifier: Apache-2.0
"""One connection of a client: HTTP as uvicorn speaks it, within bounds.

Bounded are the head of a request (bytes, lines, time), what frames a body in chunks, and for how long a client may be
silent or leave an answer unread.  Of requests that are sent ahead of their answers some are read, and the others wait
with the client.  Input that is not HTTP ends the connection, with an answer 400 if nothing else is under way on it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from transect.llm.gateway.answers import error_body
from transect.llm.gateway.corked import Corked
from transect.llm.gateway.guard import Guard, Phase, Why, address_of

if TYPE_CHECKING:
    from uvicorn import Config
    from uvicorn._types import ASGISendEvent
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
    from uvicorn.server import ServerState

AHEAD = 8  # requests of a connection that wait for those before them: no more is read then
PIECE = 2 << 10  # bytes that are read at a time; more requests than those in a piece are never beyond AHEAD
FRAME, FRAME_EACH = (
    64 << 10,
    16,
)  # bytes around a body in chunks: at most so many, and for each byte of the body
PROGRESS = 64 << 10  # bytes of an answer that a client takes in the time that it has
VERSIONS = ("1.1", "1.0")
ONCE = frozenset(
    {b"authorization", b"host", b"x-api-key"}
)  # if a head has one of these twice, the meaning is ambiguous
NO_REQUEST = "this is no HTTP/1.1 request"
LINE = 4  # bytes of a header line besides name and value
KEY = "transect.connection"  # of an ASGI scope: the `Connection` that the request came on


@dataclass(frozen=True, slots=True)
class Heads:
    """How large the head of a request may be."""

    size: int  # bytes
    lines: int


class _TooLarge(Exception):
    """A head beyond its bounds."""


class _Doubtful(Exception):
    """A head that another server may read differently; the text says why."""


class _Flow(FlowControl):
    """Reading goes on when nothing that was read before waits to be looked at."""

    held = False

    def resume_reading(self) -> None:
        if not self.held:
            super().resume_reading()


class Connection(HttpToolsProtocol):
    """uvicorn's protocol, under a guard."""

    transport: Any  # a `Corked`
    flow: _Flow

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        guard: Guard,
        heads: Heads,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        # Bytes after the last request are discarded, not read as another request.
        self.parser.set_dangerous_leniencies(lenient_data_after_close=False)
        self._guard = guard
        self._heads = heads
        self.address = ""
        self._in_head = True  # of a request, or before one
        self._in_message = False
        self._known = False  # it has shown a key
        self._deaf = False  # no more input is read
        self._head = self._lines = 0  # bytes and lines of this request's head, and of its trailer
        self._came = 0  # bytes that came while one head went on
        self._whole_heads = 0
        self._body = self._frame = 0  # bytes of this request's body, and of what stands around it
        self._waiting = b""  # has come, and is looked at when fewer requests wait
        self._left = 0  # bytes that the client had not taken when somebody last looked

    # ---------------------------------------------------------------- from the event loop

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        corked = Corked(transport, self.loop, self._closes)
        super().connection_made(cast(asyncio.Transport, corked))
        self.flow = _Flow(cast(asyncio.Transport, corked))
        self.address = address_of(self.client)
        self._guard.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._guard.gone(self)
        self._deaf = True
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._waiting:
            self._waiting += data
        else:
            self._read(data)

    def _read(self, data: bytes) -> None:
        """As much as there may be ahead; the rest waits, and so does the client with what else it has."""
        for start in range(0, len(data), PIECE):
            if self._deaf:
                return
            if len(self.pipeline) >= AHEAD:
                self._waiting = data[start:]
                self.flow.pause_reading()
                self.flow.held = True
                return
            self._read_piece(data[start : start + PIECE])

    def _read_on(self) -> None:
        """One request fewer waits."""
        data, self._waiting = self._waiting, b""
        self.flow.held = False
        self.flow.resume_reading()
        self._read(data)

    def _read_piece(self, data: bytes) -> None:
        in_head, body, heads = self._in_head, self._body, self._whole_heads
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._deaf = True  # it is answered as if it had not asked for an upgrade, and is the last request
        except httptools.HttpParserError as wrong:
            cause = wrong.__context__
            why = str(cause) if isinstance(cause, _Doubtful) else NO_REQUEST
            self._refuse(isinstance(cause, _TooLarge), why)
        else:
            if heads == self._whole_heads:
                self._measure(len(data), in_head, self._body - body)
            if self._in_message and self._guard.phase(self) is Phase.IDLE:
                self._guard.move(self, Phase.HEAD)

    def _measure(self, size: int, in_head: bool, body: int) -> None:
        """Count the bytes of a piece of one head or body that the parser keeps or discards."""
        if in_head and self._in_head:
            self._came += size
            if self._came > self._heads.size:  # the parser does not report a line before its end
                self._refuse(True)
        elif not in_head and not self._in_head:
            self._frame += size - body
            if self._frame > FRAME + FRAME_EACH * self._body:
                self._refuse(False)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._left = self.transport.unwritten
        self._guard.move(self, Phase.UNREAD)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._guard.phase(self) is Phase.UNREAD:
            self._guard.move(self, self._at_rest())

    def _at_rest(self) -> Phase:
        if self.transport.is_closing():
            return Phase.LEAVING
        if self._under_way:
            return Phase.BUSY
        return Phase.HEAD if self._in_message else Phase.IDLE

    # ---------------------------------------------------------------- from the parser

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_message = True
        self._head = self._lines = self._body = self._frame = 0
        self.scope[KEY] = self  # type: ignore[literal-required]

    def on_url(self, url: bytes) -> None:
        self._head += len(url)
        if self._head > self._heads.size:
            raise _TooLarge
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._lines += 1
        self._head += len(name) + len(value) + LINE
        if self._head > self._heads.size or self._lines > self._heads.lines:
            raise _TooLarge
        if self._in_head:  # a trailer comes too late to identify the tenant
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        version = self.parser.get_http_version()
        _check(version, self.headers)
        super().on_headers_complete()
        if version == "1.0":
            _unchunked(self.cycle)
        self._in_head = False
        self._whole_heads += 1
        self._came = 0
        if self._guard.phase(self) in (Phase.STRANGE, Phase.HEAD, Phase.IDLE):
            self._guard.move(self, Phase.BUSY)

    def on_body(self, body: bytes) -> None:
        self._body += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_message = False
        self._in_head = True
        super().on_message_complete()

    # ---------------------------------------------------------------- from the application

    def known(self) -> None:
        """A request on it has shown a key."""
        if not self._known:
            self._known = True
            self._guard.known(self)

    @property
    def whole(self) -> bool:
        """Whether the requests that have begun on it have come to their ends."""
        return not self._in_message

    @property
    def _under_way(self) -> bool:
        return bool(self.pipeline) or (self.cycle is not None and not self.cycle.response_complete)

    def on_response_complete(self) -> None:
        """Replaces uvicorn's method, which sets timers for what the guard already limits."""
        self.server_state.total_requests += 1
        if not self.pipeline and (self._deaf or self.cycle.more_body or not self._known):
            self.transport.close()
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            if self._waiting:
                self.loop.call_soon(self._read_on)
        elif self._guard.phase(self) is Phase.BUSY:
            self._guard.move(self, self._at_rest())

    # ---------------------------------------------------------------- its end

    def _closes(self) -> bool:
        """Called before closing: discard what still comes.  Returns whether anything may still come."""
        self._deaf, self._waiting, self.flow.held = True, b"", False
        self.flow.resume_reading()
        self._guard.move(self, Phase.LEAVING)
        return self._in_message

    def _refuse(self, large: bool, why: str = NO_REQUEST) -> None:
        """Refuse input that is not a request, or is too large."""
        self._guard.closed[Why.LARGE if large else Why.MALFORMED] += 1
        self._deaf = True
        cycle = self.cycle
        if self._in_head and self._under_way:
            return  # the earlier requests are answered, and then the connection is closed
        if self._under_way and not self.pipeline and not cycle.response_started:
            cycle.disconnected = True  # the reader of its body learns that no more comes
            cycle.message_event.set()
        elif not self._in_head:
            self.transport.abort()  # within an answer, no other can be sent
            return
        if large:
            self._answer(
                431,
                f"the head of a request has at most {self._heads.size} bytes in {self._heads.lines} lines",
            )
        else:
            self._answer(400, why)

    def _answer(self, status: int, why: str) -> None:
        """Send an answer without serving a request."""
        body = error_body(status, why)
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(
            body
        )
        self.transport.write(STATUS_LINE[status] + head + body)
        self.transport.close()

    def overdue(self, phase: Phase) -> bool:
        """See `guard.Guarded`."""
        match phase:
            case Phase.BUSY:
                return False
            case Phase.UNREAD:
                return self._unread_for_long()
            case Phase.IDLE | Phase.LEAVING if self.transport.unwritten:
                self._left = self.transport.unwritten
                self._guard.move(self, Phase.UNREAD)
                return False
            case Phase.LEAVING:
                self.transport.abort()
            case Phase.IDLE:
                self.transport.close()
            case Phase.STRANGE | Phase.HEAD:
                self._late()
        return True

    def _late(self) -> None:
        if self._in_message:
            self._answer(408, "the head of the request did not come in time")
        else:
            self.transport.close()

    def _unread_for_long(self) -> bool:
        """Whether its client takes so little of an answer that it was closed."""
        left = self.transport.unwritten
        if left and left > self._left - PROGRESS:
            self.abort()
            return True
        self._left = left
        if not left:
            self._guard.move(self, self._at_rest())
        return False

    def abort(self) -> None:
        """See `guard.Guarded`."""
        self.transport.abort()


def _check(version: str, headers: list[tuple[bytes, bytes]]) -> None:
    """Check what the parser does not.  Raises `_Doubtful` if the tenant of a request, or its end, is ambiguous."""
    if version not in VERSIONS:
        raise _Doubtful(NO_REQUEST)
    names = [name for name, _ in headers]
    if b"transfer-encoding" in names and (version == "1.0" or not _only_chunked(headers)):
        raise _Doubtful(
            "a request is sent whole, or in chunks of HTTP/1.1, and in no other `Transfer-Encoding`"
        )
    if len(set(names)) != len(names):
        for name in ONCE:
            if names.count(name) > 1:
                raise _Doubtful(f"a request has one `{name.decode()}`, not several")


def _only_chunked(headers: list[tuple[bytes, bytes]]) -> bool:
    coded = [value.strip().lower() for name, value in headers if name == b"transfer-encoding"]
    return coded == [b"chunked"]


def _unchunked(cycle: RequestResponseCycle) -> None:
    """Send an answer without chunks to a client of HTTP/1.0, which does not know them: it ends with the connection (RFC
    9112, 7.1), which uvicorn closes.
    """
    send = cycle.send

    async def send_bare(message: ASGISendEvent) -> None:
        if message["type"] == "http.response.start":
            cycle.chunked_encoding = False
        elif message["type"] == "http.response.body":
            cycle.expected_content_length = len(message.get("body", b""))
        await send(message)

    cycle.send = send_bare  # type: ignore[method-assign]
