# SPDX-License-Identifier: Apache-2.0
"""docs/papers.md has a row for each claim of benchmarks/, whose numbers `tools/papers.py` can fill in."""

from __future__ import annotations

import re
import runpy
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAPERS = runpy.run_path(str(ROOT / "tools" / "papers.py"))
PAGE = (ROOT / "docs" / "papers.md").read_text()
LONGEST_CELL = 160


def test_each_target_of_each_claim_has_a_row() -> None:
    for path in ROOT.glob("benchmarks/*/expected.toml"):
        expected = tomllib.loads(path.read_text())
        assert f"`{expected['id']}`" in PAGE
        after = PAGE.partition(f"`{expected['id']}`")[2]
        for key, target in expected["target"].items():
            sign = "≤" if target.get("at_most", True) else "≥"
            row = re.search(rf"`{key}` {sign} ([\d.]+)", after)
            assert row is not None, f"{expected['id']}: no row for {key}"
            assert float(row[1]) == target["limit"]


def test_filling_in_changes_numbers_and_nothing_else() -> None:
    without = re.compile(r" \| [\d.]+(, short of it)? \| ")
    assert without.sub(" | N | ", PAPERS["filled"](PAGE)) == without.sub(" | N | ", PAGE)


def test_a_number_that_misses_its_target_says_so() -> None:
    assert PAPERS["number"]({"limit": 1.1}, 1.2) == "1.200, short of it"
    assert PAPERS["number"]({"limit": 1.1, "at_most": False}, 1.2) == "1.200"


def test_no_cell_of_a_table_holds_a_story() -> None:
    cells = [cell for line in PAGE.split("\n") if line.startswith("|") for cell in line.split(" | ")]
    assert [cell for cell in cells if len(cell) > LONGEST_CELL] == []
