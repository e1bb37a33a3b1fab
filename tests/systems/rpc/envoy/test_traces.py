# SPDX-License-Identifier: Apache-2.0
"""`trace(…)` in every carrier: the same lines, whatever a client's text holds."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import grpc
import pytest

import transect
from transect.rpc import echo

TRANSECT = str(Path(sys.executable).with_name("transect"))
POLICY = """
from transect.lang import trace
from transect.rpc import Element, Forward, Message, Rpc, Verdict

class Ask(Message):
    text: str

class Says(Element):
    calls: int = 0

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        self.calls += 1
        trace(f"{self.calls} {rpc.msg.text}")
        return Forward()

class Chatters(Element):
    def request(self, rpc: Rpc[Ask]) -> Verdict:
        for i in range(70):
            if rpc.msg.text == "chatter":
                trace(f"chatter {i}")
        return Forward()
"""
CHAIN = """
from says import Chatters, Says
from transect.rpc import Chain

chain = Chain(service="echo.Echo", upstream="127.0.0.1:{port}", methods=["Say"], elements=[Says(), Chatters()])
"""
ASKED = ["plain", "x\n2026 forged: line", "\x1b[2J" + "ö" * 600, "chatter"]
LONG = "\\x1b[2J" + "ö" * 509 + "…"
EXPECTED = [
    *("Says: 1 plain", "Says: 2 x\\x0a2026 forged: line", f"Says: 3 {LONG}", "Says: 4 chatter"),
    *(f"Chatters: chatter {i}" for i in range(64)),
]


def ask(channel: grpc.Channel, texts: list[str]) -> None:
    for text in texts:
        assert echo.Stub(channel).Say(echo.Ask(user="ann", text=text), timeout=10).text == text


@pytest.mark.needs("grpcio", "gcc")
@pytest.mark.parametrize("native", [True, False])
def test_a_chain_in_grpcio_writes_to_pythons_log(
    native: bool, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    (tmp_path / "says.py").write_text(POLICY)
    policies = transect.load(POLICY)
    server, port = echo.serve()
    with caplog.at_level(logging.INFO, "transect"), grpc.insecure_channel(f"127.0.0.1:{port}") as plain:
        channel: Any = transect.rpc.attach(
            plain,
            [policies.Says(), policies.Chatters()],
            service=echo.DESCRIPTOR,
            native=native,
            cache=tmp_path,
        )
        ask(channel, ASKED)
        said = [f"{r.name.removeprefix('transect.')}: {r.getMessage()}" for r in caplog.records]
        assert said == EXPECTED
        traced = channel.chain.now.traced
        assert (traced.written, traced.left_out) == (len(EXPECTED), 6)
    server.stop(None)


@pytest.mark.needs("envoy", "gcc", "grpcio")
@pytest.mark.parametrize(
    "carrier", ["native", pytest.param("wasm", marks=pytest.mark.needs("clang-19", "wasm-ld-19"))]
)
def test_a_chain_in_envoy_writes_to_stderr_of_who_runs_it(carrier: str, tmp_path: Path) -> None:
    (tmp_path / "says.py").write_text(POLICY)
    server, port = echo.serve()
    path = tmp_path / "chain.py"
    path.write_text(CHAIN.format(port=port))
    environment = os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)}
    asked = [TRANSECT, "rpc", "run", str(path), "--carrier", carrier, "--name", "edge", "--workers", "1"]
    running = subprocess.Popen(
        asked,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    try:
        assert running.stdout is not None
        address = running.stdout.readline().split()[1]
        with grpc.insecure_channel(address) as channel:
            ask(channel, ASKED)
            time.sleep(1.1)  # the next second
            ask(channel, ["again"])
    finally:
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    server.stop(None)
    said = [line.split(" ", 3) for line in err.splitlines()]
    assert {chain for _, _, chain, _ in said} == {"edge"}, out + err
    assert [text for *_, text in said] == [
        *EXPECTED,
        "Says: 6 lines of `trace` were left out: there were too many in a second",
        "Says: 5 again",
    ]
