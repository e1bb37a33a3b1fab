# SPDX-License-Identifier: Apache-2.0
"""An application of two services: one file has both edges, and one command brings them up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.systems.rpc.envoy.test_tls import PROTO
from transect.control.client import Client
from transect.rpc import echo
from transect.rpc.chain.file import read_chain, read_edges

pytestmark = pytest.mark.needs("envoy", "gcc", "grpcio")

EDGES = """
from transect.examples.rpc.acl import Acl
from transect.examples.rpc.metrics import Metrics
from transect.rpc import Chain

edges = [
    Chain(service="echo.Echo", upstream="127.0.0.1:{first}", protos=["echo.proto"], elements=[Metrics(), Acl()]),
    Chain(service="other.Echo", upstream="127.0.0.1:{second}", protos=["other.proto"], elements=[Metrics()]),
]
"""


@dataclass(frozen=True)
class App:
    process: subprocess.Popen[str]
    name: str
    addresses: dict[str, str]  # by service
    metrics: str


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    first, port = echo.serve()
    pool = ThreadPoolExecutor(4)
    second = grpc.server(pool)
    handler: Any = grpc.unary_unary_rpc_method_handler(
        lambda ask, _: echo.Answer(text=f"other {ask.text}"),
        echo.Ask.FromString,
        echo.Answer.SerializeToString,
    )
    second.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("other.Echo", {"Say": handler}),))
    other = second.add_insecure_port("127.0.0.1:0")
    second.start()
    (tmp_path / "echo.proto").write_text(PROTO)
    (tmp_path / "other.proto").write_text(PROTO.replace("package echo", "package other"))
    (tmp_path / "app.py").write_text(EDGES.format(first=port, second=other))
    name = f"app{os.getpid()}"
    command = [sys.executable, "-m", "transect.cli", "rpc", "run", "app.py", "--name", name, "--workers", "1"]
    process = subprocess.Popen(
        [*command, "--metrics", "127.0.0.1:0"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    try:
        yield started(process, name)
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stdout is not None
        process.stdout.close()
        first.stop(0)
        second.stop(0).wait()
        pool.shutdown()


def started(process: subprocess.Popen[str], name: str) -> App:
    addresses: dict[str, str] = {}
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("metrics: "):
            return App(process, name, addresses, line.split()[1])
        if " → " in line:
            service, _, rest = line.partition(": ")
            addresses[service] = rest.split(" ")[0]
    raise AssertionError("it has ended")


def say(address: str, service: str, user: str) -> str:
    with grpc.insecure_channel(address) as channel:
        method: Any = channel.unary_unary(
            f"/{service}/Say", echo.Ask.SerializeToString, echo.Answer.FromString
        )
        try:
            return str(method(echo.Ask(user=user, text="hi"), timeout=10).text)
        except grpc.RpcError as error:
            assert isinstance(error, grpc.Call)
            return error.code().name


def test_each_edge_has_its_chain_its_status_and_its_metrics(app: App, tmp_path: Path) -> None:
    assert set(app.addresses) == {"echo.Echo", "other.Echo"}
    assert say(app.addresses["echo.Echo"], "echo.Echo", "mallory") == "PERMISSION_DENIED"
    assert say(app.addresses["other.Echo"], "other.Echo", "mallory") == "other hi"
    first = Client("rpc", f"{app.name}.echo.Echo").status()
    second = Client("rpc", f"{app.name}.other.Echo").status()
    assert [p["name"] for p in first["policies"]] == ["Metrics", "Acl"]
    assert [(p["counts"]["calls"], p["counts"]["rejected"]) for p in first["policies"]] == [(1, 0), (1, 1)]
    assert [(p["name"], p["counts"]["calls"]) for p in second["policies"]] == [("Metrics", 1)]
    with urllib.request.urlopen(app.metrics, timeout=5) as answer:
        text = answer.read().decode()
    acl = [line for line in text.splitlines() if "element_rejected_total{" in line and '"Acl"' in line]
    assert len(acl) == 1 and acl[0].endswith(" 1")
    path = tmp_path / "app.py"
    path.write_text(path.read_text().replace("Metrics(), Acl()", "Acl()"))
    told = Client("rpc", f"{app.name}.echo.Echo").upgrade(path, automatic_return=False)
    assert told["version"] == 2
    assert [p["name"] for p in Client("rpc", f"{app.name}.echo.Echo").status()["policies"]] == ["Acl"]


def test_what_edges_may_not_share(tmp_path: Path) -> None:
    path = tmp_path / "app.py"
    same = EDGES.format(first=1, second=2).replace("other.Echo", "echo.Echo")
    path.write_text(same)
    assert [d.message for d in read_edges(path).diagnostics] == ["there are two edges of echo.Echo"]
    listen = EDGES.format(first=1, second=2).replace("upstream", 'listen="127.0.0.1:8080", upstream')
    path.write_text(listen)
    assert [d.message for d in read_edges(path).diagnostics] == [
        "the edges of echo.Echo and other.Echo listen at 127.0.0.1:8080"
    ]
    path.write_text("from transect.rpc import Chain\nedges = Chain()\n")
    assert [d.message for d in read_edges(path).diagnostics] == ["`edges` is a list of chains"]


def test_one_of_several_is_chosen_by_its_service(tmp_path: Path) -> None:
    path = tmp_path / "app.py"
    path.write_text(EDGES.format(first=1, second=2))
    chosen = read_chain(path, "other.Echo").chain
    assert chosen is not None and len(chosen.elements) == 1
    assert [d.message for d in read_chain(path).diagnostics] == ["the file has several edges"]
    assert [d.help for d in read_chain(path, "x.Y").diagnostics] == ["it has echo.Echo, other.Echo"]
