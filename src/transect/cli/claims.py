# SPDX-License-Identifier: Apache-2.0
"""The claims of a checkout: `benchmarks/ID/run.py --json` measures one and prints its result as a JSON object.

What it says on stderr passes through.  A run that ends with exit code 3 could not run here; its claim stays undecided.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from transect.base.unavailable import Unavailable
from transect.cli.exits import Exit

Result = dict[str, Any]  # as `run.py` prints it: id, value, target, holds, why, …


def folder() -> Path:
    """The benchmarks of the checkout that this package, or the working directory, belongs to."""
    for root in (Path(__file__).parents[3], Path.cwd(), *Path.cwd().parents):
        if (root / "benchmarks").is_dir() and (root / "src" / "transect").is_dir():
            return root / "benchmarks"
    raise Unavailable(
        "benchmarks", "they are not part of the installed package", "run this in a checkout: make bench"
    )


def known(benchmarks: Path) -> list[str]:
    """The claims there are."""
    return sorted(path.parent.name for path in benchmarks.glob("*/run.py"))


def measure(claim: Path) -> Result:
    """Run one benchmark."""
    done = subprocess.run(
        [sys.executable, str(claim / "run.py"), "--json"], stdout=subprocess.PIPE, text=True
    )
    if done.returncode == Exit.UNAVAILABLE:
        return {
            "id": claim.name,
            "value": {},
            "target": {},
            "holds": None,
            "why": "something is missing here; see above",
        }
    try:
        result = json.loads(done.stdout)
    except json.JSONDecodeError:
        result = None
    if not isinstance(result, dict) or "holds" not in result:
        return {
            "id": claim.name,
            "value": {},
            "target": {},
            "holds": None,
            "why": f"{claim / 'run.py'} ended with {done.returncode} and gave no result",
        }
    return result


def verdict(results: Iterable[Result]) -> int:
    """1 if a claim does not hold, else 4 if one is undecided, else 0."""
    held = [result["holds"] for result in results]
    if False in held:
        return Exit.NO
    return Exit.UNKNOWN if None in held else Exit.DONE


WORD = {True: "holds", False: "FAILS", None: "undecided"}


def lines(result: Result) -> Iterator[str]:
    """A result for people: the claim, then a line for each number."""
    why = f": {result['why']}" if result.get("why") else ""
    yield f"{WORD[result['holds']]:10}{result['id']}{why}"
    for key, value in result["value"].items():
        target = result["target"].get(key)
        yield f"          {key:24}{_number(value):>10}   target {_number(target)}"


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else str(value)
