# SPDX-License-Identifier: Apache-2.0
"""The fixtures of the Envoy carrier's tests, with a plugin where those have a module."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.systems.rpc.envoy.conftest import alone as running
from tests.systems.rpc.envoy.conftest import client, echo, modules
from tests.systems.rpc.envoy.kit import HERE as MODULES
from transect.emit.artifact import Artifact
from transect.emit.c.emitter import runtime
from transect.rpc.build import RPC_RUNTIME
from transect.rpc.wasm import build

HERE = Path(__file__).parent

__all__ = ["client", "echo", "modules", "probe", "running"]


@pytest.fixture(scope="session")
def probe(modules: Path) -> Path:
    """The chain that obeys messages and keeps a diary, as a plugin."""
    libc = HERE / "probe_libc.h"
    text = f'#include "{libc.name}"\n'.encode() + (MODULES / "probe_chain.c").read_bytes()
    files = {"chain.c": text, libc.name: libc.read_bytes(), "chain.h": (RPC_RUNTIME / "chain.h").read_bytes()}
    return build(Artifact({**files, **runtime()}), modules)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of tests with many seeds, some: the code that they test is the module's."""
    few = [
        i
        for i in items
        if not (i.path.parent == HERE and "cut_anywhere" in i.name and i.name[-2] not in "0123")
    ]
    items[:] = [i for i in few if not (i.path.parent == HERE and i.name.endswith(("[10]", "[11]")))]
