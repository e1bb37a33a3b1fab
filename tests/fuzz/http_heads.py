# SPDX-License-Identifier: Apache-2.0
"""A gateway without sockets, for damaged requests: the real connection, guard and application, before a stub engine."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from transect.llm import keys
from transect.llm.config import Tenant
from transect.llm.gateway.admin import Admin, Waits
from transect.llm.gateway.app import App
from transect.llm.gateway.bodies import Bodies
from transect.llm.gateway.dispatch import Dispatcher
from transect.llm.gateway.guard import Guard, Patience, Phase
from transect.llm.gateway.http import Connection, Heads
from transect.llm.gateway.relay import Relay
from transect.llm.gateway.replica import Replica
from transect.llm.gateway.settings import GatewayConfig, Limits, Upstream
from transect.llm.identity import Identifier
from transect.llm.service import Service

KEY, HASH = keys.new()
ANSWER = b'{"choices": [{"text": "x"}], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}'
EVENTS = b'data: {"choices": [{"text": "x"}]}\n\ndata: [DONE]\n\n'
MODELS = b'{"object": "list", "data": [{"id": "tiny"}, {"id": "org/large"}]}'
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
TURNS = 200  # of the loop, within which a request without an engine's delay has ended


class Wire(asyncio.Transport):
    """The server's side of a connection that is none."""

    def __init__(self, peer: tuple[str, int] = ("192.0.2.1", 4711)) -> None:
        super().__init__({"peername": peer, "sockname": ("127.0.0.1", 80)})
        self.sent = bytearray()
        self.closing = False
        self.ended = False
        self.reading = True
        self.unwritten = 0  # bytes that the client does not take

    def write(self, data: Any) -> None:
        assert not self.ended, "nothing can be written any more"
        self.sent += data

    def write_eof(self) -> None:
        self.ended = True

    def can_write_eof(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return self.unwritten

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    abort = close

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    @property
    def over(self) -> bool:
        return self.closing or self.ended

    @property
    def statuses(self) -> list[int]:
        return [int(found) for found in STATUS.findall(bytes(self.sent))]


@dataclass
class _Said:
    """An engine's answer."""

    body: bytes
    kind: str = "application/json"
    status: int = 200

    @property
    def headers(self) -> dict[str, str]:
        return {"content-type": self.kind}

    async def piece(self) -> bytes:
        found, self.body = self.body, b""
        return found

    async def read(self, most: int) -> bytes:
        return self.body


class StubEngine:
    """In the place of `Connections`."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    @asynccontextmanager
    async def ask(
        self, method: str, path: str, body: bytes | None = None, headers: object = None
    ) -> AsyncIterator[_Said]:
        if body is not None:
            self.bodies.append(body)
        if path == "/v1/models":
            yield _Said(MODELS)
        elif b'"stream":true' in (body or b""):
            yield _Said(EVENTS, "text/event-stream")
        else:
            yield _Said(ANSWER)


class Complaints(logging.Handler):
    """What the gateway logged that no client may bring about."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(self.format(record))


@dataclass
class Bench:
    """One gateway; lives in one event loop."""

    folder: Path
    limits: Limits = field(default_factory=lambda: Limits(body_bytes=4096, head_bytes=2048, head_lines=20))

    def __post_init__(self) -> None:
        config = GatewayConfig(policy="fcfs", tenants={"ann": Tenant(keys=(HASH,))}, limits=self.limits)
        service = Service(config, self.folder, bound=1 << 60, running=lambda: ())
        replica = Replica(Upstream("http://engine.internal:1"), self.limits, 1000)
        self.engine = StubEngine()
        replica.http = self.engine  # type: ignore[assignment]
        dispatcher = Dispatcher(service, [replica], self.limits)
        self.bodies = Bodies(self.limits.held_bytes, self.limits.held_bytes_each)
        self.app = App(
            Relay(dispatcher), Identifier(service.tenants, config, self.folder), self.limits, self.bodies, 100
        )
        patience = Patience(self.limits.head_s, self.limits.idle_s, self.limits.unread_s)
        self.now = 0.0
        self.guard = Guard(1000, 100, patience, now=lambda: self.now)
        self.admin = Admin(service, [replica], self.app, Waits(), self.guard, self.bodies)
        self.serve(self.app)
        self.state = ServerState()
        self.complaints = Complaints()
        for name in ("transect.gateway", "uvicorn.error"):
            logging.getLogger(name).addHandler(self.complaints)

    def serve(self, app: Any) -> None:
        """What connections reach from now on: clients' application, or the operators'."""
        self.config = uvicorn.Config(app, http=Connection, log_config=None, access_log=False, ws="none")

    def close(self) -> None:
        for name in ("transect.gateway", "uvicorn.error"):
            logging.getLogger(name).removeHandler(self.complaints)

    def connect(self, peer: str = "192.0.2.1") -> tuple[Connection, Wire]:
        heads = Heads(self.limits.head_bytes, self.limits.head_lines)
        made = Connection(self.config, self.state, {}, guard=self.guard, heads=heads)
        wire = Wire((peer, 4711))
        made.connection_made(wire)
        return made, wire

    async def settle(self) -> None:
        """Until nothing happens any more."""
        for _ in range(TURNS):
            await asyncio.sleep(0)
            if not self.state.tasks:
                break
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def send(self, data: bytes, cuts: Sequence[int] = ()) -> Wire:
        """What comes of it, whatever pieces it comes in; afterwards the client is gone, and nothing is left."""
        made, wire = self.connect()
        for piece in pieces(data, cuts):
            if not wire.closing:
                made.data_received(piece)
                await self.settle()
        self.end(made, wire)
        await self.settle()
        return wire

    def end(self, made: Connection, wire: Wire) -> None:
        wire.closing = True
        made.connection_lost(None)

    @property
    def empty(self) -> bool:
        """Whether nothing is left of anybody."""
        kept = (
            len(self.guard) + self.app.open + self.bodies.total + len(self.bodies.of) + len(self.state.tasks)
        )
        return kept == 0 and all(self.guard.count(phase) == 0 for phase in Phase)


def pieces(data: bytes, cuts: Sequence[int]) -> Iterator[bytes]:
    edges = [0, *sorted(cut for cut in cuts if 0 < cut < len(data)), len(data)]
    return (data[a:b] for a, b in pairwise(edges) if a < b)


def request(
    body: bytes = b'{"prompt": [1, 2, 3], "max_tokens": 3}',
    *,
    method: str = "POST",
    path: str = "/v1/completions",
    key: str = KEY,
    more: str = "",
    version: str = "1.1",
    length: bool = True,
) -> bytes:
    head = f"{method} {path} HTTP/{version}\r\nhost: x\r\nauthorization: Bearer {key}\r\n{more}"
    if length and body:
        head += f"content-length: {len(body)}\r\n"
    return head.encode("latin-1") + b"\r\n" + body


def chunked(body: bytes, size: int = 5, end: bytes = b"0\r\n\r\n") -> bytes:
    parts = [body[i : i + size] for i in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + end
