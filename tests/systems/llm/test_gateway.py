# SPDX-License-Identifier: Apache-2.0
"""The gateway as a process, before upstreams that do as the tests say: fairness, exact accounts, what goes wrong."""

from __future__ import annotations

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.systems.llm.running import Running, flood, free_port, gateway
from tests.systems.llm.upstream import Engine, engine
from transect.llm import keys

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


def test_a_request_has_an_id_at_each_layer_and_its_client_is_told_it(one: tuple[Running, Engine]) -> None:
    running, upstream = one
    upstream.headers.clear()
    traced = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    own = running.ask("ann", headers={"x-request-id": "ann-1", "traceparent": traced})
    given = running.ask("ann", stream=True)
    bad = running.ask("ann", headers={"x-request-id": "two words"}, max_tokens=-1)
    assert own.headers["x-request-id"] == "ann-1"
    assert (bad.status_code, len(bad.headers["x-request-id"])) == (400, 32)
    seen = [(h.get("x-request-id"), h.get("traceparent")) for h in upstream.headers]
    assert seen == [("ann-1", traced), (given.headers["x-request-id"], None)]
    assert len(given.headers["x-request-id"]) == 32


# ---------------------------------------------------------------- fairness


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


def test_another_policy_comes_with_the_configuration(own: tuple[Running, Engine]) -> None:
    """An arbiter runs here unchanged; then one that turns requests away."""
    running, _ = own
    running.configure('policy = "vtc"', 'policy = "fair_share"')
    assert running.ask("ann").status_code == 200
    assert running.metric("output_tokens_total", "ann") == 8
    running.configure('policy = "fair_share"', 'policy = "rpm"\nparams = { limit = 3 }')
    codes = [running.ask("ben").status_code for _ in range(5)]
    assert codes == [200, 200, 200, 429, 429]
    assert running.metric("refused_requests_total", "ben") == 2


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
def test_a_bad_request_is_told_so(one: tuple[Running, Engine], body: bytes, status: int) -> None:
    running, upstream = one
    answer = httpx.post(f"{running.url}/v1/completions", content=body, headers=running.headers("ann"))
    assert answer.status_code == status
    assert answer.json()["error"]["message"]
    assert not upstream.order


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


@pytest.mark.parametrize("fault", ["garbage", "500", "501", "400"])
def test_an_engine_that_says_no_or_nonsense(one: tuple[Running, Engine], fault: str) -> None:
    running, upstream = one
    upstream.faults.append(fault)
    answer = running.ask("ann")
    assert answer.status_code == (400 if fault == "400" else 502)
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
    with gateway(tmp_path, [f"http://127.0.0.1:{free_port()}"], limits="wait_s = 2") as running:
        began = time.monotonic()
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(running.ask, "ann")
            # An engine that did not answer is looked for again soon, and counts as there for that moment.
            assert running.settles(lambda: httpx.get(f"{running.admin}/readyz").status_code == 503)
            answer = asked.result()
        assert answer.status_code == 503 and time.monotonic() - began >= 2
        assert "it has waited for 2 s" in answer.json()["error"]["message"]
        assert httpx.get(f"{running.admin}/healthz").status_code == 200


def test_an_answer_that_never_ends_is_cut_off(tmp_path: Path) -> None:
    limits = "answer_s = 1.0"
    with engine(token_s=0.01) as served, gateway(tmp_path, [served.url], limits=limits) as running:
        served.app.faults.append("endless")
        answer = running.ask("ann", stream=True)
        last = [line for line in answer.text.splitlines() if line][-1]
        assert "no whole answer within 1 s" in json.loads(last.removeprefix("data: "))["error"]["message"]
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
