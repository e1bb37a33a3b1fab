# SPDX-License-Identifier: Apache-2.0
"""Three of bob's threads that never rest, and alice, who has short requests, on one CPU.

Runs in the machine of `cores.py`, under whichever Python is there, so it uses the standard library only.  Prints how
long each of alice's requests took, in seconds.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time

from transect.identity import serving

HOGS = 3
CPU = 1
BEGIN_S = 2.0  # for a scheduler to hear who works for whom, where one listens
REQUEST_S = 0.01  # of the CPU
PAUSE_S = 0.05  # between two of alice's requests


def burn(seconds: float) -> None:
    """Use so much CPU time."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def introduced(tenant: str) -> None:
    """Say whom this process works for, again and again, until a scheduler that listens has heard it."""
    end = time.monotonic() + BEGIN_S
    while time.monotonic() < end:
        with serving(tenant, None):
            time.sleep(0.02)


def hog() -> None:
    """Use the CPU until killed."""
    introduced("bob")
    while True:
        with serving("bob", None):
            burn(0.1)


def requests(seconds: float) -> list[float]:
    """Make requests for so many seconds; how long each took."""
    introduced("alice")
    took: list[float] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        with serving("alice", None):
            burn(REQUEST_S)
        took.append(time.monotonic() - began)
        time.sleep(PAUSE_S)
    return took


def main(seconds: str) -> None:
    os.sched_setaffinity(0, {CPU})
    hogs = []
    for _ in range(HOGS):
        child = os.fork()
        if not child:
            hog()
        hogs.append(child)
    try:
        print(json.dumps(requests(float(seconds))), flush=True)
    finally:
        for child in hogs:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
