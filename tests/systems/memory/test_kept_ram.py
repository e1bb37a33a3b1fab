# SPDX-License-Identifier: Apache-2.0
"""`transect vm --ram FILE`: the memory of a machine, to look at while it runs and when it has ended."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from transect.cli import main


@pytest.fixture
def ram() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="transect-ram-", dir="/dev/shm") as folder:
        yield Path(folder) / "vm.ram"


@pytest.mark.needs("vm")
def test_what_is_left_of_a_machine_is_looked_at_as_a_dump(
    ram: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["sh", "-c", "sleep 7777 & echo $!; exec 2>/dev/null; sleep 1"]
    assert main(["vm", "--ram", str(ram), "--memory", "512", "--cpus", "1", "--", *words]) == 0
    out, err = capfd.readouterr()
    assert f"its memory is in {ram}: `transect memory ps ram:{ram}`" in err
    assert ram.stat().st_size == 512 << 20 and ram.stat().st_mode & 0o777 == 0o600
    assert main(["memory", "ps", f"raw:{ram}"]) == 0
    listed = [line.split() for line in capfd.readouterr().out.splitlines()]
    assert any(line[0] == out.strip() and "sleep" in line for line in listed), listed
    assert main(["memory", "scan", f"raw:{ram}", "HiddenTasks", "Pointers", "--format", "json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["anchored"] is True
