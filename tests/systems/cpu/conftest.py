# SPDX-License-Identifier: Apache-2.0
"""One machine of four CPUs and two nodes for all of these tests: booting costs more than most of what is done in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from tests.parts import need
from transect.cpu.machine import Bench

Until = Callable[[Callable[[], bool]], None]


@pytest.fixture(scope="package")
def machine() -> Iterator[Bench]:
    need("clang"), need("vm")
    with Bench(cpus=4, nodes=2) as bench:
        yield bench


@pytest.fixture
def bench(machine: Bench) -> Iterator[Bench]:
    """It, with nothing in force before and after."""
    yield machine
    machine.stop()
    assert machine.scheduler() == "disabled"


@pytest.fixture(scope="package")
def until() -> Until:
    """Waits for what takes its time in emulation, on a busy machine much of it."""

    def wait(true: Callable[[], bool]) -> None:
        for _ in range(600):
            if true():
                return
            time.sleep(0.1)
        pytest.fail("it did not come to that")

    return wait
