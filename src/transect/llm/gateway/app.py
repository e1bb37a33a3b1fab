# SPDX-License-Identifier: Apache-2.0
"""What clients see: OpenAI's API, with a queue where others answer 429."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

from transect.base.counted import counted
from transect.identity import serving_task
from transect.llm.gateway import calls, models
from transect.llm.gateway.answers import TELL_S, UNIDENTIFIED, Reply, error_answer
from transect.llm.gateway.bodies import Bodies, Body
from transect.llm.gateway.departures import Departures
from transect.llm.gateway.dispatch import TurnedAway
from transect.llm.gateway.http import KEY
from transect.llm.gateway.relay import Relay
from transect.llm.gateway.settings import Limits
from transect.llm.identity import Asked, Identifier
from transect.llm.metrics import Metric
from transect.llm.tenants import Nobody

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

logger = logging.getLogger("transect.gateway")

SERVED = frozenset({"/v1/completions", "/v1/chat/completions"})
GOING = "the gateway is going down"


class App:
    """An ASGI application."""

    def __init__(
        self, relay: Relay, identifier: Identifier, limits: Limits, bodies: Bodies, open_each: int
    ) -> None:
        """`open_each`: the most requests of one tenant that may be under way."""
        self._relay = relay
        self._dispatcher = relay.dispatcher
        self._identifier = identifier
        self._limits = limits
        self._bodies = bodies
        self._open_each = open_each
        self._departures = Departures()
        self._of: Counter[int] = Counter()  # requests under way, by tenant
        self.draining = False
        self._under_way: set[asyncio.Task[Any]] = set()
        self._cut = False

    @property
    def open(self) -> int:
        """Requests under way."""
        return len(self._under_way)

    def metrics(self) -> Iterator[Metric]:
        yield from self._identifier.metrics()
        open = (("", float(self.open)),)
        yield Metric("transect_llm_open_requests", "gauge", "Requests of clients under way.", open)

    async def cut_off(self) -> None:
        """End the requests that are under way, and tell their clients."""
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
        asked = self._identifier.who(scope)
        if isinstance(asked, Nobody):
            await error_answer(reply.send, 401, UNIDENTIFIED[asked])
            return
        if (connection := scope.get(KEY)) is not None:
            connection.known()
        reply.request_id = asked.named.request_id
        client, number = asked.client, asked.client.number
        self._of[number] += 1
        try:
            if self._of[number] > self._open_each:
                raise TurnedAway(
                    429, f"{client.name} has {counted(self._open_each, 'request')} under way already", 1.0
                )
            await serving_task(client.name, asked.deadline, self._routed(asked, scope, receive, reply))
        except calls.BadCall as wrong:
            await error_answer(reply.send, 400, str(wrong))
        except TurnedAway as away:
            await error_answer(reply.send, away.status, away.why, away.retry_s)
        except _Gone:
            return
        finally:
            self._of[number] -= 1
            if not self._of[number]:
                del self._of[number]

    async def _routed(self, asked: Asked, scope: Scope, receive: Receive, reply: Reply) -> None:
        path, method, send, client = scope["path"], scope["method"], reply.send, asked.client
        if models.served(path):
            if method not in ("GET", "HEAD"):
                raise TurnedAway(405, f"{models.PATH} is read with GET")
            await models.answer(send, path, self._dispatcher.replicas)
        elif path not in SERVED:
            raise TurnedAway(
                404, f"this path is not served here; there are {', '.join((*sorted(SERVED), models.PATH))}"
            )
        elif method != "POST":
            raise TurnedAway(405, f"{path} is posted to")
        elif self.draining:
            raise TurnedAway(503, GOING, 5.0)
        else:
            with self._bodies.holding(client.number, client.name) as body:
                whole = await self._body(scope, receive, body)
                held = self._dispatcher.enter(client, calls.read(path, whole), asked.deadline, asked.named)
                del whole
                with self._departures.attended(receive):
                    await self._relay.serve(held, reply)

    async def _body(self, scope: Scope, receive: Receive, body: Body) -> bytes:
        """Raises `TurnedAway`, `_Gone`."""
        most, patience = self._limits.body_bytes, self._limits.body_s
        declared = _declared(scope)
        if declared > most:
            raise TurnedAway(413, f"a request has at most {most} bytes")
        body.room_for(declared)
        connection = scope.get(KEY)
        if connection is not None and connection.whole:  # a timer would cost more than the body
            return await _all_of(receive, body, most)
        try:
            async with asyncio.timeout(patience):
                return await _all_of(receive, body, most)
        except TimeoutError:
            raise TurnedAway(408, f"the request did not come within {patience:g} s") from None


class _Gone(Exception):
    """The client has left."""


async def _all_of(receive: Receive, body: Body, most: int) -> bytes:
    """Raises `TurnedAway`, `_Gone`."""
    pieces = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        pieces.append(message.get("body", b""))
        body.grow(len(pieces[-1]))
        if body.size > most:
            raise TurnedAway(413, f"a request has at most {most} bytes")
        if not message.get("more_body", False):
            return b"".join(pieces)


def _declared(scope: Scope) -> int:
    """The size of the body as its client declares it; 0 if it declares none.  Raises `TurnedAway` for a body in a form
    that is not read.
    """
    declared = 0
    for name, value in scope["headers"]:
        if name == b"content-length":
            declared = int(value)  # digits, as the parser has seen
        elif name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            raise TurnedAway(415, "a request that is compressed is not read")
        elif name == b"upgrade":  # the parser takes what follows its head for another protocol
            raise TurnedAway(400, "a request with `Upgrade` is not read")
    return declared


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return
