# SPDX-License-Identifier: Apache-2.0
"""The engine's own OpenAI server with our scheduler and middleware: who is served, as whom, and what it says of it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.parts import ROOT, need
from tests.systems.llm.vllm import tiny
from transect.base.shipped import path_of
from transect.control import Client
from transect.llm import keys
from transect.llm.replay import LlmDecoder, told
from transect.replay import read
from transect.replay.why import why

pytestmark = [pytest.mark.needs("vllm"), pytest.mark.timeout(400)]

START_S = 300
QUIET_S = 0.5


@dataclass
class Served:
    url: str
    keys: dict[str, str]
    folder: Path
    pid: int
    http: httpx.Client  # one for all: each of its own would take longer to make than the engine to answer

    def ask(
        self,
        who: str | None,
        *,
        path: str = "/v1/completions",
        headers: dict[str, str] | None = None,
        **more: object,
    ) -> httpx.Response:
        asked = {"model": "tiny", "prompt": [5, 6, 7, 8], "max_tokens": 8, "ignore_eos": True, **more}
        sent = dict(headers or {})
        if who is not None:
            sent["authorization"] = f"Bearer {self.keys[who]}"
        return self.http.post(self.url + path, json=asked, headers=sent)

    def control(self) -> Client:
        return Client("llm", f"vllm-{self.url.rpartition(':')[2]}")

    def engine(self) -> int:
        """The process whose scheduler is ours."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        (found,) = [int(c) for c in children if b"EngineCore" in Path(f"/proc/{c}/cmdline").read_bytes()]
        return found

    def handed_on(self) -> None:
        """Wait until the server before the engine has nothing left to do: what was asked lies at the engine's door."""
        used, since = -1, time.monotonic()
        while time.monotonic() < since + QUIET_S:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
            ticks = int(fields[11]) + int(fields[12])
            if ticks != used:
                used, since = ticks, time.monotonic()
            time.sleep(0.02)

    def metric(self, name: str, tenant: str) -> float:
        text = httpx.get(f"{self.url}/metrics", timeout=30).text
        for line in text.splitlines():
            if line.startswith(f'{name}{{tenant="{tenant}"}}'):
                return float(line.rpartition(" ")[2])
        return 0.0


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    made = {name: keys.new() for name in ("ann", "ben")}
    tenants = "".join(f'[tenants.{name}]\nkeys = ["{hashed}"]\n' for name, (_, hashed) in made.items())
    config = folder / "llm.toml"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config.write_text(
        f'policy = "vtc"\nname = "vllm-{port}"\nbound = "enforce"\n[identity]\ntrusted = ["192.0.2.0/24"]\n{tenants}'
    )
    log = (folder / "server.log").open("w")
    process = subprocess.Popen(
        [
            *(str(need("vllm")), "-m", "vllm.entrypoints.openai.api_server"),
            *("--model", str(tiny.write(folder / "model")), "--served-model-name", "tiny"),
            *("--host", "127.0.0.1", "--port", str(port)),
            *("--load-format", "dummy", "--skip-tokenizer-init", "--dtype", "float32", "--enforce-eager"),
            *("--max-model-len", "512", "--max-num-seqs", "4", "--block-size", "32"),
            *("--num-gpu-blocks-override", "64"),
            *("--scheduler-cls", "transect.llm.vllm.FairScheduler"),
            *("--middleware", "transect.llm.vllm.TenantMiddleware"),
        ],
        stdout=log,
        stderr=subprocess.STDOUT,
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
            "TRANSECT_LLM_CONFIG": str(config),
            **tiny.ENVIRONMENT,
        },
        cwd=folder,
        start_new_session=True,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        until = time.monotonic() + START_S
        while True:
            assert process.poll() is None, (folder / "server.log").read_text()[-4000:]
            assert time.monotonic() < until, (
                "the server does not come up: " + (folder / "server.log").read_text()[-4000:]
            )
            try:
                if httpx.get(f"{url}/health", timeout=5).status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.5)
        with httpx.Client(timeout=60, limits=httpx.Limits(max_connections=None)) as http:
            yield Served(url, {name: key for name, (key, _) in made.items()}, folder, process.pid, http)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        log.close()


def test_a_tenant_is_served_and_charged(served: Served) -> None:
    before = served.metric("transect_llm_output_tokens_total", "ann")
    answer = served.ask("ann")
    assert answer.status_code == 200, answer.text
    assert answer.json()["usage"]["completion_tokens"] == 8
    assert served.metric("transect_llm_output_tokens_total", "ann") == before + 8


def test_streaming_is_charged_alike(served: Served) -> None:
    before = served.metric("transect_llm_output_tokens_total", "ben")
    answer = served.ask("ben", stream=True)
    assert answer.status_code == 200
    assert answer.text.rstrip().endswith("data: [DONE]")
    assert served.metric("transect_llm_output_tokens_total", "ben") == before + 8


def test_the_engines_own_metrics_are_still_there(served: Served) -> None:
    text = httpx.get(f"{served.url}/metrics", timeout=30).text
    assert "vllm:num_requests_running" in text
    assert "transect_llm_bound_tokens" in text


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer tsk-nobody"}, {"authorization": "Basic x"}]
)
def test_strangers_are_turned_away(served: Served, headers: dict[str, str]) -> None:
    assert served.ask(None, headers=headers).status_code == 401


def test_nobody_can_say_to_be_another(served: Served) -> None:
    before = {name: served.metric("transect_llm_output_tokens_total", name) for name in ("ann", "ben")}
    answer = served.ask(
        "ann",
        headers={"x-gateway-inference-fairness-id": "ben"},
        vllm_xargs={"transect_tenant": "ben"},
    )
    assert answer.status_code == 200
    after = {name: served.metric("transect_llm_output_tokens_total", name) for name in ("ann", "ben")}
    assert after == {"ann": before["ann"] + 8, "ben": before["ben"]}
    # The header alone, from a peer that is not trusted, is nobody.
    assert served.ask(None, headers={"x-gateway-inference-fairness-id": "ben"}).status_code == 401


@pytest.mark.parametrize("path", ["/inference/v1/generate", "/invocations", "/v1/audio/transcriptions"])
def test_paths_that_cannot_carry_a_tenant_are_not_served(served: Served, path: str) -> None:
    assert served.ask("ann", path=path).status_code == 403


@pytest.mark.parametrize("body", [b"no json", b"[1]", b'{"vllm_xargs": 3}', b""])
def test_a_body_that_is_none_is_an_error_of_its_sender(served: Served, body: bytes) -> None:
    headers = {"authorization": f"Bearer {served.keys['ann']}", "content-type": "application/json"}
    assert httpx.post(f"{served.url}/v1/completions", content=body, headers=headers).status_code == 400


def test_two_tenants_share_though_one_floods(served: Served) -> None:
    """ben has 40 requests there, of which most wait, when ann sends 10: hers do not wait for all of his.

    The order is that of the engine, from its recording.
    """
    path = served.folder / "flood.log"
    with served.control().recording(path) as recording:
        asyncio.run(flood(served))
        assert recording.end()["dropped"] == 0
    log = read(path)
    names = log.header.notes["tenants"]
    hooks = log.policies[0].hooks
    told_of = [(hooks[r.hook], told(r)) for r in log.records]
    # The prompt is charged when its request enters the batch.
    steps = [("admit" if hook == "charge" and any(t.rest[:8]) else hook, t) for hook, t in told_of]
    order = [(hook, names[str(t.request.client)]) for hook, t in steps if t.request is not None]
    came = max(i for i, step in enumerate(order) if step == ("arrive", "ann"))
    last = max(i for i, step in enumerate(order) if step == ("admit", "ann"))
    before = order[:came].count(("admit", "ben"))
    assert order[:came].count(("arrive", "ben")) - before >= 20, "ann came when hardly any of ben's waited"
    # As many of his as of hers, and a batch each time that both have waited for: not all that were there.
    assert order[came:last].count(("admit", "ben")) <= 10 + 2 * 4


def test_a_request_is_explained_by_its_id_and_by_its_trace(served: Served) -> None:
    path = served.folder / "why.log"
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"x-request-id": "asked-7", "traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    with served.control().recording(path) as recording:
        assert served.ask("ann", headers=headers).status_code == 200
        assert recording.end()["dropped"] == 0
    log = read(path)
    for request in ("asked-7", trace):
        (layer,) = why(log, LlmDecoder(log), request)
        assert layer.explained and layer.ids == ("asked-7", trace)
        assert {"pick", "charge"} <= {decision.hook for decision in layer.decisions}
        assert {decision.client for decision in layer.decisions} == {"ann"}


async def flood(served: Served) -> None:
    """All of ben's 40, then all of ann's 10, come to an engine that stands still meanwhile."""
    async with httpx.AsyncClient(timeout=120, limits=httpx.Limits(max_connections=None)) as http:

        async def one(who: str) -> None:
            asked = {"model": "tiny", "prompt": [5, 6, 7, 8], "max_tokens": 60, "ignore_eos": True}
            key = {"authorization": f"Bearer {served.keys[who]}"}
            answer = await http.post(f"{served.url}/v1/completions", json=asked, headers=key)
            assert answer.status_code == 200, answer.text

        work = []
        engine = served.engine()
        os.kill(engine, signal.SIGSTOP)
        try:
            for who, many in (("ben", 40), ("ann", 10)):
                work += [asyncio.ensure_future(one(who)) for _ in range(many)]
                await asyncio.to_thread(served.handed_on)
        finally:
            os.kill(engine, signal.SIGCONT)
        await asyncio.gather(*work)


def test_operators_see_it_and_put_another_policy_in_force(served: Served) -> None:
    asked = served.control()
    said = asked.status()
    assert said["carrier"].startswith("vLLM 0.32")
    assert said["policies"][0]["name"] == "Vtc"
    assert said["details"]["bound"]["beyond"] == 0
    before = {row["tenant"]: row["output"] for row in said["details"]["tenants"]}
    newer = served.folder / "newer.py"
    newer.write_text(path_of("vtc").read_text() + "\n# newer\n")
    answer = asked.upgrade(newer)
    assert answer["replaced"] != answer["policies"]
    assert answer["fields"]["Vtc.served"].startswith("keep")
    assert served.ask("ann").status_code == 200
    after = {row["tenant"]: row["output"] for row in asked.status()["details"]["tenants"]}
    assert after == {**before, "ann": before["ann"] + 8}


def test_neither_keys_nor_prompts_are_in_the_servers_log(served: Served) -> None:
    text = (served.folder / "server.log").read_text()
    assert "transect: Vtc decides" in text
    for key in served.keys.values():
        assert key not in text
