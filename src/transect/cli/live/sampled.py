# SPDX-License-Identifier: Apache-2.0
"""Recording for a share of the time: short logs, each complete in itself, and pauses between them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from transect.cli.control import instance, show
from transect.cli.exits import Exit
from transect.cli.failure import usage

if TYPE_CHECKING:
    from transect.control import Client
    from transect.control.answers import Stopped
    from transect.control.stopping import Stop

BURST_S = 1.0


def sampled(stratum: str, name: str | None, folder: Path, seconds: float | None, share: float) -> int:
    """Record bursts of a second into a folder, so many that they make up that share of the time."""
    if folder.exists():
        return usage(f"{folder} exists, and is not overwritten", "give another path")
    return show(lambda: _bursts(instance(stratum, name), folder, seconds, share))


def _bursts(client: Client, folder: Path, seconds: float | None, share: float) -> int:
    from transect.control.stopping import stopping

    folder.mkdir()
    until = "; Ctrl-C ends it" if seconds is None else ""
    print(f"recording {share:.3g} of the time into {folder}, {BURST_S:g} s each time{until}", flush=True)
    end = float("inf") if seconds is None else time.monotonic() + seconds
    records = dropped = logs = 0
    with stopping() as stop:
        while time.monotonic() < end and not stop.is_set():
            began = time.monotonic()
            path = folder / f"{logs:06}{'' if client.stratum == 'stack' else '.log'}"
            burst = _burst(client, path, stop, end)
            logs, records, dropped = logs + 1, records + burst["records"], dropped + burst["dropped"]
            stop.wait(min(began + BURST_S / share, end) - time.monotonic())
    print(f"{records} calls recorded in {logs} logs, {dropped} dropped")
    return Exit.UNKNOWN if dropped else Exit.DONE


def _burst(client: Client, path: Path, stop: Stop, end: float) -> Stopped:
    with client.recording(path) as recording:
        stop.wait(min(time.monotonic() + BURST_S, end) - time.monotonic())
        return recording.end()
