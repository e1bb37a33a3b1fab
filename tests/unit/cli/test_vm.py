# SPDX-License-Identifier: Apache-2.0
"""Where `transect vm` keeps a machine's memory: in a new file, of a folder that is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.terminal import Run


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("there", "exists, and is not overwritten"),
        ("a,b", "no path with a comma"),
        ("none/ram", "is no folder"),
    ],
)
def test_memory_is_kept_in_a_new_file(name: str, says: str, transect: Run, tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    ended = transect("vm", "--ram", str(tmp_path / name), "--", "true")
    assert (ended.code, says in ended.err) == (2, True), ended.err
