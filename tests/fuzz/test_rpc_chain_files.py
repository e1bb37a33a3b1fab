# SPDX-License-Identifier: Apache-2.0
"""A chain file, whatever it says, is a chain or has diagnostics that can be shown."""

from __future__ import annotations

from pathlib import Path

from tests.fuzz.reading import inputs
from transect.base.render import render_text
from transect.rpc.chain.file import first_state, read_edges

SEEDS = [
    b"""from transect.examples.rpc.acl import Acl
from transect.examples.rpc.rate_limit import RateLimit
from transect.rpc import Chain

chain = Chain(
    elements=[Acl(allowed={"ann": True, "eve": False}), RateLimit(per_second=5, burst=2)],
    service="shop.Shop",
    protos=["shop.proto"],
    methods=["Buy", "Look"],
    listen="127.0.0.1:8080",
    upstream="unix:/run/shop.sock",
    routes={"blue": "127.0.0.1:81", "green": "[::1]:82"},
    on_compressed="pass",
    max_message=4 << 20,
    tls={"certificate": "a.pem", "key": "b.pem", "clients": "c.pem"},
    upstream_tls={"authority": "d.pem", "name": "shop"},
)
""",
    b"""from transect.examples.rpc.logging import Logging
from transect.examples.rpc.retry_budget import RetryBudget
from transect.rpc import Chain

edges = [
    Chain(elements=[Logging()], service="a.A", upstream="h:1", place={"Logging": ["client"]}, sync="weak"),
    Chain(elements=(RetryBudget(), Logging), service="b.B", upstream="localhost:2", max_message=2 * 3),
]
""",
]


def test_every_file_is_a_chain_or_has_diagnostics(tmp_path: Path) -> None:
    path = tmp_path / "chain.py"
    chains = refused = 0
    for number, data in enumerate([*SEEDS, *inputs(SEEDS)]):
        path.write_bytes(data)
        try:
            found = read_edges(path)
            shown = render_text(found.diagnostics, found.sources)
            for chain in found.chains:
                for use in chain.elements:
                    first_state(use.program, use.values)
        except Exception as error:
            error.add_note(f"the file: {data!r}")
            raise
        assert bool(found.chains) != found.diagnostics.failed, data
        assert bool(shown) or found.chains
        assert number > 1 or not found.diagnostics.failed or "sync" in shown, shown
        chains, refused = chains + bool(found.chains), refused + found.diagnostics.failed
    assert chains and refused
