# SPDX-License-Identifier: Apache-2.0
"""Waiting in the foreground until the user has had enough: Ctrl-C, or a service manager's SIGTERM."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

MOMENT_S = 0.2


@contextlib.contextmanager
def until_told() -> Iterator[Callable[[float | None], bool]]:
    """Gives `wait(seconds)`: False when the user ended it, True when the time is over.

    Within the block both signals only set a flag, so that whatever is begun is also ended in order.
    """
    told = threading.Event()

    def tell(number: int, frame: FrameType | None) -> None:
        told.set()

    before = {number: signal.signal(number, tell) for number in (signal.SIGINT, signal.SIGTERM)}

    def wait(seconds: float | None = None) -> bool:
        end = None if seconds is None else time.monotonic() + seconds
        while not told.is_set():
            left = MOMENT_S if end is None else min(end - time.monotonic(), MOMENT_S)
            if left <= 0:
                return True
            told.wait(left)
        return False

    try:
        yield wait
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
