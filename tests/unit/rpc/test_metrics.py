# SPDX-License-Identifier: Apache-2.0
"""What a chain says to Prometheus, and what it says of its elements."""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import Any

import pytest
from inline_snapshot import snapshot

from transect.base.unavailable import Unavailable
from transect.core.frontend import compile_text
from transect.rpc.metrics import Exporter, exposition, rows

TEXT = """
from transect.rpc import Element

class First(Element):
    seen: int = 0

class Second(Element):
    pass
"""
COUNTED: dict[str, Any] = {
    "requests": 10,
    "refused": 1,
    "rejected": [2, 0],
    "responded": [0, 3],
    "withheld": [0, 1],
}


def status() -> dict[str, Any]:
    programs = compile_text(TEXT, "two.py").programs
    return {
        "name": 'a "chain"',
        "carrier": "Envoy 1.40.0",
        "version": 3,
        "policies": [row | {"version": "v"} for row in rows(programs, COUNTED, [8, 0])],
        "counters": {"rpcs": 10, "requests": 10, "malformed": 1},
        "causes": {"reply": 6, "reject": 4},
    }


def test_calls_of_an_element_are_what_those_before_it_let_through() -> None:
    first, second = status()["policies"]
    assert (first["calls"], second["calls"]) == (9, 7)
    assert (first["state_bytes"], second["withheld"]) == (8, 1)


def test_the_text_that_prometheus_reads() -> None:
    lines = exposition([status()]).splitlines()
    assert lines[:3] == snapshot(
        [
            "# HELP transect_rpc_rpcs_total The chain's `rpcs`.",
            "# TYPE transect_rpc_rpcs_total counter",
            'transect_rpc_rpcs_total{chain="a \\"chain\\"",carrier="Envoy 1.40.0"} 10',
        ]
    )
    assert [line for line in lines if "element_rejected_total{" in line] == snapshot(
        [
            'transect_rpc_element_rejected_total{chain="a \\"chain\\"",carrier="Envoy 1.40.0",element="First",place="0",version="v"} 2',  # noqa: E501
            'transect_rpc_element_rejected_total{chain="a \\"chain\\"",carrier="Envoy 1.40.0",element="Second",place="1",version="v"} 0',  # noqa: E501
        ]
    )
    assert 'transect_rpc_ended_total{chain="a \\"chain\\"",carrier="Envoy 1.40.0",cause="reject"} 4' in lines


def test_it_is_served() -> None:
    exporter = Exporter("127.0.0.1", 0, lambda: [status()])
    try:
        with urllib.request.urlopen(f"http://{exporter.address}/metrics", timeout=5) as answer:
            assert answer.read().decode() == exposition([status()])
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://{exporter.address}/", timeout=5)
        port = int(exporter.address.rpartition(":")[2])
        with pytest.raises(Unavailable, match="nobody can listen there"):
            Exporter("127.0.0.1", port, list)
    finally:
        exporter.close()
