# SPDX-License-Identifier: Apache-2.0
"""Starting and stopping Envoy; what it says when something is wrong, and what stays behind."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from tests.parts import ROOT
from tests.systems.rpc.envoy.kit import ECHO, Echo, channel, compiled, proxy
from transect.base.unavailable import Unavailable
from transect.emit.artifact import Artifact
from transect.rpc.envoy import Endpoint, Module, Settings, bootstrap, build, check, find, start
from transect.rpc.envoy.binary import problems, wheel_binary
from transect.rpc.envoy.config import to_json
from transect.rpc.envoy.process import SEARCH_PATH, EnvoyFailed

pytestmark = pytest.mark.needs("envoy", "gcc", "grpcio")


def test_it_serves_when_start_returns_and_leaves_nothing_running(
    probe: Path, echo: tuple[int, Echo], tmp_path: Path
) -> None:
    with proxy(probe, tmp_path, echo[0]) as p:
        with channel(p.port) as c:
            assert c.unary_unary(ECHO)(b"x", timeout=1) == b"x"
        assert os.getsid(p.envoy.pid) == p.envoy.pid, "a session of its own: a Ctrl-C is for us"
        pid = p.envoy.pid
    assert p.envoy.process.returncode == 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not (tmp_path / "module.sock").exists()


def test_it_stops_after_the_last_reply(probe: Path, echo: tuple[int, Echo], tmp_path: Path) -> None:
    with proxy(probe, tmp_path, echo[0]) as p, channel(p.port) as c:
        slow = c.unary_unary(ECHO).future(b"q0 after 300", timeout=10)
        while not p.diary():
            time.sleep(0.01)
        began = time.monotonic()
        assert p.envoy.stop(drain_s=5) == 0
        assert slow.result() == b"q0 after 300"
        assert time.monotonic() - began < 4


def test_an_rpc_that_does_not_end_does_not_hold_it_for_long(
    probe: Path, echo: tuple[int, Echo], tmp_path: Path
) -> None:
    with proxy(probe, tmp_path, echo[0]) as p, channel(p.port) as c:
        endless = c.unary_unary(ECHO).future(b"q0 after 60000", timeout=60)
        while not p.diary():
            time.sleep(0.01)
        began = time.monotonic()
        assert p.envoy.stop(drain_s=0.3) == 0
        assert 0.3 <= time.monotonic() - began < 3
        assert endless.code() is grpc.StatusCode.UNAVAILABLE


def test_two_at_once_do_not_meet(probe: Path, echo: tuple[int, Echo], tmp_path: Path) -> None:
    with proxy(probe, tmp_path / "a", echo[0]) as a, proxy(probe, tmp_path / "b", echo[0]) as b:
        for p in (a, b):
            with channel(p.port) as c:
                assert c.unary_unary(ECHO)(b"x") == b"x"


def failing(tmp_path: Path, library: Path, **more: object) -> EnvoyFailed:
    settings: dict[str, object] = {"listen": Endpoint(), "settings": Settings()} | more
    listen, told = settings["listen"], settings["settings"]
    assert isinstance(listen, Endpoint) and isinstance(told, Settings)
    config = bootstrap(
        listen=listen,
        upstream=Endpoint(port=1),
        modules=[Module(library, told)],
        admin=tmp_path / "admin.sock",
    )
    with pytest.raises(EnvoyFailed) as caught:
        start(find(), config, tmp_path, modules=library.parent, workers=1)
    assert caught.value.log.is_file()
    return caught.value


def test_a_busy_port(probe: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        assert "Address already in use" in failing(tmp_path, probe, listen=Endpoint(port=port)).why


def test_settings_that_the_module_does_not_understand(probe: Path, tmp_path: Path) -> None:
    error = failing(tmp_path, probe, settings=Settings(control=str(tmp_path / "no" / "such" / "folder")))
    assert "cannot listen on" in error.log.read_text()
    error = failing(tmp_path, probe, settings=Settings(record=str(tmp_path / "no" / "log")))
    assert "cannot write the log" in error.log.read_text()


def test_a_module_of_another_chain_interface_is_not_loaded(modules: Path, tmp_path: Path) -> None:
    source = (
        (Path(__file__).parent / "probe_chain.c").read_text().replace("= TS_CHAIN_ABI", "= TS_CHAIN_ABI + 1")
    )
    library = build(Artifact({"chain.c": source.encode()}), modules)
    assert "dynamic module" in failing(tmp_path, library).why.lower()


ORPHAN = """
import os, sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tests.systems.rpc.envoy.kit import proxy
with proxy(Path(sys.argv[1]), Path(sys.argv[2]), 1, parent=os.getpid()) as p:
    print(p.envoy.pid, flush=True)
    time.sleep(60)
"""


def test_it_does_not_outlive_whoever_started_it(probe: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", ORPHAN, str(probe), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        starter.kill()
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]:
            return
        time.sleep(0.05)
    os.kill(pid, 9)
    pytest.fail("Envoy runs on after its parent was killed")


def test_a_configuration_is_validated_without_opening_anything(probe: Path, tmp_path: Path) -> None:
    told = Settings(control=str(tmp_path / "door"), record=str(tmp_path / "log"))
    config = bootstrap(listen=Endpoint(), upstream=Endpoint(port=1), modules=[Module(probe, told)])
    path = tmp_path / "envoy.json"
    path.write_bytes(to_json(config))
    command = [str(find().path), "--mode", "validate", "--config-path", str(path)]
    ran = subprocess.run(command, env={SEARCH_PATH: str(probe.parent)}, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["envoy.json"]


# --- the module against the binary ----------------------------------------------------------------------------------


def test_the_module_fits_the_tested_envoy(probe: Path) -> None:
    binary = find(wheel_binary())
    assert problems(probe, binary) == []
    assert (binary.version, binary.abi, len(binary.hooks), len(binary.mandatory)) == (
        "1.40.0",
        "v0.2.0",
        30,
        20,
    )


def test_a_module_with_a_hook_missing_is_refused_before_anything_starts(tmp_path: Path) -> None:
    library = compiled("probe_chain.c", tmp_path, "-Denvoy_dynamic_module_on_http_filter_scheduled=renamed")
    with pytest.raises(Unavailable) as caught:
        check(library, find())
    assert "it asks for a hook envoy_dynamic_module_on_http_filter_scheduled" in str(caught.value)


def test_a_binary_that_lacks_a_callback_is_refused(tmp_path: Path) -> None:
    flag = "-Denvoy_dynamic_module_callback_http_drain_body=envoy_dynamic_module_callback_of_tomorrow"
    library = compiled("probe_chain.c", tmp_path, flag)
    assert problems(library, find()) == ["it has no callback envoy_dynamic_module_callback_of_tomorrow"]


def test_a_compiled_chain_is_not_compiled_again(probe: Path, modules: Path) -> None:
    before = probe.stat().st_mtime_ns
    assert compiled("probe_chain.c", modules) == probe
    assert probe.stat().st_mtime_ns == before
    assert compiled("probe_chain.c", modules, "-DANOTHER") != probe


def test_without_a_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(Unavailable, match="apt-get install gcc"):
        compiled("probe_chain.c", tmp_path)


@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:0"])
def test_localhost_is_met_on_whichever_of_its_addresses_it_listens(
    probe: Path, tmp_path: Path, address: str
) -> None:
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((Echo(),))
    port = server.add_insecure_port(address)
    server.start()
    try:
        with proxy(probe, tmp_path, Endpoint("localhost", port)) as p, channel(p.port) as c:
            assert [c.unary_unary(ECHO)(b"x", timeout=5) for _ in range(8)] == [b"x"] * 8
    finally:
        server.stop(0).wait()
