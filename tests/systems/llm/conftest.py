# SPDX-License-Identifier: Apache-2.0
"""One gateway for all tests that change nothing of it: each has tenants of its own there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.systems.llm.running import TENANTS, Running, gateway
from tests.systems.llm.upstream import Engine, engine

TESTS = 80  # at most, that share it


@pytest.fixture(scope="session")
def common(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Engine, Iterator[int]]]:
    """One gateway before one engine, and numbers of tests."""
    names = [f"{name}{number}" for number in range(TESTS) for name in TENANTS]
    folder = tmp_path_factory.mktemp("gateway")
    with (
        engine(slots=4, token_s=0.002) as served,
        gateway(folder, [served.url], names, limits="body_bytes = 65536") as running,
    ):
        yield running, served.app, iter(range(TESTS))


@pytest.fixture
def one(common: tuple[Running, Engine, Iterator[int]]) -> tuple[Running, Engine]:
    """The gateway before one engine, with tenants whom nobody else knows."""
    running, upstream, numbers = common
    assert running.settles(running.idle), "a test before left something behind"
    upstream.forget()
    number = next(numbers)
    names = {name: f"{name}{number}" for name in TENANTS}
    known = {name: running.keys[called] for name, called in names.items()}
    return replace(running, keys=known, names=names), upstream


@pytest.fixture
def own(tmp_path: Path) -> Iterator[tuple[Running, Engine]]:
    """A gateway before one engine which a test may stop, or give other settings."""
    with engine(slots=4, token_s=0.002) as served, gateway(tmp_path, [served.url]) as running:
        yield running, served.app
