# SPDX-License-Identifier: Apache-2.0
"""A lock which is handed over.

An engine's loop takes its lock again a moment after it gave it back; with an ordinary lock, a thread that waits for it
may wait for seconds, because nothing says whose turn it is.
"""

from __future__ import annotations

import threading
from threading import get_ident
from types import TracebackType


class FairLock:
    """A waiting thread gets it next.  The thread that holds it may take it again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._door = threading.Lock()  # held by the one who is next
        self._owner = 0
        self._depth = 0

    def __enter__(self) -> None:
        me = get_ident()
        if self._owner != me:
            with self._door:
                self._lock.acquire()
            self._owner = me
        self._depth += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._owner = 0
            self._lock.release()
