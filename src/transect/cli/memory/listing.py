# SPDX-License-Identifier: Apache-2.0
"""`transect memory ps` and `lsmod`: what one of transect's own probes shows, in columns.

They are typed at a prompt, so their usual forms do without the library that parses command lines.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from transect.base.bounded import is_file
from transect.cli.exits import Exit
from transect.cli.failure import tell
from transect.cli.memory.opening import with_target

if TYPE_CHECKING:
    from transect.memory.machine import Machine

LISTS = {  # probe and columns, by verb
    "ps": ("Processes", ("pid", "parent", "uid", "state", "comm", "hidden")),
    "lsmod": ("Modules", ("name", "text", "size", "taints", "hidden")),
}


def usual_form(words: Sequence[str]) -> tuple[str, str, Path | None] | None:
    """Verb, target and kernel, if there is nothing else; None leaves it to the general parser."""
    match words:
        case [verb, target]:
            kernel = None
        case [verb, target, "--kernel", file] | [verb, "--kernel", file, target]:
            kernel = Path(file)
        case _:
            return None
    if verb not in LISTS or target.startswith("-") or (kernel is not None and not is_file(kernel)):
        return None
    return verb, target, kernel


def listing(verb: str, target: str, kernel: Path | None) -> int:
    """Print the rows; 1 when the probe reports something, 4 when it could not look."""
    return with_target(target, kernel, partial(_listed, *LISTS[verb]))


def _listed(name: str, columns: Sequence[str], machine: Machine) -> int:
    from transect.memory import questions, report
    from transect.memory import scan as scanning
    from transect.memory.findings import Verdict, shown
    from transect.memory.standard import named

    result = scanning.probe(machine, named(name), questions.Answers(machine))
    if result.verdict not in (Verdict.CLEAN, Verdict.FOUND):
        tell(f"{machine.name}: {result.problem}")
        return Exit.UNKNOWN
    rows = [[shown(c, dict(said.evidence).get(c, "")) for c in columns] for said in result.shown]
    hidden = [
        [shown(c, {**dict(f.evidence), "hidden": f.what}.get(c, "")) for c in columns]
        for f in result.findings
    ]
    whole = [[c.upper() for c in columns], *rows, *hidden]
    widths = [max(len(row[i]) for row in whole) for i in range(len(columns))]
    for row in whole:
        print("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
    if not machine.known.anchored:
        print(f"transect: {report.UNANCHORED}", file=sys.stderr)
    return Exit.NO if hidden else Exit.DONE
