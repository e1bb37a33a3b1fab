# SPDX-License-Identifier: Apache-2.0
"""`transect STRATUM record`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from transect.base.counted import counted
from transect.cli.control import instance, show
from transect.cli.exits import Exit
from transect.cli.failure import usage
from transect.cli.live.sampled import sampled

if TYPE_CHECKING:
    from transect.control.answers import Stopped
    from transect.control.client import Recording
    from transect.control.stopping import Stop

LOOK_S = 0.2  # between two looks at whether the instance still records

Output: TypeAlias = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="LOG", show_default=False, help="The log; it must not exist yet."),
]
End: TypeAlias = Annotated[
    bool, typer.Option("--stop", help="End the recording that is under way, whoever began it.")
]


def record(stratum: str) -> Callable[..., int]:
    """The verb of a stratum."""

    def record(
        log: Output = None,
        name: Annotated[
            str | None,
            typer.Argument(metavar="NAME", show_default=False, help="The instance; needed when several run."),
        ] = None,
        seconds: Annotated[
            float | None,
            typer.Option(
                "--for", metavar="SECONDS", show_default=False, help="How long; without it, until Ctrl-C."
            ),
        ] = None,
        share: Annotated[
            float,
            typer.Option(
                "--share",
                min=0.001,
                max=1,
                metavar="SHARE",
                help="Share of the time: 0.01 records one second in every hundred, into a folder of logs.",
            ),
        ] = 1.0,
        end: End = False,
    ) -> int:
        """Write every handler call of what runs into a log, for `transect replay` and `transect why`.

        Ctrl-C, like any other end of this command, ends the recording; the policy goes on. The exit code is 4 when
        calls were dropped: such a log does not prove anything.
        """
        if share < 1 and log is not None and not end:
            return sampled(stratum, name, log, seconds, share)
        return recorded(stratum, name, log, seconds, end=end)

    return record


def recorded(stratum: str, name: str | None, log: Path | None, seconds: float | None, *, end: bool) -> int:
    """Record what runs, or end its recording."""
    if end == (log is not None):
        return usage("either `-o LOG` begins a recording, or `--stop` ends one", "give one of them")
    if log is None:
        return show(lambda: _said(instance(stratum, name).record_stop()))
    if log.exists():
        return usage(f"{log} exists, and is not overwritten", "give another path")

    def ask() -> int:
        from transect.control.stopping import stopping

        with stopping() as stop, instance(stratum, name).recording(log) as recording:
            print(f"recording into {log}" + ("; Ctrl-C ends it" if seconds is None else ""), flush=True)
            _wait(stop, recording, seconds)
            return _said(recording.end())

    return show(ask)


def _wait(stop: Stop, recording: Recording, seconds: float | None) -> None:
    """Wait until told to stop, the time is over, or the instance no longer records."""
    end = float("inf") if seconds is None else time.monotonic() + seconds
    while not recording.has_ended() and not stop.wait(min(LOOK_S, end - time.monotonic())):
        if time.monotonic() >= end:
            return


def _said(ended: Stopped) -> int:
    print(f"{counted(ended['records'], 'call')} recorded, {ended['dropped']} dropped")
    return Exit.UNKNOWN if ended["dropped"] else Exit.DONE
