# SPDX-License-Identifier: Apache-2.0
"""Engines that are gone, strict, or refuse the gateway: what clients see of it, and what they do not."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.systems.llm.running import Running, free_port, gateway
from tests.systems.llm.upstream import Engine, engine

BUSY = ("503", "429")
ROOT = Path(__file__).parents[3]


@contextmanager
def killed(port: int) -> Iterator[None]:
    """A slow engine in a process of its own, which dies without a word."""
    made = "from tests.systems.llm.upstream import Engine; import uvicorn; "
    run = f"uvicorn.run(Engine(slots=2, token_s=1.0), port={port}, log_config=None)"
    with subprocess.Popen([sys.executable, "-c", made + run], cwd=ROOT, start_new_session=True) as process:
        try:
            yield
        finally:
            process.kill()


def test_who_has_not_begun_waits_for_an_engine_that_comes_back(tmp_path: Path) -> None:
    port = free_port()
    with (
        gateway(tmp_path, [f"http://127.0.0.1:{port}"], limits="wait_s = 30") as running,
        ThreadPoolExecutor(40) as pool,
    ):
        with killed(port):
            answers = [pool.submit(running.ask, "ann", max_tokens=10) for _ in range(40)]
            assert running.settles(lambda: running.total("running_requests") > 2)
            time.sleep(0.5)
        time.sleep(1.0)
        assert not any(a.done() and a.result().status_code != 200 for a in answers)
        with engine(port, slots=40):
            assert {a.result().status_code for a in answers} == {200}
        assert running.settles(running.idle)
        assert running.metric("output_tokens_total", "ann") == 400


@pytest.mark.parametrize("fault", ["cut", "503", "429", "mislabelled", "huge head"])
def test_who_breaks_the_only_engine_costs_nobody_else_any_time(
    one: tuple[Running, Engine], fault: str
) -> None:
    running, _ = one
    with ThreadPoolExecutor(3) as pool:
        broken = [pool.submit(_breaks, running, fault) for _ in range(3)]
        took = []
        until = time.monotonic() + 3.0
        while time.monotonic() < until:
            began = time.monotonic()
            assert running.ask("ann").status_code == 200
            took.append(time.monotonic() - began)
            assert httpx.get(f"{running.admin}/readyz").status_code == 200
        # One that says that it is busy, and has other requests, is left alone for half a second: three times here.
        assert max(took) < (2.0 if fault in BUSY else 0.5), sorted(took)[-3:]
        assert len(took) > 5
        assert {answer.result() for answer in broken} == {None if fault in BUSY else 502}


def test_who_leaves_before_a_whole_answer_pays_for_what_was_expected(one: tuple[Running, Engine]) -> None:
    running, upstream = one
    body = {"prompt": [1, 2, 3, 4], "max_tokens": 1000}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{running.url}/v1/completions", json=body, headers=running.headers("ann"), timeout=0.5)
    assert running.settles(lambda: upstream.cancelled == 1) and running.settles(running.idle)
    assert running.metric("output_tokens_total", "ann") == 256, "as expected of who has had no answer yet"


def _breaks(running: Running, fault: str) -> int | None:
    """What it is answered whom the engine answers so each time; None: nothing for now, as it goes on waiting."""
    body = {"prompt": fault, "user": "breaks"}
    try:
        answer = httpx.post(
            f"{running.url}/v1/completions", json=body, headers=running.headers("ben"), timeout=5
        )
    except httpx.ReadTimeout:
        return None
    return answer.status_code


@pytest.mark.parametrize("fault", ["garbage", "500", "502", "401", "403", "302", "die", "gone"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_client_is_never_told_which_engines_there_are(
    one: tuple[Running, Engine], tmp_path: Path, fault: str, stream: bool
) -> None:
    if fault == "gone":
        where = f"http://127.0.0.1:{free_port()}"
        with gateway(tmp_path, [where], limits="wait_s = 1") as running:
            answer = running.ask("ann", stream=stream)
            assert answer.status_code == 503
            _tells_nothing(answer, where)
        return
    running, upstream = one
    where = (running.folder / "gateway.toml").read_text().split('url = "')[1].split('"')[0]
    upstream.faults.append(fault)
    answer = running.ask("ann", stream=stream)
    if fault in ("401", "403", "302"):
        assert answer.status_code == 502, "the gateway's key is not the client's"
    _tells_nothing(answer, where)


def _tells_nothing(answer: httpx.Response, where: str) -> None:
    said = answer.text + str(answer.headers)
    for secret in (
        where,
        where.removeprefix("http://"),
        where.rpartition(":")[2],
        "Traceback",
        ".py",
        "as told",
    ):
        assert secret not in said.replace(str(answer.headers.get("date")), ""), said


@pytest.mark.parametrize(
    ("knows", "usage", "tries"),
    [
        (None, "with every event", 1),
        (("include_usage",), "at its end", 2),
        ((), "only if its client asks", 3),
    ],
)
def test_a_strict_engine_is_asked_for_what_it_takes(
    tmp_path: Path, knows: tuple[str, ...] | None, usage: str, tries: int
) -> None:
    with engine(knows=knows) as served, gateway(tmp_path, [served.url]) as running:
        for more in (0, 0, 0):
            answer = running.ask("ann", stream=True)
            assert answer.status_code == 200 and '"usage"' not in answer.text, more
        assert len(served.app.bodies) == tries + 2, "it is learned once"
        assert running.settles(running.idle)
        assert running.metric("output_tokens_total", "ann") == 24, "counted all the same"
        said = httpx.get(f"{running.admin}/status").json()["replicas"]
        assert said[0]["usage"] == usage
        errors = (tmp_path / "errors").read_text()
        assert errors.count("refuses streams that are asked for usage") == (knows is not None)


def test_a_stream_that_is_refused_for_a_reason_of_its_own_teaches_nothing(tmp_path: Path) -> None:
    with engine() as served, gateway(tmp_path, [served.url]) as running:
        served.app.faults.extend(["400", "400", "422"])
        answer = running.ask("ann", stream=True)
        assert answer.status_code == 422 and "as told" in answer.text
        assert running.ask("ann", stream=True).status_code == 200
        served.app.faults.append("400")
        before = len(served.app.bodies)
        assert running.ask("ann", stream=True).status_code == 400
        assert len(served.app.bodies) == before + 1
        last = served.app.bodies[-1]["stream_options"]
        assert last == {"include_usage": True, "continuous_usage_stats": True}


def test_there_is_one_answer_to_who_shows_no_key_that_is_known(one: tuple[Running, Engine]) -> None:
    running, _ = one
    shown: tuple[dict[str, str], ...] = (
        {},
        {"authorization": "Bearer tsk-x"},
        {"authorization": "Basic eHg="},
        {"x-api-key": "x"},
    )
    answers = [running.ask(None, headers=headers) for headers in shown]
    assert {(a.status_code, a.text, a.headers["www-authenticate"]) for a in answers} == {
        (401, answers[0].text, "Bearer")
    }
    assert json.loads(answers[0].text)["error"]["type"] == "authentication_error"


def test_one_model_by_its_name(one: tuple[Running, Engine]) -> None:
    running, _ = one
    ask = {"headers": running.headers("ann"), "timeout": 10.0}
    assert httpx.get(f"{running.url}/v1/models/tiny", **ask).json()["id"] == "tiny"  # type: ignore[arg-type]
    assert httpx.get(f"{running.url}/v1/models/none", **ask).status_code == 404  # type: ignore[arg-type]
    assert httpx.get(f"{running.url}/v1/models/tiny").status_code == 401


def test_an_engine_that_says_to_have_used_what_cannot_be_is_counted(tmp_path: Path) -> None:
    with engine(continuous=False) as upstream, gateway(tmp_path, [upstream.url]) as running:
        for stream in (False, True):
            for fault in ("odd", "more", "well"):
                upstream.app.faults.append(fault)
                assert running.ask("ann", stream=stream).status_code == 200
        name = upstream.url.removeprefix("http://")
        assert running.metrics()[f"transect_llm_odd_usage_total{{{name}}}"] == 4
        assert (running.folder / "errors").read_text().count("says as its usage") == 1
