# SPDX-License-Identifier: Apache-2.0
"""A configuration or a model of an engine, whatever it says, is read or refused in the reader's own words."""

from __future__ import annotations

from pathlib import Path

from tests.fuzz.reading import inputs
from transect.base.unavailable import Unavailable
from transect.llm.config import ConfigError
from transect.llm.config_text import settings
from transect.llm.gateway.settings import GatewayConfig, host_and_port, name_of, read_gateway
from transect.llm.simulator.model import ENGINES, engine

SEEDS = [
    settings(GatewayConfig).encode(),
    b"""policy = "vtc"
listen = "0.0.0.0:8000"
params = { input_weight = 1.0 }

[identity]
trusted = ["10.0.0.0/8", "::1/128"]

[tenants."gold"]
keys = ["sha256:0000000000000000000000000000000000000000000000000000000000000000"]
weight = 2

[[upstreams]]
url = "http://127.0.0.1:9000"
key_env = "ENGINE_KEY"
""",
]


def test_every_configuration_is_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    outcomes = set()
    for data in [*SEEDS, *inputs(SEEDS)]:
        path.write_bytes(data)
        try:
            found = read_gateway(path)
            for upstream in found.upstreams:
                name_of(upstream)
            host_and_port(found.listen), host_and_port(found.admin)
            outcomes.add("read")
        except ConfigError as refused:
            assert "error[S03" in str(refused)
            outcomes.add("refused")
        except Exception as error:
            error.add_note(f"the file: {data!r}")
            raise
    assert outcomes == {"read", "refused"}


def test_every_model_of_an_engine_is_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "engine.toml"
    outcomes = set()
    for data in inputs([path.read_bytes() for path in sorted(ENGINES.glob("*.toml"))]):
        path.write_bytes(data)
        try:
            engine.__wrapped__(str(path))
            outcomes.add("read")
        except Unavailable:
            outcomes.add("refused")
        except Exception as error:
            error.add_note(f"the file: {data!r}")
            raise
    assert outcomes == {"read", "refused"}
