# SPDX-License-Identifier: Apache-2.0
"""`transect compile CHAIN --to wasm` and `transect rpc run --carrier wasm`, as their users call them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from transect.replay import compare
from transect.replay.reader import read
from transect.rpc import echo
from transect.rpc.chain.replay import RpcDecoder
from transect.rpc.envoy import Endpoint, bootstrap, find, start

pytestmark = pytest.mark.needs("envoy", "clang-19", "wasm-ld-19", "grpcio")

CHAIN = """
from transect.examples.rpc.acl import Acl
from transect.examples.rpc.rate_limit import RateLimit
from transect.rpc import Chain

chain = Chain(service="echo.Echo", upstream="127.0.0.1:{port}", methods=["Say"], elements=[
    Acl(allowed={{"ann": True}}), RateLimit(per_second=1, burst=2),
])
"""
TRANSECT = str(Path(sys.executable).with_name("transect"))


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    server, port = echo.serve()
    path = tmp_path / "chain.py"
    path.write_text(CHAIN.format(port=port))
    yield path, port
    server.stop(None)


def answers(address: str) -> list[str]:
    found = []
    with grpc.insecure_channel(address) as channel:
        for user in ("ann", "eve", "ann", "ann"):
            try:
                found.append(echo.Stub(channel).Say(echo.Ask(user=user, text="hi"), timeout=10).text)
            except grpc.RpcError as error:
                assert isinstance(error, grpc.Call)
                found.append(error.code().name)
    return found


EXPECTED = ["hi", "PERMISSION_DENIED", "hi", "RESOURCE_EXHAUSTED"]


def test_a_compiled_plugin_is_a_filter_of_anybodys_envoy(chain: tuple[Path, int], tmp_path: Path) -> None:
    path, port = chain
    asked = [TRANSECT, "compile", str(path), "--to", "wasm", "-o", str(tmp_path / "out")]
    ended = subprocess.run(asked, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert [Path(line).name for line in ended.stdout.split()] == [
        "chain.wasm",
        "chain.conf",
        "chain.filter.json",
    ]
    assert "one worker; more would divide RateLimit.buckets" in ended.stderr

    class Given:
        def filter(self) -> dict[str, object]:
            found: dict[str, object] = json.loads((tmp_path / "out" / "chain.filter.json").read_text())
            return found

    folder = tmp_path / "envoy"
    folder.mkdir()
    config = bootstrap(
        listen=Endpoint(), upstream=Endpoint(port=port), modules=[Given()], admin=folder / "admin.sock"
    )
    with start(find(), config, folder, workers=1) as envoy:
        assert answers(str(envoy.address)) == EXPECTED


def test_a_chain_runs_as_a_plugin_is_watched_and_leaves_its_log(
    chain: tuple[Path, int], tmp_path: Path
) -> None:
    path, _ = chain
    log = tmp_path / "log"
    environment = os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)}
    asked = [TRANSECT, "rpc", "run", str(path), "--carrier", "wasm", "--record", str(log), "--name", "edge"]
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
        first = running.stdout.readline()
        assert "→ Acl → RateLimit →" in first and "WASM in Envoy" in first and "1 worker" in first, first
        assert answers(first.split()[1]) == EXPECTED
        shown = subprocess.run(
            [TRANSECT, "rpc", "status", "edge", "--json"], capture_output=True, text=True, env=environment
        )
        assert json.loads(shown.stdout)["carrier"].startswith("WASM in Envoy"), shown.stderr
        refused = subprocess.run(
            [TRANSECT, "rpc", "set", "edge", "burst=3"], capture_output=True, text=True, env=environment
        )
        assert refused.returncode != 0 and "it records" in refused.stderr, refused.stderr
    finally:
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    assert running.returncode == 0, out + err
    found = read(log)
    again = compare(found, RpcDecoder(found))
    assert (again.divergence, again.same, again.calls) == (None, True, len(found.records))
    assert len(found.records) == 7


@pytest.mark.parametrize("carrier", ["wasm", "native"])
def test_an_envoy_does_not_serve_on_when_its_command_is_killed(
    chain: tuple[Path, int], tmp_path: Path, carrier: str
) -> None:
    """Nobody would control it."""
    path, _ = chain
    environment = os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)}
    asked = [TRANSECT, "rpc", "run", str(path), "--carrier", carrier]
    with subprocess.Popen(asked, stdout=subprocess.PIPE, text=True, env=environment) as running:
        assert running.stdout is not None
        host, port = running.stdout.readline().split()[1].rsplit(":", 1)
        socket.create_connection((host, int(port)), timeout=5).close()
        running.kill()
    end = time.monotonic() + 10
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
        except ConnectionError:
            return
        assert time.monotonic() < end, "it serves on"
        time.sleep(0.05)
