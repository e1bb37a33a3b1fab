# SPDX-License-Identifier: Apache-2.0
"""What tests of damaged logs share."""

from __future__ import annotations

from functools import lru_cache

import pytest

from transect.core.foreign import admitted
from transect.replay import log


@pytest.fixture
def programs_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The text of a program that was just met is not parsed and verified again: most damage leaves it as it was, and
    reading it takes three quarters of the time."""
    monkeypatch.setattr(log, "admitted", lru_cache(maxsize=64)(admitted))
