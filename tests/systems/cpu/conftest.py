# SPDX-License-Identifier: Apache-2.0
"""One machine of four CPUs for all files that want one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.parts import need
from transect.cpu.machine import Bench


@pytest.fixture(scope="session")
def four() -> Iterator[Bench]:
    need("clang"), need("vm")
    with Bench(cpus=4) as bench:
        yield bench


@pytest.fixture
def quad(four: Bench) -> Iterator[Bench]:
    """It, with nothing in force before and after."""
    yield four
    four.stop()
    assert four.scheduler() == "disabled"
