# SPDX-License-Identifier: Apache-2.0
"""Machines of these tests: one of each kernel, started when first wanted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.systems.memory.guest import Guest, booted

KERNELS = ("6.12", "7.3")


@pytest.fixture(scope="session", params=KERNELS)
def guest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """One machine for all tests of a kernel."""
    with booted(request.param, tmp_path_factory.mktemp(f"tamper-{request.param}")) as machine:
        yield machine
