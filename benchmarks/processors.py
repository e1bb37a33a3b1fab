# SPDX-License-Identifier: Apache-2.0
"""CPU time of running processes, with all processes that they have started."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def below(pid: int) -> Iterator[int]:
    """A process and all processes below it."""
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from below(int(child))


def processor_s(pid: int) -> float:
    """Seconds of CPU time that a process and all processes below it have used so far."""
    total = 0.0
    for one in below(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) * TICK_S
    return total
