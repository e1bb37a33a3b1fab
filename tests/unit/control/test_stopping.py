# SPDX-License-Identifier: Apache-2.0
"""Telling what runs in the foreground to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

from transect.control.stopping import Stop, stopping


def test_each_signal_is_word_and_the_handlers_come_back() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    for number in numbers:
        with stopping() as stop:
            assert not stop.wait(0) and not stop.is_set()
            os.kill(os.getpid(), number)
            assert stop.wait(10) and stop.is_set()
    assert [signal.getsignal(number) for number in numbers] == before


def test_under_nohup_a_hangup_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopping() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.wait(0.05)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_all_who_wait_are_told() -> None:
    stop, told = Stop(), list[bool]()
    waiting = [threading.Thread(target=lambda: told.append(stop.wait(10))) for _ in range(3)]
    for thread in waiting:
        thread.start()
    stop.set()
    for thread in waiting:
        thread.join()
    assert told == [True] * 3
    assert stop.wait()


SIGNALLED_ALL_THE_TIME = """
import signal
from transect.control.stopping import Stop

stop, came = Stop(), 0

def tell(*_):
    global came
    came += 1
    stop.set()
    signal.setitimer(signal.ITIMER_REAL, 30e-6 * (came % 7 + 1))

signal.signal(signal.SIGALRM, tell)
signal.setitimer(signal.ITIMER_REAL, 1e-3)
while came < 2000:
    stop.wait(1e-4)
print("all came")
"""


def test_a_signal_at_the_wrong_moment_does_not_hang() -> None:
    """With a `threading.Event` this hangs within milliseconds."""
    command = [sys.executable, "-c", SIGNALLED_ALL_THE_TIME]
    assert subprocess.run(command, capture_output=True, text=True, timeout=60).stdout == "all came\n"
