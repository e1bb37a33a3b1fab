# SPDX-License-Identifier: Apache-2.0
"""The lock of a service: whoever waits gets it, though another takes it again and again."""

from __future__ import annotations

import threading
import time

import pytest

from transect.llm.lock import FairLock


def test_who_waits_is_next() -> None:
    """With a lock that is not handed over a busy loop kept its operator waiting for eight seconds."""
    lock, ended = FairLock(), threading.Event()
    turns = 0

    def loop() -> None:
        nonlocal turns
        while not ended.is_set():
            with lock:
                turns += 1
                time.sleep(0.002)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        waited = []
        for _ in range(20):
            begun = turns
            with lock:
                waited.append(turns - begun)
    finally:
        ended.set()
        thread.join()
    assert max(waited) <= 2, "it waits for the turn under way, and for no other"


def test_who_holds_it_may_take_it_again() -> None:
    lock = FairLock()
    other = threading.Thread(target=lambda: lock.__enter__() or lock.__exit__(None, None, None))
    with lock:
        other.start()
        time.sleep(0.05)  # the other one waits, and must not be waited for
        with lock:
            pass
        assert other.is_alive()
    other.join(5)
    assert not other.is_alive()


def test_an_error_gives_it_back() -> None:
    lock = FairLock()
    with pytest.raises(ValueError, match="x"), lock:
        raise ValueError("x")
    with lock:
        pass
