# SPDX-License-Identifier: Apache-2.0
"""The fixtures of the Envoy carrier's tests, with a plugin where those have a module."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.systems.rpc.envoy.conftest import alone as running
from tests.systems.rpc.envoy.conftest import client, echo, modules
from tests.systems.rpc.envoy.kit import HERE as MODULES
from transect.emit.artifact import Artifact
from transect.emit.c.emitter import runtime
from transect.rpc.native.build import RPC_RUNTIME
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
    """Of tests with many parameters, two: the code that they test is the module's."""
    seen: Counter[str] = Counter()

    def wanted(item: pytest.Item) -> bool:
        if item.path.parent != HERE or not item.name.endswith("]"):
            return True
        name = item.nodeid.partition("[")[0]
        seen[name] += 1
        return seen[name] <= 2

    items[:] = [item for item in items if wanted(item)]
