# SPDX-License-Identifier: Apache-2.0
"""Clients that leave before they are answered: what is done for them ends.

An answer that is there at once is not worth a task that watches its client, nor a timer that would begin one: one timer
looks at all requests that are being served, and watches those that it sees for the second time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from types import TracebackType
from typing import Any

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

LOOK_S = 0.02  # between two looks at the requests that are being served, while there are any


class Attended:
    """What the current task does for one client (`with`); when the client leaves, it is interrupted and ends without an
    error.
    """

    __slots__ = ("_departures", "_left", "_over", "_receive", "_serving", "_watching")

    def __init__(self, departures: Departures, receive: Receive) -> None:
        self._departures = departures
        self._receive = receive
        self._watching: asyncio.Task[None] | None = None
        self._over = self._left = False

    def __enter__(self) -> Attended:
        serving = asyncio.current_task()
        assert serving is not None, "a client is served by a task"
        self._serving = serving
        self._departures.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._over = True
        self._departures.discard(self)
        if self._watching is not None:
            self._watching.cancel()
        if not (self._left and isinstance(error, asyncio.CancelledError)):
            return False
        self._serving.uncancel()
        return True

    def watch(self) -> None:
        """Notice from now on if its client leaves."""
        self._watching = asyncio.ensure_future(_until_gone(self._receive))
        self._watching.add_done_callback(self._leaves)

    def _leaves(self, watching: asyncio.Task[None]) -> None:
        if not self._over and not watching.cancelled():
            self._left = self._serving.cancel()


class Departures:
    """All that is being done for clients."""

    def __init__(self) -> None:
        self._new: dict[Attended, None] = {}  # since the last look
        self._seen: dict[Attended, None] = {}  # by the last look, for the first time
        self._timer: asyncio.TimerHandle | None = None  # of the next look; None: there is nobody

    def attended(self, receive: Receive) -> Attended:
        """See `Attended`; `receive` is that of the client's request, whose body has come."""
        return Attended(self, receive)

    def add(self, one: Attended) -> None:
        self._new[one] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def discard(self, one: Attended) -> None:
        self._new.pop(one, None)
        self._seen.pop(one, None)

    def _look(self) -> None:
        watched, self._seen, self._new = self._seen, self._new, {}
        for one in watched:
            one.watch()
        self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._look) if self._seen else None


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
