# SPDX-License-Identifier: Apache-2.0
"""`transect STRATUM record`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from transect.cli.control import instance, show
from transect.cli.exits import Exit
from transect.cli.failure import usage


def record(stratum: str) -> Callable[..., int]:
    """The verb of a stratum."""

    def record(
        log: Annotated[
            Path, typer.Option("--output", "-o", metavar="LOG", help="The log; it must not exist yet.")
        ],
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
    ) -> int:
        """Write every handler call of what runs into a log, for `transect replay`.

        Ctrl-C ends the recording, and the policy goes on. The exit code is 4 when calls were dropped: such a log does
        not prove anything.
        """
        if log.exists():
            return usage(f"{log} exists, and is not overwritten", "give another path")

        def ask() -> int:
            from transect.control.stopping import stopping

            asked = instance(stratum, name)
            with stopping() as stop:
                asked.record_start(log)
                print(f"recording into {log}" + ("; Ctrl-C ends it" if seconds is None else ""), flush=True)
                stop.wait(seconds)
                ended = asked.record_stop()
            print(f"{ended['records']} calls recorded, {ended['dropped']} dropped")
            return Exit.UNKNOWN if ended["dropped"] else Exit.DONE

        return show(ask)

    return record
