# SPDX-License-Identifier: Apache-2.0
"""Machines of these tests: one of each kernel, started when first wanted."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.systems.memory import network as networks
from tests.systems.memory.guest import Guest, booted
from tests.systems.memory.network import SOCKETS, Network

KERNELS = ("6.12", "7.3")
RDMA = "6.12"  # the cloud flavour of 7.3 has no soft-RoCE


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever comes first waits for modules to be built and a machine to boot: minutes, where all else is busy."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session", params=KERNELS)
def guest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """One machine for all tests of a kernel."""
    version = request.param
    with ExitStack() as stack:
        on_tap = version == RDMA and os.geteuid() == 0
        network = stack.enter_context(Network()) if on_tap else None
        folder = tmp_path_factory.mktemp(f"tamper-{version}")
        yield stack.enter_context(booted(version, folder, network=network))


@pytest.fixture(scope="module")
def granted(guest: Guest) -> Iterator[str]:
    """The machine grants its memory over the card that needs no root; the address of that target."""
    with networks.granted(guest, SOCKETS) as told:
        here, there = guest.card
        yield f"roce://{SOCKETS.peer}/{told}?via={here},{there}&own={SOCKETS.own}"
