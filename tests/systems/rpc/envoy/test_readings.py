# SPDX-License-Identifier: Apache-2.0
"""An element's own counters, and its state, in `status` and `/metrics` of every carrier; and who refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest

import transect
from transect.control.operating import Operated
from transect.rpc import echo
from transect.rpc.chain.metrics import exposition
from transect.rpc.grpcio.host import GrpcioHost

TRANSECT = str(Path(sys.executable).with_name("transect"))
POLICY = """
from transect.lang import Counter, Histogram, Tally, counter, histogram, tally
from transect.rpc import Code, Element, Forward, Message, Reject, Rpc, Verdict

class Ask(Message):
    user: str
    text: str

class Counts(Element):
    calls: Counter = counter()
    sizes: Histogram = histogram()
    by_user: Tally[str, int] = tally(2, merge="sum")

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        self.calls.add()
        self.sizes.observe(len(rpc.msg.text))
        self.by_user[rpc.msg.user] += 1
        return Forward()

class Refuses(Element):
    def request(self, rpc: Rpc[Ask]) -> Verdict:
        return Reject(Code.ABORTED, "no") if rpc.msg.text == "no" else Forward()
"""
CHAIN = """
from counts import Counts, Refuses
from transect.rpc import Chain

chain = Chain(service="echo.Echo", upstream="127.0.0.1:{port}", methods=["Say"], elements=[Counts(), Refuses()])
"""
FORGED = 'b"} 1\nx'
CALLS = [("ann", "12"), ("ann", "no"), (FORGED, "1234"), ("third", "")]


def ask(address: str) -> None:
    """Each over a connection of its own: another worker takes it."""
    for user, text in CALLS:
        with grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            say(channel, user, text)


def say(channel: grpc.Channel, user: str, text: str) -> None:
    try:
        echo.Stub(channel).Say(echo.Ask(user=user, text=text), timeout=10)
    except grpc.RpcError as refused:
        assert isinstance(refused, grpc.Call) and refused.code() is grpc.StatusCode.ABORTED and text == "no"


def check(status: Mapping[str, Any], metrics: str, overflows: int) -> None:
    rows = {row["field"]: row for row in status["state"]}
    assert rows["calls"]["value"] == 4
    assert rows["sizes"]["value"] == {"0": 1, "3": 2, "7": 1}
    assert rows["by_user"]["value"] == {"ann": 2, 'b"} 1\\x0ax': 1} | ({} if overflows else {"third": 1})
    assert rows["by_user"]["overflow"] == overflows
    assert [row["counts"]["rejected"] for row in status["policies"]] == [0, 1]
    lines = metrics.splitlines()
    assert all(line.startswith(("#", "transect_rpc_")) for line in lines)
    samples = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert len(samples) == sum(not line.startswith("#") for line in lines), "a series is there twice"

    def value(name: str, *labels: str) -> list[str]:
        return [
            v for k, v in samples.items() if k.startswith(name + "{") and all(label in k for label in labels)
        ]

    assert value("transect_rpc_element_counter_total", 'field="calls"', 'element="Counts"') == ["4"]
    assert value("transect_rpc_element_histogram_bucket", 'field="sizes"', 'le="3"') == ["3"]
    assert value("transect_rpc_element_tally", 'key="ann"') == ["2"]
    assert value("transect_rpc_element_tally", r'key="b\"} 1\\x0ax"') == ["1"]
    assert value("transect_rpc_element_overflow_total", 'field="by_user"') == [str(overflows)]
    assert value("transect_rpc_element_rejected_total", 'element="Refuses"') == ["1"]


@pytest.mark.needs("grpcio", "gcc")
@pytest.mark.parametrize("native", [True, False])
def test_a_chain_in_grpcio(native: bool, tmp_path: Path) -> None:
    policies = transect.load(POLICY)
    server, port = echo.serve()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as plain:
        elements = [policies.Counts(), policies.Refuses()]
        channel: Any = transect.rpc.attach(
            plain, elements, service=echo.DESCRIPTOR, native=native, cache=tmp_path
        )
        for user, text in CALLS:
            say(channel, user, text)
        status = Operated("rpc", "chain", GrpcioHost(channel.chain)).status()
        check(status, exposition([status]), overflows=1)
    server.stop(None)


@pytest.mark.needs("envoy", "gcc", "grpcio")
@pytest.mark.parametrize(
    ("carrier", "workers"),
    [
        ("native", 2),
        pytest.param("wasm", 1, marks=pytest.mark.needs("clang-19", "wasm-ld-19")),
        pytest.param("wasm", 2, marks=pytest.mark.needs("clang-19", "wasm-ld-19")),
    ],
)
def test_a_chain_in_envoy(carrier: str, workers: int, tmp_path: Path) -> None:
    together = carrier == "native" or workers == 1
    most = 2 if together else 8  # which key finds no room would be chance
    (tmp_path / "counts.py").write_text(POLICY.replace("tally(2", f"tally({most}"))
    server, port = echo.serve()
    path = tmp_path / "chain.py"
    path.write_text(CHAIN.format(port=port))
    environment = os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)}
    asked = [
        TRANSECT,
        "rpc",
        "run",
        str(path),
        "--carrier",
        carrier,
        "--workers",
        str(workers),
        "--name",
        "edge",
    ]
    running = subprocess.Popen(
        [*asked, "--metrics", "127.0.0.1:0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True,
    )  # fmt: skip
    try:
        assert running.stdout is not None
        said = [running.stdout.readline() for _ in range(3)]
        ask(said[0].split()[1])
        time.sleep(1.2)  # a plugin's counters are a second old
        shown = subprocess.run(
            [TRANSECT, "rpc", "status", "edge", "--json"],
            capture_output=True,
            text=True,
            env=environment,
            timeout=60,
        )
        assert shown.returncode == 0, shown.stderr
        with urllib.request.urlopen(said[2].split()[1], timeout=60) as answer:
            metrics = answer.read().decode()
    finally:
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    server.stop(None)
    assert running.returncode == 0, out + err
    check(json.loads(shown.stdout), metrics, overflows=1 if together else 0)
