# SPDX-License-Identifier: Apache-2.0
"""The API server's side: it finds out whose a request is, and tells the scheduler in a field that no client can set.

A request without a key, unless it comes from a proxy that is trusted to name the tenant, is turned away (401).
Requests that generate on paths that cannot carry a tenant are turned away too (403), so that nobody is served past the
policy.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from transect.base.unavailable import Unavailable
from transect.control import Client as Control
from transect.control import ControlError, Refused, found
from transect.identity import serving_task
from transect.llm.gateway.answers import UNIDENTIFIED, error_answer
from transect.llm.identity import Asked, Identifier
from transect.llm.metrics import render
from transect.llm.tenants import Nobody, Tenants
from transect.llm.vllm.settings import NAME, REQUEST_ID, TENANT, TRACEPARENT, configuration

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

CARRYING = frozenset({"/v1/completions", "/v1/chat/completions", "/v1/responses", "/v1/messages"})
"""Paths whose JSON body has `vllm_xargs`."""
HARMLESS = frozenset({"/tokenize", "/detokenize"})
"""Paths to which clients post, but which generate nothing."""
LARGEST = 64 << 20  # bytes of a request


class TenantMiddleware:
    """ASGI middleware: `--middleware transect.llm.vllm.TenantMiddleware`."""

    def __init__(self, app: App) -> None:
        config, folder = configuration()
        self._app = app
        self._identifier = Identifier(Tenants(config), config, folder)
        self._name = config.name or NAME

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await _close(receive, send)
        elif scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["method"] == "GET" and scope["path"] == "/metrics":
            await self._app(scope, receive, _Appending(send, self._metrics).send)
        elif scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
        else:
            await self._posted(scope, receive, send)

    async def _posted(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = self._identifier.who(scope)
        path = scope["path"].rstrip("/")
        if isinstance(asked, Nobody):
            await error_answer(send, 401, UNIDENTIFIED[asked])
        elif path in HARMLESS:
            await self._app(scope, receive, send)
        elif path not in CARRYING:
            await error_answer(send, 403, f"{path} cannot carry a tenant, and is not served here")
        else:
            work = self._with_tenant(asked, scope, receive, send)
            await serving_task(asked.client.name, asked.deadline, work)

    async def _with_tenant(self, who: Asked, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _whole(receive)
        if body is None:
            await error_answer(send, 413, f"a request has at most {LARGEST} bytes")
            return
        try:
            asked = json.loads(body)
        except (ValueError, RecursionError):
            await error_answer(send, 400, "the body is no JSON")
            return
        given = asked.get("vllm_xargs") if isinstance(asked, dict) else None
        if not isinstance(asked, dict) or not isinstance(given, dict | None):
            await error_answer(send, 400, "the body, and `vllm_xargs` in it, are JSON objects")
            return
        ours = {
            TENANT: who.client.name,
            REQUEST_ID: who.named.request_id,
            TRACEPARENT: who.named.traceparent,
        }
        asked["vllm_xargs"] = {**(given or {}), **ours}
        changed = json.dumps(asked).encode()
        dropped = (b"content-length", self._identifier.header)
        headers = [(k, v) for k, v in scope["headers"] if k not in dropped]
        headers.append((b"content-length", str(len(changed)).encode()))
        await self._app({**scope, "headers": headers}, _Replaced(changed, receive).receive, send)

    async def _metrics(self) -> bytes:
        """The metrics of every engine of this deployment, which live in processes of their own."""
        return await asyncio.to_thread(self._ask_metrics)

    def _ask_metrics(self) -> bytes:
        names = [n for kind, n in found("llm") if n == self._name or n.startswith(f"{self._name}-")]
        texts = []
        for name in names:
            try:
                texts.append(str(Control("llm", name, patience_s=5.0).ask("metrics")))
            except (Unavailable, ControlError, Refused) as wrong:
                texts.append(
                    f"# transect: engine {name} does not answer: {wrong}\n".replace("\n", " ") + "\n"
                )
        return "".join((*texts, render(self._identifier.metrics()))).encode()


async def _whole(receive: Receive) -> bytes | None:
    """The request's body; None when it is too large."""
    pieces, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b""
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        more = message.get("more_body", False)
        if size > LARGEST:
            return None
    return b"".join(pieces)


class _Replaced:
    """Receives a body in place of the one that came; afterwards, what the client sends."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def receive(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


class _Appending:
    """A response with more text at its end."""

    def __init__(self, send: Send, more: Callable[[], Awaitable[bytes]]) -> None:
        self._send = send
        self._more = more

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [(k, v) for k, v in message["headers"] if k.lower() != b"content-length"]
        elif message["type"] == "http.response.body" and not message.get("more_body", False):
            message = {**message, "body": message.get("body", b"") + await self._more()}
        await self._send(message)


async def _close(receive: Receive, send: Send) -> None:
    """No websocket carries a tenant."""
    await receive()
    await send({"type": "websocket.close", "code": 1008, "reason": "not served through transect"})
