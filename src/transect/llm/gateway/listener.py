# SPDX-License-Identifier: Apache-2.0
"""Listeners: a connection is accepted only when its guard has a place for it, so that descriptors never run out.

While there is none, new connections wait in the kernel's queue.  If descriptors run out all the same, because something
else in the process took them, the listener waits and tries again.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, cast

import uvicorn

from transect.base.unavailable import Unavailable
from transect.llm.gateway.background import regularly
from transect.llm.gateway.guard import LOOK_S, Guard
from transect.llm.gateway.http import Connection, Heads
from transect.llm.gateway.settings import host_and_port

logger = logging.getLogger("transect.gateway")

FLUSH_S = 2  # after a drain, for clients to take what was written to them
BACKLOG = 2048  # connections that wait to be accepted
PAUSE_S = 0.1  # after the system lacked a descriptor or memory for another connection
SHORT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Listener:
    """Accepts connections at one socket, until it is closed.  It has the methods of `asyncio.Server` that uvicorn
    uses.
    """

    def __init__(self, listening: socket.socket, guard: Guard, make: Callable[[], asyncio.Protocol]) -> None:
        self._socket = listening
        self._guard = guard
        self._make = make
        self._tasks = [
            asyncio.ensure_future(self._accept()),
            asyncio.ensure_future(regularly("looking after connections", guard.look, LOOK_S)),
        ]

    async def _accept(self) -> None:
        """Accept connections one after the other.  An error with one connection, or for a while with all, does not stop
        it.
        """
        while True:
            try:
                await self._guard.room()
                await self._accept_one()
            except OSError as wrong:
                # Any other is about that one connection, which is gone.
                if wrong.errno in SHORT:
                    logger.error("no connection can be accepted at the moment: %s", wrong.strerror)
                    await asyncio.sleep(PAUSE_S)
            except Exception:
                logger.exception("a mistake of the gateway: a connection was not accepted")
                await asyncio.sleep(PAUSE_S)

    async def _accept_one(self) -> None:
        loop = asyncio.get_running_loop()
        accepted, _ = await loop.sock_accept(self._socket)
        try:
            await loop.connect_accepted_socket(self._make, accepted)
        except BaseException:
            accepted.close()
            raise

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def wait_closed(self) -> None:
        await asyncio.wait(self._tasks)


class Server(uvicorn.Server):
    """uvicorn's, with our listener.  Signals are the gateway's."""

    def __init__(self, app: Any, guard: Guard, heads: Heads) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=Connection,
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="on",
                ws="none",
                proxy_headers=False,
                timeout_graceful_shutdown=FLUSH_S,
            )
        )
        self._guard = guard
        self._heads = heads

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        assert sockets is not None, "a gateway listens before it serves"
        await self.lifespan.startup()
        make = partial(
            Connection,
            self.config,
            self.server_state,
            self.lifespan.state,
            guard=self._guard,
            heads=self._heads,
        )
        listeners: Sequence[Any] = [Listener(at, self._guard, make) for at in sockets]
        self.servers = cast(list[asyncio.base_events.Server], listeners)
        self.started = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listening(address: str) -> socket.socket:
    """Raises `Unavailable` when somebody else listens there."""
    host, port = host_and_port(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends without delay (TCP_NODELAY) only on sockets that say that they are TCP: else an answer's first token
    # waits 40 ms for the client's acknowledgement of its headers.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host.strip("[]"), port))
    except OSError as wrong:
        made.close()
        raise Unavailable(
            f"the address {address}", str(wrong.strerror), "give another one in the configuration"
        ) from wrong
    made.listen(BACKLOG)
    made.setblocking(False)
    return made
