# SPDX-License-Identifier: Apache-2.0
"""`transect new FILE --for llm`, and what its test uses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from transect.cli.app import run
from transect.examples.llm.vtc import Vtc
from transect.llm.testing import order


def test_a_new_policy_has_no_errors_and_passes_its_test(tmp_path: Path) -> None:
    assert run(["new", str(tmp_path / "fair.py"), "--for", "llm"]) == 0
    assert run(["check", str(tmp_path / "fair.py")]) == 0
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", tmp_path / "test_fair.py"], capture_output=True
    )
    assert b"2 passed" in done.stdout, done.stdout


def test_the_order_of_turns_under_vtc() -> None:
    assert order(Vtc(), [("a", 10, 1), ("a", 10, 1), ("b", 1, 1)]) == ["a", "b", "a"]
