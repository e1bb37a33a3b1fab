# SPDX-License-Identifier: Apache-2.0
"""Reports of stuck processors on a machine's console: its kernel notices them after some 20 s."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from transect.base.bounded import tail

STUCK = re.compile(r"rcu: INFO: .*stall|soft lockup|hard LOCKUP|blocked for more than \d+ seconds")
LOOK_S = 1.0
LOOKED_AT = 1 << 20  # bytes at the end that are read: the console grows as long as the machine writes


def end(console: Path) -> str:
    """The end of it, or of the log beside it; empty where there is none yet."""
    return tail(console, LOOKED_AT).decode(errors="replace")


def stuck(console: Path) -> str:
    """The first line at its end that reports one; empty if there is none."""
    line = next((line for line in end(console).splitlines() if STUCK.search(line)), "")
    return re.sub(r"^\[ *[\d.]+\] ", "", line.strip())


@contextmanager
def watched(console: Path, say: Callable[[str], None], look_s: float = LOOK_S) -> Iterator[None]:
    """Report it once, after the kernel has."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(look_s):
            if line := stuck(console):
                say(f"the machine's kernel reports a processor that does not get on: {line}")
                return

    thread = threading.Thread(target=watch, name="transect-console", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
