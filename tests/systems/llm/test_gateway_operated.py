# SPDX-License-Identifier: Apache-2.0
"""The gateway as its operators have it: draining, restarts, other settings, upgrades, secrets."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.systems.llm.running import Running, flood, gateway, started
from tests.systems.llm.upstream import Engine, engine
from tests.unit.identity.door import Scheduler, until
from transect.base.shipped import path_of
from transect.base.tenant import number_of
from transect.control import Client
from transect.llm import keys
from transect.llm.gateway.listener import listening


def test_sigterm_drains(tmp_path: Path) -> None:
    with engine(slots=1, token_s=0.01, capacity=64) as served, gateway(tmp_path, [served.url]) as running:

        async def across() -> list[int]:
            async with httpx.AsyncClient(timeout=30) as http:

                async def ask() -> int:
                    body = {"prompt": [1] * 40, "max_tokens": 60}
                    answer = await http.post(
                        f"{running.url}/v1/completions", json=body, headers=running.headers("ann")
                    )
                    return answer.status_code

                runs = asyncio.ensure_future(ask())
                await asyncio.sleep(0.2)
                waits = asyncio.ensure_future(ask())
                await asyncio.sleep(0.1)
                running.process.send_signal(signal.SIGTERM)
                return [await runs, await waits]

        assert asyncio.run(across()) == [200, 503]
        assert running.process.wait(10) == 0


def test_a_restart_keeps_the_counters(tmp_path: Path) -> None:
    settings = 'policy = "vtc"\nstate = "kept.json"'
    with engine() as served, gateway(tmp_path, [served.url], settings=settings) as running:
        for who, times in (("ann", 3), ("ben", 1)):
            for _ in range(times):
                assert running.ask(who).status_code == 200
        before = {t["name"]: t["counter"] for t in httpx.get(f"{running.admin}/status").json()["tenants"]}
        assert running.stop() == 0
        assert (tmp_path / "kept.json").stat().st_mode & 0o077 == 0
        with started(tmp_path, running.keys) as again:
            assert any("counters go on" in line for line in again.said)
            again.ask("ann")
            again.ask("ben")
            after = {t["name"]: t["counter"] for t in httpx.get(f"{again.admin}/status").json()["tenants"]}
    cost = 4 + 2 * 8
    # Who comes back from idleness is lifted to where the last one who left stands, as VTC has it: before and after.
    assert before == {"ann": 3 * cost, "ben": 4 * cost}
    assert after == {"ann": 5 * cost, "ben": 6 * cost}


def test_sighup_reads_tenants_keys_and_trusted_proxies_anew(own: tuple[Running, Engine]) -> None:
    running, _ = own
    path = running.folder / "gateway.toml"
    key, hashed = keys.new()
    running.configure("[limits]", '[identity]\ntrusted = ["127.0.0.0/8"]\n[limits]')
    assert running.ask(None, headers={"x-gateway-inference-fairness-id": "cleo"}).status_code == 200
    assert running.metric("output_tokens_total", "cleo") == 8
    assert running.ask(None, headers={"x-gateway-inference-fairness-id": "nobody"}).status_code == 401
    both = [("x-gateway-inference-fairness-id", "cleo"), ("x-gateway-inference-fairness-id", "ann")]
    answer = httpx.post(f"{running.url}/v1/completions", json={"prompt": "x"}, headers=both)
    assert answer.status_code == 401, "two names are none"
    running.configure("[tenants.ann]", f'[tenants.dan]\nkeys = ["{hashed}"]\n[tenants.ann]')
    running.keys["dan"] = key
    assert running.ask("dan").status_code == 200
    path.write_text(path.read_text().replace("[limits]", "[limit]"))
    running.process.send_signal(signal.SIGHUP)
    assert running.settles(lambda: "kept as it was" in (running.folder / "errors").read_text())
    assert running.ask("dan").status_code == 200
    assert "no setting `limit`" in (running.folder / "errors").read_text()


def test_sighup_with_another_policy_while_requests_run(tmp_path: Path) -> None:
    settings = 'policy = "vtc"\nstate = "kept.json"'
    with (
        engine(slots=1, token_s=0.01, capacity=128) as served,
        gateway(tmp_path, [served.url], settings=settings) as running,
    ):
        path = tmp_path / "gateway.toml"

        async def across() -> list[str]:
            work = asyncio.ensure_future(flood(running, [("ann", 8), ("ben", 8)]))
            await asyncio.sleep(0.8)
            path.write_text(path.read_text().replace('"vtc"', '"vtc_weighted"'))
            running.process.send_signal(signal.SIGHUP)
            return await work

        assert len(asyncio.run(across())) == 16, "nobody's request is lost"
        assert httpx.get(f"{running.admin}/status").json()["policy"] == "WeightedVtc"
        path.write_text(path.read_text().replace('"vtc_weighted"', '"vtcc"'))
        running.process.send_signal(signal.SIGHUP)
        assert running.settles(lambda: "did you mean `vtc`?" in (tmp_path / "errors").read_text())
        assert running.ask("ann").status_code == 200
        running.stop()
        path.write_text(path.read_text().replace('"vtcc"', '"fcfs"'))
        with started(tmp_path, running.keys) as again:  # a state that another policy wrote
            assert again.ask("ann").status_code == 200


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["vtc", "--upstream", "nowhere"], 2, "wants http://HOST:PORT, not nowhere"),
        (
            ["vtc", "--upstream", "http://127.0.0.1:1", "--state", "no/such/kept"],
            3,
            "there is no such folder",
        ),
        (["vtc"], 3, "the configuration names none"),
    ],
)
def test_a_command_line_that_cannot_be(words: list[str], code: int, said: str, tmp_path: Path) -> None:
    tried = subprocess.run(
        [sys.executable, "-m", "transect.cli", "llm", "run", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (tried.returncode, said in tried.stderr) == (code, True), tried.stderr


def test_an_upgrade_under_way(own: tuple[Running, Engine], monkeypatch: pytest.MonkeyPatch) -> None:
    running, _ = own
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(running.folder))
    running.ask("ann")
    asked = Client("llm", f"test-{running.url.rpartition(':')[2]}")
    newer = running.folder / "newer.py"
    newer.write_text(path_of("vtc").read_text() + "\n# newer\n")
    log = running.folder / "log"
    with asked.recording(log) as recording:
        answer = asked.upgrade(newer)
        assert running.ask("ann").status_code == 200
        trailer = recording.end()
    assert (answer["before"], answer["version"]) == (1, 2)
    assert (
        [one["name"] for one in answer["replaced"]] == [one["name"] for one in answer["policies"]] == ["Vtc"]
    )
    assert trailer["dropped"] == 0 < trailer["records"]
    replayed = subprocess.run(
        [sys.executable, "-m", "transect.cli", "replay", str(log)], capture_output=True, text=True
    )
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    assert running.metric("output_tokens_total", "ann") == 16


def test_nothing_that_is_secret_is_written(own: tuple[Running, Engine]) -> None:
    running, upstream = own
    upstream.faults.extend(["500", "die"])
    running.ask("ann", prompt="a secret of ann")
    running.ask("ann", prompt="a secret of ann", stream=True)
    running.ask("ann", prompt="a secret of ann")
    running.stop()
    text = "".join(p.read_text(errors="replace") for p in running.folder.iterdir() if p.is_file())
    assert "a secret of ann" not in text
    assert running.keys["ann"] not in text


def test_a_port_that_is_taken_and_a_file_that_is_wrong(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        (tmp_path / "g.toml").write_text(f'listen = "{address}"\n[[upstreams]]\nurl = "http://127.0.0.1:1"\n')
        tried = subprocess.run(
            [sys.executable, "-m", "transect.cli", "llm", "run", "--config", "g.toml"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        )
    assert tried.returncode == 3
    assert address in tried.stderr
    (tmp_path / "g.toml").write_text("listen = 3\n")
    tried = subprocess.run(
        [sys.executable, "-m", "transect.cli", "llm", "run", "--config", "g.toml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert tried.returncode == 1
    assert (tried.stdout, "S031" in tried.stderr) == ("", True)


def test_a_first_token_is_sent_without_delay() -> None:
    """A socket that does not say that it is TCP makes each stream begin 40 ms late."""
    with listening("127.0.0.1:0") as made, socket.create_connection(made.getsockname()) as client:
        made.setblocking(True)

        async def accepted() -> int:
            theirs, _ = made.accept()
            _, writer = await asyncio.open_connection(sock=theirs)
            found = writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            writer.close()
            return int(found)

        assert asyncio.run(accepted()) == 1
        assert client.fileno() > 0


def test_the_machines_scheduler_is_told_whom_a_request_is_worked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSECT_HINTS", str(tmp_path / "hints"))
    scheduler = Scheduler(tmp_path / "hints")
    try:
        with engine() as served, gateway(tmp_path, [served.url]) as running:
            until(lambda: running.ask("ben").status_code == 200 and scheduler.said())
            before = len(scheduler.said())
            assert running.ask("ann").status_code == 200
            said = scheduler.said()[before:]
    finally:
        scheduler.close()
    tenants = [tenant for _, tenant, *_ in said]
    assert tenants == [number_of("ann"), 0] * (len(tenants) // 2) != [], "step by step"
    assert len({thread for thread, *_ in said}) == 1


def test_a_shadow_says_whose_requests_it_would_have_picked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    worst = tmp_path / "worst.py"
    worst.write_text(path_of("vtc").read_text().replace("return min(", "return max("))
    with engine(slots=1, token_s=0.004, capacity=64) as served, gateway(tmp_path, [served.url]) as running:
        asked = Client("llm", f"test-{running.url.rpartition(':')[2]}")
        asked.shadow(worst)
        ended = asyncio.run(flood(running, [("ben", 20), ("ann", 5)]))
        until(lambda: asked.status()["shadow"]["compared"] >= 25)
        told = asked.shadow_stop()
    assert told["skipped"] == {} and told["whom"]["ann"] > 0
    assert {(row["was"], row["now"]) for row in told["first"]} == {("ann", "ben")}
    assert max(at for at, who in enumerate(ended) if who == "ann") < 20, (
        "the version in force serves ann early"
    )
