# SPDX-License-Identifier: Apache-2.0
"""What the cpu benchmarks do in a machine.  A load program is compiled outside, and put where any user may run it.

Emulation is three times as slow on one host as on another, and slower on a busy one.  So `rounds` ends in bounded time,
and `scale` says by how much loads with fixed times have to be stretched.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from needed import static

from transect.cpu.machine import Bench


def compiled_load(bench: Bench, source: Path) -> str:
    """Compile a load program, with headers that lie in the job folder; its path in the machine."""
    target = bench.folder / source.stem
    static(source, target, "-pthread", "-I", str(bench.folder), "-I", str(Path(__file__).parent))
    bench.shell(f"mkdir -p -m 755 /run/load; cp {target} /run/load; chmod 755 /run/load/{source.stem}")
    return f"/run/load/{source.stem}"


def rounds(most: int, limit_s: float = 330) -> Iterator[int]:
    """The rounds: `most`, or as many as begin within `limit_s`, but three at least.  The record says how many."""
    end = time.monotonic() + limit_s
    for number in range(most):
        if number >= 3 and time.monotonic() > end:
            return
        yield number


def scale(bench: Bench) -> int:
    """How many times longer than 60 us a round trip of a pinned pipe takes here: what waking and switching cost."""
    pipe = compiled_load(bench, Path(__file__).parent / "cpu_pipe" / "pipe.c")
    return max(1, round(float(bench.shell(f"{pipe} 1 9 300")) / 60_000))
