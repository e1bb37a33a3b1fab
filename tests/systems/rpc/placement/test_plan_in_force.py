# SPDX-License-Identifier: Apache-2.0
"""A plan in force: proxies by `transect rpc run --plan`, the rest in the programs' libraries; real calls."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

import transect.rpc
from transect.control.client import Client
from transect.core.text import dump
from transect.rpc import echo
from transect.rpc.chain.file import read_chain
from transect.rpc.equivalence.levels import Level
from transect.rpc.placement import observed, profile, saved
from transect.rpc.placement.planning import plan
from transect.rpc.placement.profile import VERSION, Cost, ElementCost, Profile, content

pytestmark = pytest.mark.needs("envoy", "gcc", "clang-19", "wasm-ld-19", "grpcio", "python-headers", "z3")

CHAIN = """
from transect.examples.rpc.acl import Acl
from transect.examples.rpc.metrics import Metrics
from transect.examples.rpc.mutation import Mutation
from transect.examples.rpc.rate_limit import RateLimit
from transect.rpc import Chain

chain = Chain(
    service="echo.Echo",
    upstream="127.0.0.1:{port}",
    elements=[
        Mutation(changes={{("text", "secret"): "***"}}),
        Acl(allowed={{"alice": True, "carol": True}}),
        RateLimit(per_second=1, burst=3),
        Metrics(),
    ],
    place={{"Mutation": "client", "Metrics": {metrics}}},
    {words}
)
"""


def costs(path: Path) -> Profile:
    chain = read_chain(path).chain
    assert chain is not None
    return Profile(
        VERSION,
        {},
        "made up for this test",
        direct=Cost(120, 100),
        library={"client": Cost(2, 2), "server": Cost(20, 20)},
        proxy={"bare": Cost(140, 130), "native": Cost(150, 140), "wasm": Cost(170, 160)},
        second=Cost(60, 20),
        plugin=Cost(8, 8),
        wasm=3.0,
        elements={content(dump(u.program)): ElementCost(u.program.name, 0.5) for u in chain.elements},
    )


def planned(folder: Path, port: int, metrics: str, words: str) -> tuple[Path, list[str]]:
    """A plan file, and the processors that it has."""
    path = folder / "app.py"
    path.write_text(CHAIN.format(port=port, metrics=metrics, words=words))
    profile.save(costs(path), folder / "profile.json")
    command = [sys.executable, "-m", "transect.cli", "rpc", "plan", "app.py", "-o", "app.plan.json", "--json"]
    asked = subprocess.run(
        [*command, "--profile", "profile.json"], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert asked.returncode == 0, asked.stdout + asked.stderr
    (told,) = json.loads(asked.stdout)
    return folder / "app.plan.json", [group["processor"] for group in told["after"]["processors"]]


@contextmanager
def running(folder: Path, name: str, proxies: int = 1) -> Iterator[str]:
    """Where callers go: to the proxy that was started last."""
    command = [sys.executable, "-m", "transect.cli", "rpc", "run", "app.py", "--plan", "app.plan.json"]
    process = subprocess.Popen(
        [*command, "--name", name, "--workers", "1"], cwd=folder, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        started = (line for line in process.stdout if "→" in line and "Envoy" in line)
        yield [next(started) for _ in range(proxies)][-1].partition(": ")[2].split(" ")[0]
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        process.stdout.close()


def said(stub: Any, user: str, text: str) -> str:
    try:
        answer: str = stub.Say(echo.Ask(user=user, text=text), timeout=10).text
    except grpc.RpcError as error:
        return str(error.code().name)
    return answer


@pytest.fixture
def service() -> Iterator[int]:
    server, port = echo.serve()
    yield port
    server.stop(0)


def calls(channel: Any) -> list[str]:
    stub = echo.Stub(channel)
    asked = [("alice", "secret"), ("bob", "x"), ("alice", "y"), ("alice", "z"), ("alice", "again")]
    return [said(stub, user, text) for user, text in asked]


EXPECTED = ["***", "PERMISSION_DENIED", "y", "z", "RESOURCE_EXHAUSTED"]


def test_a_library_and_a_proxy_share_a_chain(tmp_path: Path, service: int) -> None:
    file, processors = planned(tmp_path, service, '"server"', 'libraries=["client"],')
    assert processors == ["client library", "server proxy"]
    name = f"plan{os.getpid()}"
    with running(tmp_path, name) as address, grpc.insecure_channel(address) as channel:
        attached: Any = transect.rpc.attach_plan(channel, file)
        assert attached.chain.elements == ("Mutation",)
        assert calls(attached) == EXPECTED
        status = Client("rpc", name).ask("status")
        (tmp_path / "status.json").write_text(json.dumps(status))
        shares = observed.shares(tmp_path / "status.json")
        assert shares == {"Acl": 4 / 5, "RateLimit": 3 / 4, "Metrics": 1.0}


def test_two_proxies_share_a_chain_as_plugins(tmp_path: Path, service: int) -> None:
    file, processors = planned(tmp_path, service, '"server"', 'proxies=["wasm"],')
    assert processors == ["client proxy", "server proxy"]
    assert {group.carrier for group in saved.load(file).edges[0].processors} == {"wasm"}
    name = f"two{os.getpid()}"
    with running(tmp_path, name, proxies=2) as address, grpc.insecure_channel(address) as channel:
        assert calls(channel) == EXPECTED
        sides = [Client("rpc", f"{name}.{side}").ask("status")["policies"] for side in ("client", "server")]
        assert [[p["name"] for p in policies] for policies in sides] == [
            ["Mutation"],
            ["Acl", "RateLimit", "Metrics"],
        ]


def test_without_a_proxy_there_is_nothing_to_run(tmp_path: Path, service: int) -> None:
    file, processors = planned(tmp_path, service, '"server"', 'libraries=["client", "server"],')
    assert processors == ["client library", "server library"]
    command = [sys.executable, "-m", "transect.cli", "rpc", "run", "app.py", "--plan", "app.plan.json"]
    asked = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert asked.returncode == 0, asked.stderr
    assert f"no proxy is in the path; clients call 127.0.0.1:{service}" in asked.stdout
    server, port = echo.serve(around=lambda it: transect.rpc.attach_plan(it, file, service=echo.DESCRIPTOR))
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            assert calls(transect.rpc.attach_plan(channel, file)) == EXPECTED
    finally:
        server.stop(0)


def test_a_plan_of_a_chain_that_has_changed_is_not_followed(tmp_path: Path, service: int) -> None:
    planned(tmp_path, service, '"server"', "")
    path = tmp_path / "app.py"
    path.write_text(path.read_text().replace("burst=3", "burst=4"))
    command = [sys.executable, "-m", "transect.cli", "rpc", "run", "app.py", "--plan", "app.plan.json"]
    asked = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert asked.returncode == 2
    assert "has changed since it was planned" in asked.stderr
    assert "hint: make it anew: transect rpc plan" in asked.stderr


def test_a_plan_that_leaves_an_element_out_starts_nothing(tmp_path: Path, service: int) -> None:
    file, _ = planned(tmp_path, service, '"server"', "")
    file.write_text(file.read_text().replace('"Acl",\n', "", 1))
    command = [sys.executable, "-m", "transect.cli", "rpc", "run", "app.py", "--plan", "app.plan.json"]
    asked = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (asked.returncode, asked.stdout) == (2, "")
    assert "Acl stands nowhere in it" in asked.stderr


def test_real_costs_are_within_reason(tmp_path: Path, service: int) -> None:
    """The elements' own code, measured as `calibrate` does."""
    from transect.rpc.placement import calibrate

    path = tmp_path / "app.py"
    path.write_text(CHAIN.format(port=service, metrics='"server"', words=""))
    chain = read_chain(path).chain
    assert chain is not None
    found = {cost.name: cost.native for cost in calibrate.of_chain(chain).values()}
    assert set(found) == {"Mutation", "Acl", "RateLimit", "Metrics"}
    assert all(0 <= native < 20 for native in found.values())
    assert found["Mutation"] > 0
    whole = calibrate.extended(costs(path), [chain])
    assert plan(chain, whole, Level.IDENTICAL).cost_before.latency > 0
