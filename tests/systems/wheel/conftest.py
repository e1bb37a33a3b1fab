# SPDX-License-Identifier: Apache-2.0
"""The wheel, built once from the tracked files alone and installed once, for all tests of this folder."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.systems.wheel.installed import Installed, install


@pytest.fixture(scope="session")
def installed() -> Iterator[Installed]:
    """An environment with the wheel and the rpc extra in it, which an ordinary user can use."""
    root = Path(tempfile.mkdtemp(prefix="transect-wheel-"))  # pytest's own folders are closed to other users
    try:
        root.chmod(0o755)
        yield install(root)
    finally:
        shutil.rmtree(root)
