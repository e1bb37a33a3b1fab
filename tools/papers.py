# SPDX-License-Identifier: Apache-2.0
"""Writes the measured numbers into the tables of docs/papers.md, from benchmarks/*/results/latest.json.

A row belongs to the claim whose id is in its first cell, or in the first cell of a row above; its number is the result
for the key in its column "our target".  A number that misses its target says so.  Rows of claims without a result stay
as they are.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "papers.md"
ID = re.compile(r"`(\w+\.\w+)`")
TARGET = re.compile(r"`(\w+)` [≤≥] ")


def results() -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """What is expected and what was measured, by id."""
    found = {}
    for path in ROOT.glob("benchmarks/*/expected.toml"):
        latest = path.parent / "results" / "latest.json"
        if latest.exists():
            expected = tomllib.loads(path.read_text())
            found[expected["id"]] = (expected["target"], json.loads(latest.read_text())["value"] or {})
    return found


def number(target: dict[str, Any], value: float) -> str:
    at_most = target.get("at_most", True)
    short = value > target["limit"] if at_most else value < target["limit"]
    digits = (
        3 if abs(value) >= 0.01 or not value else 4 if abs(value) >= 0.001 else 6
    )  # some are microseconds
    return f"{value:.{digits}f}" + (", short of it" if short else "")


def filled(page: str) -> str:
    known = results()
    claim, lines = "", []
    for line in page.split("\n"):
        cells = line.split(" | ")
        if line.startswith("## "):
            claim = ""
        if line.startswith("|") and (id := ID.search(cells[0])):
            claim = id[1]
        at = next((i for i, cell in enumerate(cells) if TARGET.search(cell)), None)
        if at is not None and claim in known:
            key = TARGET.search(cells[at])[1]  # type: ignore[index]
            target, value = known[claim]
            if key in value:
                cells[at + 1] = number(target[key], value[key])
        lines.append(" | ".join(cells))
    return "\n".join(lines)


def main() -> int:
    page = PAGE.read_text()
    PAGE.write_text(filled(page))
    return 0


if __name__ == "__main__":
    sys.exit(main())
