# SPDX-License-Identifier: Apache-2.0
"""What changes an instance is done by one at a time; who would have to wait longer than he listens is told for what."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from typing import Any

from transect.control.protocol import Refused

WAIT_S = 20.0  # for who is before; less than a client's patience, so that nothing is done which he no longer hears of


class Turns:
    """One at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = "", 0.0  # what has its turn, and since when, by the monotonic clock

    def taking(self, name: str, verb: Callable[..., Any], *, ends: bool = False) -> Callable[..., Any]:
        """The verb, in its turn; raises `Refused` when that does not come.  `ends`: it waits however long it takes."""

        @functools.wraps(verb)
        def in_turn(**arguments: Any) -> Any:
            if not self._lock.acquire(timeout=-1 if ends else WAIT_S):
                raise self._busy()
            try:
                self._now = name, time.monotonic()
                return verb(**arguments)
            finally:
                self._lock.release()

        return in_turn

    def _busy(self) -> Refused:
        name, since = self._now
        why = f"`{name}` has been under way for {time.monotonic() - since:.0f} s, and one thing is done at a time"
        return Refused(why, "ask again when it has ended; `status` is answered meanwhile")
