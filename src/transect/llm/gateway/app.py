# SPDX-License-Identifier: Apache-2.0
"""What clients see: OpenAI's API, with a queue where others answer 429."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from transect.llm.gateway import calls
from transect.llm.gateway.answers import TELL_S, Reply, error_answer, plain_answer
from transect.llm.gateway.connections import Unreachable
from transect.llm.gateway.dispatch import TurnedAway
from transect.llm.gateway.relay import LARGEST, Relay, headers_of
from transect.llm.identity import Identifier
from transect.llm.request import Held

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

logger = logging.getLogger("transect.gateway")

SERVED = frozenset({"/v1/completions", "/v1/chat/completions"})
MODELS = "/v1/models"
GOING = "the gateway is going down"
UNWATCHED_S = 0.02  # of a request, before somebody looks whether its client has left
PIECE_S = 60.0  # that a client has to send some more of its request
MODELS_S = 10.0  # that an upstream has to name its models


class App:
    """An ASGI application."""

    def __init__(self, relay: Relay, identifier: Identifier, body_bytes: int) -> None:
        self._relay = relay
        self._dispatcher = relay.dispatcher
        self._identifier = identifier
        self._body_bytes = body_bytes
        self.draining = False
        self._under_way: set[asyncio.Task[Any]] = set()
        self._cut = False

    @property
    def open(self) -> int:
        """Requests under way."""
        return len(self._under_way)

    async def cut_off(self) -> None:
        """End those that are under way; their clients are told."""
        self._cut = True
        for task in self._under_way:
            task.cancel()
        if self._under_way:
            logger.warning("%d requests are cut off", self.open)
            await asyncio.wait(set(self._under_way), timeout=2 * TELL_S)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            task = asyncio.current_task()
            assert task is not None
            self._under_way.add(task)
            reply = Reply(send)
            try:
                await self._http(scope, receive, reply)
            except asyncio.CancelledError:
                if not self._cut:
                    raise
                await reply.broken(503, GOING)
            except Exception:  # ours, and no reason to leave a client without an answer
                logger.exception("a request ended in a mistake of the gateway")
                if not reply.begun:
                    await error_answer(send, 500, "a mistake of the gateway; its log says more")
            finally:
                self._under_way.discard(task)
        else:
            await receive()
            await send({"type": "websocket.close", "code": 1008})

    async def _http(self, scope: Scope, receive: Receive, reply: Reply) -> None:
        path, method, send = scope["path"], scope["method"], reply.send
        client = self._identifier.who(scope)
        if client is None:
            await error_answer(send, 401, "show an API key: `Authorization: Bearer …`")
        elif path == MODELS and method == "GET":
            await self._models(send)
        elif path not in SERVED:
            await error_answer(send, 404, f"{path} is not served here; there are {', '.join(sorted(SERVED))}")
        elif method != "POST":
            await error_answer(send, 405, f"{path} is posted to")
        elif self.draining:
            await error_answer(send, 503, GOING, 5.0)
        else:
            try:
                body = await _body(receive, self._body_bytes)
                held = self._dispatcher.enter(client, calls.read(path, body))
                await self._served(held, receive, reply)
            except calls.BadCall as wrong:
                await error_answer(send, 400, str(wrong))
            except TurnedAway as away:
                await error_answer(send, away.status, away.why, away.retry_s)
            except _Gone:
                return

    async def _served(self, held: Held, receive: Receive, reply: Reply) -> None:
        """Serve it, unless its client goes first."""
        serving = asyncio.current_task()
        assert serving is not None
        over = left = False

        def leaves(watching: asyncio.Task[None]) -> None:
            nonlocal left
            if not over and not watching.cancelled():
                left = serving.cancel()

        gone: asyncio.Task[None] | None = None

        def watch() -> None:
            nonlocal gone
            gone = asyncio.ensure_future(_until_gone(receive))
            gone.add_done_callback(leaves)

        # An answer that is there at once is not worth a task that watches its client.
        begin = asyncio.get_running_loop().call_later(UNWATCHED_S, watch)
        try:
            await self._relay.serve(held, reply)
        except asyncio.CancelledError:
            if not left:
                raise
            serving.uncancel()
        finally:
            over = True
            begin.cancel()
            if gone is not None:
                gone.cancel()

    async def _models(self, send: Send) -> None:
        """What the first replica that answers says."""
        for replica in self._dispatcher.replicas:
            if not replica.healthy:
                continue
            try:
                async with asyncio.timeout(MODELS_S), replica.http.ask("GET", MODELS) as answer:
                    body = await answer.read(LARGEST)
            except (TimeoutError, Unreachable):
                replica.failed()
                continue
            await plain_answer(send, answer.status, body, headers_of(answer))
            return
        await error_answer(send, 503, "no upstream answers", 5.0)


class _Gone(Exception):
    """The client has left."""


async def _body(receive: Receive, most: int) -> bytes:
    """Raises `TurnedAway`, `_Gone`."""
    pieces, size, more = [], 0, True
    while more:
        try:
            async with asyncio.timeout(PIECE_S):
                message = await receive()
        except TimeoutError:
            raise TurnedAway(408, f"nothing more of the request came for {PIECE_S:g} s") from None
        if message["type"] == "http.disconnect":
            raise _Gone
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > most:
            raise TurnedAway(413, f"a request has at most {most} bytes")
        more = message.get("more_body", False)
    return b"".join(pieces)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return
