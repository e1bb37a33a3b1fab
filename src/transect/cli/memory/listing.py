# SPDX-License-Identifier: Apache-2.0
"""What one of transect's own probes shows, in columns."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from transect.cli.exits import Exit

if TYPE_CHECKING:
    from transect.memory.machine import Machine


def listing(machine: Machine, name: str, columns: Sequence[str]) -> int:
    """Print the rows; 1 when the probe reports something, 4 when it could not look."""
    from transect.memory import asked, report
    from transect.memory import scan as scanning
    from transect.memory.findings import Verdict, shown
    from transect.memory.standard import named

    result = scanning.probe(machine, named(name), asked.Answers(machine))
    if result.verdict not in (Verdict.CLEAN, Verdict.FOUND):
        print(f"transect: {machine.name}: {result.problem}", file=sys.stderr)
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
