# SPDX-License-Identifier: Apache-2.0
"""`transect doctor`."""

from __future__ import annotations

import json
import shutil
import textwrap
from typing import Annotated

import typer

from transect.cli.checking import in_color
from transect.cli.exits import Exit
from transect.cli.machine import Report, State, reports
from transect.cli.strata import Stratum

WORD = {State.WORKS: "works", State.PARTLY: "works partly", State.NOT: "does not work"}
COLOR = {State.WORKS: "32", State.PARTLY: "33", State.NOT: "31"}
COLUMN = 16  # where a part's text begins


def doctor(
    stratum: Annotated[
        Stratum | None,
        typer.Argument(
            metavar="STRATUM",
            show_default=False,
            help="Only this stratum; the exit code is 3 if it does not work.",
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
    print(f"{report.name:10}{_painted(report.state)}")
    for part in report.parts:
        _entry(part.name, part.found or part.why)
    if report.hint:
        _entry("→", report.hint)


def _entry(name: str, text: str) -> None:
    """Print a name and its text; a long text stays in its column."""
    width = shutil.get_terminal_size().columns - COLUMN
    first, *more = textwrap.wrap(text, max(width, 20), break_long_words=False, break_on_hyphens=False)
    print(f"  {name:{COLUMN - 3}} {first}")
    for line in more:
        print(" " * COLUMN + line)


def _painted(state: State) -> str:
    return f"\033[1;{COLOR[state]}m{WORD[state]}\033[0m" if in_color() else WORD[state]


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
