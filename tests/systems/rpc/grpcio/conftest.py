# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.parts import need
from tests.systems.rpc.grpcio.kit import BARE, Echo, Stub, calling, diary, probe_module, serving
from transect.rpc.grpcio.handle import Carried, Touches


@pytest.fixture
def probe() -> Iterator[Any]:
    """A fresh copy of the probe chain; afterwards its diary must be sound."""
    need("gcc")
    need("python-headers")
    handle = probe_module().Chain()
    yield handle
    diary(handle)


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture(params=["bare", "touching headers"])
def carried(request: pytest.FixtureRequest, probe: Any) -> Carried:
    """The probe chain, attached as one which touches nothing but messages, and as one which touches all there is."""
    return Carried(probe, BARE if request.param == "bare" else Touches(), attempts=3)


@pytest.fixture
def stub(echo: Echo, carried: Carried) -> Iterator[Stub]:
    """A client with the probe chain; its server has none."""
    with serving(echo) as port, calling(port, carried) as made:
        yield made
