# SPDX-License-Identifier: Apache-2.0
"""The gateway as a process, before upstreams that do as the tests say: fairness, exact accounts, what goes wrong."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.systems.llm.upstream import Engine, engine
from transect.control import Client
from transect.examples import path_of
from transect.llm import keys
from transect.llm.gateway.serve import _listening

TENANTS = ("ann", "ben", "cleo")


@dataclass
class Running:
    """A gateway under test."""

    process: subprocess.Popen[str]
    url: str
    admin: str
    keys: dict[str, str]
    folder: Path
    said: list[str] = field(default_factory=list)

    def headers(self, who: str | None) -> dict[str, str]:
        return {} if who is None else {"authorization": f"Bearer {self.keys[who]}"}

    def ask(
        self,
        who: str | None = "ann",
        *,
        headers: dict[str, str] | None = None,
        path: str = "/v1/completions",
        **asked: Any,
    ) -> httpx.Response:
        body = {"max_tokens": 8, **({} if "messages" in asked else {"prompt": [1, 2, 3, 4]}), **asked}
        return httpx.post(
            self.url + path, json=body, headers={**self.headers(who), **(headers or {})}, timeout=30
        )

    def metrics(self) -> dict[str, float]:
        """By name and label: `transect_llm_waiting_requests{ann}`."""
        text = httpx.get(f"{self.admin}/metrics", timeout=10).text
        lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {re.sub(r'\{\w+="(.*)"\}', r"{\1}", name): float(value) for name, _, value in lines}

    def metric(self, name: str, tenant: str) -> float:
        return self.metrics().get(f"transect_llm_{name}{{{tenant}}}", 0.0)

    def total(self, name: str) -> float:
        return sum(v for k, v in self.metrics().items() if k.startswith(f"transect_llm_{name}{{"))

    def settles(self, condition: Any, limit_s: float = 10.0) -> bool:
        until = time.monotonic() + limit_s
        while not condition():
            if time.monotonic() > until:
                return False
            time.sleep(0.02)
        return True

    def idle(self) -> bool:
        return self.total("running_requests") == self.total("waiting_requests") == 0

    def stop(self, how: int = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        return self.process.wait(20)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def configuration(
    made: dict[str, str], upstreams: list[str], settings: str = "", limits: str = "", tenants: str = ""
) -> str:
    rows = "".join(f'[tenants.{name}]\nkeys = ["{hashed}"]\n' for name, hashed in made.items())
    ups = "".join(f'[[upstreams]]\nurl = "{url}"\n' for url in upstreams)
    return f"{settings}\n{ups}\n[limits]\n{limits}\n{rows}\n{tenants}\n"


@contextmanager
def gateway(folder: Path, upstreams: list[str], **how: str) -> Iterator[Running]:
    made = {name: keys.new() for name in TENANTS}
    listen = free_port()
    # As root all instances of a machine are in one folder: the port makes the name the test's own.
    settings = f'listen = "127.0.0.1:{listen}"\nadmin = "127.0.0.1:{free_port()}"\nname = "test-{listen}"\n'
    settings += how.pop("settings", 'policy = "vtc"')
    text = configuration({n: h for n, (_, h) in made.items()}, upstreams, settings, **how)
    (folder / "gateway.toml").write_text(text)
    with started(folder, {name: key for name, (key, _) in made.items()}) as running:
        yield running


@contextmanager
def started(folder: Path, known: dict[str, str]) -> Iterator[Running]:
    """The gateway of the folder's configuration."""
    with (folder / "errors").open("a") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "transect.cli", "llm", "run", "--config", "gateway.toml"],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "XDG_RUNTIME_DIR": str(folder)},
            start_new_session=True,
        )
    assert process.stdout is not None
    text = (folder / "gateway.toml").read_text()
    listen, admin = re.findall(r'^(?:listen|admin) = "(.*)"$', text, re.M)
    running = Running(process, f"http://{listen}", f"http://{admin}", known, folder)
    try:
        for line in process.stdout:
            running.said.append(line.rstrip())
            if line.startswith("transect llm status"):
                break
        assert process.poll() is None, (running.said, (folder / "errors").read_text())
        yield running
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def one(tmp_path: Path) -> Iterator[tuple[Running, Engine]]:
    """A gateway before one engine."""
    with engine(slots=4, token_s=0.002) as served, gateway(tmp_path, [served.url]) as running:
        yield running, served.app


# ---------------------------------------------------------------- being served


def test_answers_pass_as_they_are(one: tuple[Running, Engine]) -> None:
    running, _ = one
    answer = running.ask("ann")
    assert answer.status_code == 200
    assert answer.json()["choices"][0]["text"] == "x" * 8
    assert answer.json()["usage"] == {"prompt_tokens": 4, "completion_tokens": 8}
    assert running.metric("prompt_tokens_total", "ann") == 4
    assert running.metric("output_tokens_total", "ann") == 8


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions"])
@pytest.mark.parametrize("wants_usage", [False, True])
def test_a_stream_is_charged_exactly_and_shows_what_was_asked_for(
    one: tuple[Running, Engine], path: str, wants_usage: bool
) -> None:
    running, _ = one
    more: dict[str, Any] = {"stream_options": {"include_usage": True}} if wants_usage else {}
    if "chat" in path:
        more["messages"] = [{"role": "user", "content": "hello there"}]
    answer = running.ask("ben", path=path, stream=True, **more)
    events = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    said = [json.loads(event) for event in events[:-1]]
    assert sum(1 for event in said if event["choices"]) == 8
    assert any("usage" in event for event in said) is wants_usage
    assert running.settles(lambda: running.metric("output_tokens_total", "ben") == 8)
    assert running.metric("prompt_tokens_total", "ben") == (7 if "chat" in path else 4)


def test_a_stream_without_continuous_usage_is_counted_event_by_event(tmp_path: Path) -> None:
    with engine(continuous=False) as served, gateway(tmp_path, [served.url]) as running:
        assert running.ask("ann", stream=True, max_tokens=11).status_code == 200
        assert running.settles(lambda: running.metric("output_tokens_total", "ann") == 11)


def test_models_are_those_of_the_upstream(one: tuple[Running, Engine]) -> None:
    running, _ = one
    answer = httpx.get(f"{running.url}/v1/models", headers=running.headers("ann"))
    assert answer.json()["data"] == [{"id": "tiny"}]


def test_keys_of_clients_never_go_upstream(one: tuple[Running, Engine]) -> None:
    running, upstream = one
    running.ask("ann")
    seen = json.dumps(upstream.headers)
    assert running.keys["ann"] not in seen
    assert "authorization" not in seen


# ---------------------------------------------------------------- fairness


async def flood(running: Running, plan: list[tuple[str, int]], **asked: Any) -> list[str]:
    """So many requests of each tenant at once, in this order; the tenants as their answers came."""
    ended: list[str] = []
    async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=None)) as http:

        async def once(who: str) -> None:
            body = {"prompt": [1] * 16, "max_tokens": 16, "user": who, **asked}
            answer = await http.post(f"{running.url}/v1/completions", json=body, headers=running.headers(who))
            assert answer.status_code == 200, answer.text
            ended.append(who)

        work = []
        for who, count in plan:
            work += [asyncio.ensure_future(once(who)) for _ in range(count)]
            await asyncio.sleep(0.3)
        await asyncio.gather(*work)
    return ended


@pytest.mark.parametrize("stream", [False, True])
def test_who_floods_does_not_hold_up_the_others(tmp_path: Path, stream: bool) -> None:
    with engine(slots=4, token_s=0.004, capacity=320) as served, gateway(tmp_path, [served.url]) as running:
        ended = asyncio.run(flood(running, [("ben", 80), ("ann", 12)], stream=stream))
        last = max(i for i, who in enumerate(ended) if who == "ann")
        assert ended[last:].count("ben") >= 20, "ann waited for ben's"
        status = httpx.get(f"{running.admin}/status").json()
        assert 0 < status["worst"] <= status["bound"]
        assert running.metric("finished_requests_total", "ben") == 80


def test_weights(tmp_path: Path) -> None:
    tenants = "[tenants.heavy]\nweight = 300\n"
    heavy, hashed = keys.new()
    tenants += f'keys = ["{hashed}"]\n'
    with (
        engine(slots=4, token_s=0.004, capacity=160) as served,  # U is small beside what is served
        gateway(tmp_path, [served.url], settings='policy = "vtc_weighted"', tenants=tenants) as running,
    ):
        running.keys["heavy"] = heavy
        asyncio.run(flood(running, [("ann", 120), ("heavy", 120)]))
        order = served.app.order
        both = order[order.index("heavy") : max(i for i, who in enumerate(order) if who == "heavy")]
        assert both.count("heavy") / both.count("ann") == pytest.approx(3, rel=0.25)


def test_replicas_are_bound_late(tmp_path: Path) -> None:
    """A slow engine and a fast one: the fast one serves more, and nobody waits behind the slow one."""
    with (
        engine(slots=2, token_s=0.02, capacity=160) as slow,
        engine(slots=2, token_s=0.002, capacity=160) as fast,
        gateway(tmp_path, [slow.url, fast.url]) as running,
    ):
        asyncio.run(flood(running, [("ann", 30), ("ben", 30)]))
        assert len(fast.app.order) > 2 * len(slow.app.order) > 0
        assert len(fast.app.order) + len(slow.app.order) == 60


def test_an_arbiter_runs_here_unchanged(tmp_path: Path) -> None:
    with engine() as served, gateway(tmp_path, [served.url], settings='policy = "fair_share"') as running:
        assert running.ask("ann").status_code == 200
        assert running.metric("output_tokens_total", "ann") == 8


def test_a_policy_that_turns_requests_away(tmp_path: Path) -> None:
    settings = 'policy = "rpm"\nparams = { limit = 3 }'
    with engine() as served, gateway(tmp_path, [served.url], settings=settings) as running:
        codes = [running.ask("ann").status_code for _ in range(5)]
        assert codes == [200, 200, 200, 429, 429]
        assert running.metric("refused_requests_total", "ann") == 2


# ---------------------------------------------------------------- strangers, liars, bad requests


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer tsk-x"},
        {"authorization": "Basic eHg="},
        {"x-gateway-inference-fairness-id": "ann"},
    ],
)
def test_strangers_are_turned_away(one: tuple[Running, Engine], headers: dict[str, str]) -> None:
    running, upstream = one
    assert running.ask(None, headers=headers).status_code == 401
    assert not upstream.order


def test_a_trusted_proxy_names_the_tenant(tmp_path: Path) -> None:
    settings = 'policy = "vtc"\n[identity]\ntrusted = ["127.0.0.0/8"]'
    with engine() as served, gateway(tmp_path, [served.url], settings=settings) as running:
        assert running.ask(None, headers={"x-gateway-inference-fairness-id": "cleo"}).status_code == 200
        assert running.metric("output_tokens_total", "cleo") == 8
        assert running.ask(None, headers={"x-gateway-inference-fairness-id": "nobody"}).status_code == 401
        both = [("x-gateway-inference-fairness-id", "cleo"), ("x-gateway-inference-fairness-id", "ann")]
        answer = httpx.post(f"{running.url}/v1/completions", json={"prompt": "x"}, headers=both)
        assert answer.status_code == 401


def test_who_asks_for_more_than_it_uses_gains_and_loses_nothing(one: tuple[Running, Engine]) -> None:
    running, _ = one
    assert running.ask("ann", max_tokens=1_000_000, really=5).status_code == 200
    assert running.metric("output_tokens_total", "ann") == 5


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"no", 400),
        (b"[]", 400),
        (b'{"prompt": "x", "max_tokens": -1}', 400),
        (b'{"prompt": "x", "max_tokens": "9"}', 400),
        (b'{"prompt": "x", "stream": 1}', 400),
        (b'{"prompt": "x", "stream_options": 7}', 400),
        (b'{"prompt": "' + b"x" * 70_000 + b'"}', 413),
    ],
)
def test_a_bad_request_is_told_so(tmp_path: Path, body: bytes, status: int) -> None:
    with engine() as served, gateway(tmp_path, [served.url], limits="body_bytes = 65536") as running:
        answer = httpx.post(f"{running.url}/v1/completions", content=body, headers=running.headers("ann"))
        assert answer.status_code == status
        assert answer.json()["error"]["message"]
        assert not served.app.order


def test_paths_and_methods(one: tuple[Running, Engine]) -> None:
    running, _ = one
    assert running.ask(path="/v1/embeddings").status_code == 404
    assert httpx.get(f"{running.url}/v1/completions", headers=running.headers("ann")).status_code == 405
    assert httpx.get(f"{running.url}/metrics").status_code == 401, (
        "operators' pages are on the other listener"
    )


def test_queues_are_bounded(tmp_path: Path) -> None:
    limits = "waiting = 6\nwaiting_each = 4\nwait_s = 0.5"
    with (
        engine(slots=1, token_s=0.05, capacity=64) as served,
        gateway(tmp_path, [served.url], limits=limits) as running,
    ):

        async def burst() -> list[int]:
            async with httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_connections=None)) as http:
                asked = []
                for who in ("ann",) * 8 + ("ben",) * 8:
                    body = {"prompt": [1] * 40, "max_tokens": 40}
                    asked.append(
                        asyncio.ensure_future(
                            http.post(
                                f"{running.url}/v1/completions", json=body, headers=running.headers(who)
                            )
                        )
                    )
                    await asyncio.sleep(0.01)
                return [answer.status_code for answer in await asyncio.gather(*asked)]

        codes = asyncio.run(burst())
        assert codes[:5].count(429) == 0
        assert codes[5:8] == [429] * 3, "ann may have four waiting, beside the one that runs"
        assert codes[8:].count(503) >= 6, "six may wait, and none for longer than half a second"
        assert running.settles(running.idle)


# ---------------------------------------------------------------- what goes wrong


def test_a_client_that_goes_while_it_streams(one: tuple[Running, Engine]) -> None:
    running, upstream = one
    with httpx.stream(
        "POST",
        f"{running.url}/v1/completions",
        headers=running.headers("ann"),
        json={"prompt": [1], "max_tokens": 4000, "stream": True},
        timeout=30,
    ) as answer:
        for _, _ in zip(answer.iter_lines(), range(20), strict=False):
            pass
    assert running.settles(lambda: upstream.cancelled == 1), "the engine works for nobody"
    assert running.settles(running.idle)
    charged = running.metric("output_tokens_total", "ann")
    assert 5 <= charged < 4000, "what was produced is charged, and no more"


def test_a_client_that_goes_while_it_waits(tmp_path: Path) -> None:
    with engine(slots=1, token_s=0.02, capacity=64) as served, gateway(tmp_path, [served.url]) as running:

        async def impatient() -> None:
            async with httpx.AsyncClient(timeout=30) as http:
                first = asyncio.ensure_future(
                    http.post(
                        f"{running.url}/v1/completions",
                        json={"prompt": [1] * 40, "max_tokens": 60},
                        headers=running.headers("ben"),
                    )
                )
                await asyncio.sleep(0.2)
                with pytest.raises(httpx.ReadTimeout):
                    await http.post(
                        f"{running.url}/v1/completions",
                        json={"prompt": [1] * 40, "max_tokens": 60},
                        headers=running.headers("ann"),
                        timeout=0.3,
                    )
                assert (await first).status_code == 200

        asyncio.run(impatient())
        assert running.settles(running.idle)
        assert running.metric("cancelled_requests_total", "ann") == 1
        assert running.metric("prompt_tokens_total", "ann") == 0
        assert len(served.app.order) == 1


def test_an_engine_that_dies_in_mid_stream(one: tuple[Running, Engine]) -> None:
    running, upstream = one
    upstream.faults.append("die")
    answer = running.ask("ann", stream=True)
    last = [line for line in answer.text.splitlines() if line][-1]
    assert "broke off" in json.loads(last.removeprefix("data: "))["error"]["message"]
    assert running.settles(running.idle)
    assert running.metric("output_tokens_total", "ann") == 3, "what was produced stays charged"


@pytest.mark.parametrize("fault", ["garbage", "500", "400"])
def test_an_engine_that_says_no_or_nonsense(one: tuple[Running, Engine], fault: str) -> None:
    running, upstream = one
    upstream.faults.append(fault)
    answer = running.ask("ann")
    assert answer.status_code == (502 if fault == "garbage" else int(fault))
    assert running.settles(running.idle)
    assert running.metric("output_tokens_total", "ann") == running.metric("prompt_tokens_total", "ann") == 0


def test_an_engine_that_is_busy_gets_it_again(one: tuple[Running, Engine]) -> None:
    running, upstream = one
    upstream.faults.extend(["429", "503"])
    assert running.ask("ann").status_code == 200
    assert running.metric("prompt_tokens_total", "ann") == 4
    assert running.metric("output_tokens_total", "ann") == 8


def test_a_replica_that_is_not_there_costs_nobody_anything(tmp_path: Path) -> None:
    with engine() as served, gateway(tmp_path, [f"http://127.0.0.1:{free_port()}", served.url]) as running:
        assert [running.ask("ann").status_code for _ in range(5)] == [200] * 5
        assert running.metric("prompt_tokens_total", "ann") == 20


def test_no_engine_at_all(tmp_path: Path) -> None:
    with gateway(tmp_path, [f"http://127.0.0.1:{free_port()}"], limits="wait_s = 20") as running:
        answer = running.ask("ann")
        assert answer.status_code == 502
        assert "broke off" in answer.json()["error"]["message"]
        assert httpx.get(f"{running.admin}/readyz").status_code == 503
        assert httpx.get(f"{running.admin}/healthz").status_code == 200


def test_an_answer_that_never_ends_is_cut_off(tmp_path: Path) -> None:
    limits = "answer_s = 1.0"
    with engine(token_s=0.01) as served, gateway(tmp_path, [served.url], limits=limits) as running:
        served.app.faults.append("endless")
        answer = running.ask("ann", stream=True)
        last = [line for line in answer.text.splitlines() if line][-1]
        assert "took longer than 1 s" in json.loads(last.removeprefix("data: "))["error"]["message"]
        assert running.settles(running.idle)
        assert running.settles(lambda: served.app.cancelled == 1), "the engine is told to stop"
        assert running.metric("output_tokens_total", "ann") > 8, "what was produced is charged"
        assert running.ask("ann").status_code == 200, "nothing is wrong with the engine"


def test_slow_readers_hold_up_nobody(one: tuple[Running, Engine]) -> None:
    running, _ = one
    with httpx.stream(
        "POST",
        f"{running.url}/v1/completions",
        headers=running.headers("ben"),
        json={"prompt": [1], "max_tokens": 2000, "stream": True},
        timeout=30,
    ):
        started_at = time.monotonic()
        assert running.ask("ann").status_code == 200
        assert time.monotonic() - started_at < 5


# ---------------------------------------------------------------- operating it


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


def test_sighup_reads_the_configuration_anew(one: tuple[Running, Engine]) -> None:
    running, _ = one
    path = running.folder / "gateway.toml"
    good = path.read_text()
    key, hashed = keys.new()
    path.write_text(good + f'[tenants.dan]\nkeys = ["{hashed}"]\n')
    running.process.send_signal(signal.SIGHUP)
    running.keys["dan"] = key
    assert running.settles(lambda: running.ask("dan").status_code == 200)
    path.write_text(good.replace("[limits]", "[limit]"))
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


def test_an_upgrade_under_way(one: tuple[Running, Engine], monkeypatch: pytest.MonkeyPatch) -> None:
    running, _ = one
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(running.folder))
    running.ask("ann")
    asked = Client("llm", f"test-{running.url.rpartition(':')[2]}")
    newer = running.folder / "newer.py"
    newer.write_text(path_of("vtc").read_text() + "\n# newer\n")
    log = running.folder / "log"
    asked.record_start(log)
    answer = asked.upgrade(newer)
    assert answer["before"] != answer["after"]
    assert running.ask("ann").status_code == 200
    trailer = asked.record_stop()
    assert trailer["dropped"] == 0 < trailer["records"]
    replayed = subprocess.run(
        [sys.executable, "-m", "transect.cli", "replay", str(log)], capture_output=True, text=True
    )
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    assert running.metric("output_tokens_total", "ann") == 16


def test_nothing_that_is_secret_is_written(one: tuple[Running, Engine]) -> None:
    running, upstream = one
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
    assert "S031" in tried.stdout


def test_a_first_token_is_sent_without_delay() -> None:
    """A socket that does not say that it is TCP makes each stream begin 40 ms late."""
    with _listening("127.0.0.1:0") as made, socket.create_connection(made.getsockname()) as client:
        made.setblocking(True)

        async def accepted() -> int:
            theirs, _ = made.accept()
            _, writer = await asyncio.open_connection(sock=theirs)
            found = writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            writer.close()
            return int(found)

        assert asyncio.run(accepted()) == 1
        assert client.fileno() > 0
