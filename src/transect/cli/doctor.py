# SPDX-License-Identifier: Apache-2.0
"""`transect doctor`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from transect.cli.checking import in_color
from transect.cli.exits import Exit
from transect.cli.machine import Report, State, reports
from transect.cli.strata import Stratum

COLOR = {State.WORKS: "32", State.PARTLY: "33", State.NOT: "31"}


def doctor(
    stratum: Annotated[
        Stratum | None,
        typer.Argument(
            metavar="STRATUM", show_default=False, help="Only this one; ends with 3 when it does not work."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> int:
    """Say for each stratum whether it works here, why not, and the one command that helps."""
    chosen = [report for report in reports() if stratum is None or report.name == stratum]
    if as_json:
        print(json.dumps([_plain(report) for report in chosen], indent=2))
    else:
        for report in chosen:
            _print(report)
    return Exit.UNAVAILABLE if stratum and chosen[0].state is State.NOT else Exit.DONE


def _print(report: Report) -> None:
    print(f"{report.name:10}{_painted(report.state)}{f'  {report.absent}' if report.absent else ''}")
    for part in report.parts:
        print(f"  {part.name:14}{part.found or part.why}")
    if report.hint:
        print(f"  {'→':14}{report.hint}")


def _painted(state: State) -> str:
    return f"\033[1;{COLOR[state]}m{state}\033[0m" if in_color() else str(state)


def _plain(report: Report) -> dict[str, object]:
    return {
        "name": report.name,
        "state": str(report.state),
        "reason": report.reason,
        "hint": report.hint,
        "parts": [
            {"name": part.name, "found": part.found or None, "why": part.why, "hint": part.hint}
            for part in report.parts
        ],
    }
