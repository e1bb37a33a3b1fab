# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.systems.rpc.envoy.kit import Client, Echo, Proxy, channel, compiled, proxy, serving


@pytest.fixture(scope="session")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of compiled modules."""
    return tmp_path_factory.mktemp("modules")


@pytest.fixture(scope="session")
def probe(modules: Path) -> Path:
    """A chain that obeys messages and keeps a diary."""
    return compiled("probe_chain.c", modules)


@pytest.fixture(scope="session")
def echo() -> Iterator[tuple[int, Echo]]:
    """A real service: its port and what it saw."""
    handler = Echo()
    with serving(handler) as port:
        yield port, handler


@pytest.fixture(scope="session")
def shared(
    probe: Path, echo: tuple[int, Echo], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Proxy]]:
    """A proxy around the probe chain for many tests; another one when a test has ended it."""
    with ExitStack() as stack:
        started: list[Proxy] = []

        def living() -> Proxy:
            if not started or not started[-1].envoy.alive:
                folder = tmp_path_factory.mktemp("shared")
                started.append(stack.enter_context(proxy(probe, folder, echo[0])))
            return started[-1]

        yield living


@pytest.fixture
def running(shared: Callable[[], Proxy]) -> Iterator[Proxy]:
    """The shared proxy, as one that nobody has used."""
    it = shared().from_now()
    yield it
    assert it.envoy.alive, it.envoy.last_word


@pytest.fixture
def alone(probe: Path, echo: tuple[int, Echo], tmp_path: Path) -> Iterator[Proxy]:
    """A proxy of one's own around the probe chain."""
    with proxy(probe, tmp_path, echo[0]) as it:
        yield it


@pytest.fixture
def client(running: Proxy) -> Iterator[Client]:
    with channel(running.port) as it:
        yield it
