# SPDX-License-Identifier: Apache-2.0
"""What a switch has, whatever the file says, is read or refused in the reader's own words."""

from __future__ import annotations

from pathlib import Path

from tests.fuzz.reading import inputs, survives
from transect.memory.p4.budget import DEFAULT, BadBudget, Budget


def test_every_budget_is_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "switches.toml"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        Budget.of(path)

    assert {survives(read, data, BadBudget) for data in inputs([DEFAULT.read_bytes()])} == {True, False}
