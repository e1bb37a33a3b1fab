# SPDX-License-Identifier: Apache-2.0
"""What a chain says to Prometheus, and what it says of its elements."""

from __future__ import annotations

import random
import urllib.error
import urllib.request
from typing import Any

import pytest
from inline_snapshot import snapshot

from transect.base.unavailable import Unavailable
from transect.control.answers import Status
from transect.control.prometheus import Exporter
from transect.core.frontend import compile_text
from transect.rpc.chain.metrics import exposition
from transect.rpc.chain.status import told
from transect.rpc.chain.times import BUCKETS, Times, bounds, bucket

TEXT = """
from transect.rpc import Element

class First(Element):
    seen: int = 0

class Second(Element):
    pass
"""
COUNTED: dict[str, Any] = {
    "rpcs": 10,
    "malformed": 1,
    "causes": [6, 4, None, None, None],
    "requests": 9,
    "refused": 1,
    "rejected": [2, 0],
    "responded": [0, 3],
    "withheld": [0, 1],
    "times": [(9_000_000, [80, 8, 92, 1]), (2_000, [32, 8]), (0, [])],
}


def status() -> Status:
    programs = compile_text(TEXT, "two.py").programs
    said = told("Envoy 1.40.0", programs, [None, None], COUNTED)
    for row in said["policies"]:
        row["version"] = "v"
    said["policies"][0]["counts"]["state_bytes"] = 8
    return {
        **said,
        "stratum": "rpc",
        "name": 'a "chain"',
        "since": 0.0,
        "version": 3,
        "recording": None,
    }


def test_calls_of_an_element_are_what_those_before_it_let_through() -> None:
    first, second = status()["policies"]
    assert (first["counts"]["calls"], second["counts"]["calls"]) == (9, 7)
    assert (first["counts"]["state_bytes"], second["counts"]["withheld"]) == (8, 1)


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


def test_latency_is_a_summary_for_prometheus() -> None:
    lines = [line for line in exposition([status()]).splitlines() if "seconds" in line]
    assert [line.partition("{")[0] + line.rpartition("}")[2] for line in lines if line[0] != "#"] == snapshot(
        [
            "transect_rpc_seconds 0.002359296",
            "transect_rpc_seconds 0.018874368",
            "transect_rpc_seconds_sum 0.009",
            "transect_rpc_seconds_count 9",
            "transect_rpc_element_seconds 5.76e-07",
            "transect_rpc_element_seconds 5.76e-07",
            "transect_rpc_element_seconds_sum 2e-06",
            "transect_rpc_element_seconds_count 8",
            "transect_rpc_element_seconds_sum 0",
            "transect_rpc_element_seconds_count 0",
        ]
    )
    assert any('element="First"' in line and 'quantile="0.99"' in line for line in lines)


def test_quantiles_are_within_an_eighth() -> None:
    rng, times = random.Random(1), Times()
    taken = sorted(int(rng.lognormvariate(10, 2)) for _ in range(1000))
    for ns in taken:
        times.add(ns)
    for share in (0.01, 0.5, 0.99, 1.0):
        found, real = times.quantile(share), taken[max(0, round(share * 1000) - 1)] / 1000
        assert found is not None and abs(found - real) <= 0.13 * real, share
    assert Times.of(*times.sparse()) == times


def test_buckets_have_no_gaps_and_no_end() -> None:
    assert [bounds(index)[1] for index in range(BUCKETS - 1)] == [
        bounds(index)[0] for index in range(1, BUCKETS)
    ]
    assert all(
        bucket(ns) == index for index in range(BUCKETS) for ns in (bounds(index)[0], bounds(index)[1] - 1)
    )
    assert (bucket(-5), bucket(1 << 62)) == (0, BUCKETS - 1)


def test_it_is_served() -> None:
    exporter = Exporter("127.0.0.1", 0, lambda: exposition([status()]))
    try:
        with urllib.request.urlopen(f"http://{exporter.address}/metrics", timeout=5) as answer:
            assert answer.read().decode() == exposition([status()])
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://{exporter.address}/", timeout=5)
        port = int(exporter.address.rpartition(":")[2])
        with pytest.raises(Unavailable, match="nobody can listen there"):
            Exporter("127.0.0.1", port, str)
    finally:
        exporter.close()
