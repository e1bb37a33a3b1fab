# SPDX-License-Identifier: Apache-2.0
"""How a program in the foreground is told to end: Ctrl-C, a service manager's SIGTERM, or a terminal that hangs up.

Within `stopping` these signals only set a flag, so that everything that was begun is ended in order.
"""

from __future__ import annotations

import contextlib
import queue
import signal
from collections.abc import Iterator


class Stop:
    """Set once, waited for by any number of threads.

    `threading.Event` will not do: a signal handler runs in the main thread between any two of its instructions, and an
    Event that is set while that thread waits for it takes a lock which the thread already holds.  A SimpleQueue
    is made for this.
    """

    def __init__(self) -> None:
        self._told = False
        self._words: queue.SimpleQueue[None] = queue.SimpleQueue()

    def set(self) -> None:
        """Set it; a signal handler may do so, too."""
        self._told = True
        self._words.put(None)

    def is_set(self) -> bool:
        return self._told

    def wait(self, seconds: float | None = None) -> bool:
        """True once it is set, False when the time is over."""
        try:
            self._words.get(timeout=None if seconds is None else max(seconds, 0))
        except queue.Empty:
            return False
        self._words.put(None)  # for other threads that wait
        return True


@contextlib.contextmanager
def stopping() -> Iterator[Stop]:
    """What SIGINT, SIGTERM and SIGHUP set; their former handlers come back in the end.

    Under `nohup`, SIGHUP stays ignored.
    """
    stop = Stop()
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
