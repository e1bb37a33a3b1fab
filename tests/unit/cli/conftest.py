# SPDX-License-Identifier: Apache-2.0
"""A terminal 80 columns wide, without colour."""

from __future__ import annotations

import pytest

from tests.unit.cli.terminal import Run, runner


@pytest.fixture
def transect(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command line within this process."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    return runner(capsys)
