# SPDX-License-Identifier: Apache-2.0
"""The files of deploy/ that start a whole stack name what exists, and what they start works."""

from __future__ import annotations

import hashlib
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import typer.main
import yaml  # type: ignore[import-untyped]

from tests.parts import ROOT
from tests.systems.llm.running import free_port
from tests.systems.llm.upstream import engine
from transect.cli.run import run
from transect.identity import current
from transect.llm import keys
from transect.rpc import know_callers

DEPLOY = ROOT / "deploy"
UNIT = DEPLOY / "transect-stack.service"
ALICE = "sk-alice"


def options() -> set[str]:
    """Of `transect run`."""
    app = typer.Typer(add_completion=False)
    app.command()(run)
    return {word for parameter in typer.main.get_command(app).params for word in parameter.opts}


@pytest.fixture(scope="module")
def objects() -> dict[str, Any]:
    """What the manifest declares, by kind."""
    return {o["kind"]: o for o in yaml.safe_load_all((DEPLOY / "stack-kubernetes.yaml").read_text())}


def container(objects: dict[str, Any]) -> Any:
    (found,) = objects["Deployment"]["spec"]["template"]["spec"]["containers"]
    return found


# ---------------------------------------------------------------- what they name


def test_both_start_what_exists(objects: dict[str, Any]) -> None:
    (line,) = [one for one in UNIT.read_text().splitlines() if one.startswith("ExecStart=")]
    for command in (shlex.split(line.partition("=")[2]), container(objects)["command"]):
        assert Path(command[0]).name == "transect" and command[1] == "run"
        assert {word for word in command if word.startswith("-")} <= options()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd's own check, where there is one")
def test_systemd_understands_the_unit() -> None:
    done = subprocess.run(["systemd-analyze", "verify", str(UNIT)], capture_output=True, text=True)
    said = [line for line in (done.stdout + done.stderr).splitlines() if "is not executable" not in line]
    assert said == []


def test_the_manifest_is_of_one_piece(objects: dict[str, Any]) -> None:
    assert set(objects) == {"ConfigMap", "Deployment", "Service"}
    pod = objects["Deployment"]["spec"]["template"]
    labels = pod["metadata"]["labels"].items()
    assert labels >= objects["Service"]["spec"]["selector"].items()
    assert labels >= objects["Deployment"]["spec"]["selector"]["matchLabels"].items()
    assert {m["name"] for m in container(objects)["volumeMounts"]} == {
        v["name"] for v in pod["spec"]["volumes"]
    }
    ports = {p["name"]: p["containerPort"] for p in container(objects)["ports"]}
    assert pod["metadata"]["annotations"]["prometheus.io/port"] == str(ports["metrics"])
    assert {p["targetPort"] for p in objects["Service"]["spec"]["ports"]} == {"rpc", "llm"}
    given = objects["ConfigMap"]["data"]
    assert all(
        f":{ports[name]}" in given[f"{file}"] for name, file in (("rpc", "front.py"), ("llm", "gateway.toml"))
    )


# ---------------------------------------------------------------- what they start


@contextmanager
def shop(identity: Path) -> Iterator[int]:
    """The service behind: it says for whom it works."""

    def buy(request: bytes, context: Any) -> bytes:
        name = current().tenant.encode()
        return b"\n" + bytes([len(name)]) + name

    with ThreadPoolExecutor(4) as pool:
        server = know_callers(grpc.server(pool), identity)
        handler: Any = grpc.unary_unary_rpc_method_handler(buy)
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("shop.Shop", {"Buy": handler}),)
        )
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield port
        finally:
            server.stop(0).wait()


@pytest.mark.needs("envoy", "gcc", "grpcio")
def test_its_files_start_a_stack_that_knows_its_tenants(objects: dict[str, Any], tmp_path: Path) -> None:
    ports = {name: free_port() for name in ("8080", "8000", "8001", "9464")}
    key, hashed = keys.new()
    identity = tmp_path / "identity.key"
    identity.touch(0o600)
    identity.write_text("ab" * 32)
    with shop(identity) as service, engine() as served:
        for name, text in objects["ConfigMap"]["data"].items():
            for port, free in ports.items():
                text = text.replace(f"0.0.0.0:{port}", f"127.0.0.1:{free}")
            text = text.replace("shop:50051", f"127.0.0.1:{service}").replace("http://vllm:8000", served.url)
            text = text.replace("sha256:" + 64 * "0", hashed)
            text = text.replace(64 * "0", hashlib.sha256(ALICE.encode()).hexdigest())
            (tmp_path / name).write_text(text)
        command = [word.replace("/etc/transect", str(tmp_path)) for word in container(objects)["command"]]
        command = [word.replace("0.0.0.0:9464", f"127.0.0.1:{ports['9464']}") for word in command]
        with (tmp_path / "said").open("wb") as said:
            words = [sys.executable, "-m", "transect.cli", *command[1:]]
            process = subprocess.Popen(words, stdout=said, stderr=said, start_new_session=True)
        try:
            probe = container(objects)["startupProbe"]["httpGet"]["path"]
            limit = time.monotonic() + 60
            while not answers(f"http://127.0.0.1:{ports['8001']}{probe}"):
                assert process.poll() is None and time.monotonic() < limit, (tmp_path / "said").read_text()
                time.sleep(0.1)
            alive = container(objects)["livenessProbe"]["httpGet"]["path"]
            assert answers(f"http://127.0.0.1:{ports['9464']}{alive}")
            with grpc.insecure_channel(f"127.0.0.1:{ports['8080']}") as channel:
                buy: Any = channel.unary_unary("/shop.Shop/Buy")
                shown = (("x-api-key", ALICE),)
                assert buy(b"\n\x03tea", metadata=shown, timeout=10, wait_for_ready=True) == b"\n\x05alice"
                with pytest.raises(grpc.RpcError) as refused:
                    buy(b"\n\x03tea", metadata=(("x-api-key", "sk-mallory"),), timeout=10)
                assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
            url = f"http://127.0.0.1:{ports['8000']}/v1/completions"
            asked = {"prompt": [1, 2], "max_tokens": 2}
            assert httpx.post(url, json=asked, headers={"authorization": f"Bearer {key}"}).status_code == 200
            assert httpx.post(url, json=asked).status_code == 401
        finally:
            process.terminate()
            assert process.wait(30) in (0, 130), (tmp_path / "said").read_text()


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False
