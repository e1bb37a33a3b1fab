# SPDX-License-Identifier: Apache-2.0
"""A gateway goes down when it is told to, whoever keeps it waiting."""

from __future__ import annotations

import json
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.systems.llm.running import Running, configured, gateway, starting
from tests.systems.llm.upstream import engine

LIMIT_S = 20  # that going down may take on a busy machine; without a limit of its own it took for ever
STREAM: dict[str, Any] = {"prompt": [1, 2], "max_tokens": 8, "stream": True}


@contextmanager
def mute() -> Iterator[tuple[str, socket.socket]]:
    """An address where connections are accepted, by the kernel, and nothing is ever read or said."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        made.listen(64)
        yield f"127.0.0.1:{made.getsockname()[1]}", made


def sent(url: str, text: str) -> socket.socket:
    """A connection over which this was sent, and nothing is read."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    host, _, port = url.removeprefix("http://").partition(":")
    made.connect((host, int(port)))
    made.sendall(text.encode())
    return made


def posted(running: Running, body: str, length: int = 0) -> socket.socket:
    key = running.headers("ann")["authorization"]
    head = f"POST /v1/completions HTTP/1.1\r\nhost: x\r\nauthorization: {key}\r\n"
    return sent(running.url, f"{head}content-length: {length or len(body)}\r\n\r\n{body}")


def test_nobody_holds_it_up(tmp_path: Path) -> None:
    """A client that reads no stream, one that reads no answer, one that sends half a request, an operator that reads no
    page, an engine that says nothing and does not read, a store that says nothing."""
    with ExitStack() as stack:
        (silent, _), (store, _) = stack.enter_context(mute()), stack.enter_context(mute())
        served = stack.enter_context(engine(slots=8, token_s=0))
        settings = f'policy = "vtc"\nstate = "kept"\n[share]\nurl = "valkey://{store}"\nname = "a"'
        upstreams = [served.url, f"http://{silent}"]
        running = stack.enter_context(gateway(tmp_path, upstreams, settings=settings, limits="drain_s = 0.2"))
        served.app.faults.append("endless")

        def hold(made: socket.socket) -> None:
            stack.enter_context(closing(made))

        # The silent engine's window, which nobody knows, is larger than the other's.
        hold(posted(running, json.dumps({"prompt": "x" * 4_000_000, "max_tokens": 1})))
        assert running.settles(lambda: running.metrics().get("transect_llm_running_requests{ann}") == 1)
        hold(posted(running, json.dumps(STREAM)))
        assert running.settles(lambda: served.app.running == 1)
        hold(posted(running, json.dumps({"prompt": [1], "max_tokens": 4_000_000})))
        hold(posted(running, "{", 100))
        hold(sent(running.url, "POST / HT"))
        hold(sent(running.admin, "GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 200))
        assert running.settles(lambda: running.metrics()["transect_llm_open_requests"] == 3)
        assert running.stop() == 0
        assert (tmp_path / "kept").exists()
        assert "3 requests are cut off" in (tmp_path / "errors").read_text()


def test_who_is_cut_off_is_told(tmp_path: Path) -> None:
    with (
        engine(slots=8, token_s=0.001) as served,
        gateway(tmp_path, [served.url], limits="drain_s = 0.05") as running,
    ):
        answers: list[httpx.Response] = []

        def ask(**asked: Any) -> threading.Thread:
            thread = threading.Thread(target=lambda: answers.append(running.ask(**asked)))
            thread.start()
            return thread

        served.app.faults.append("endless")
        threads = [ask(**STREAM)]
        assert running.settles(lambda: served.app.running == 1)
        threads.append(ask(max_tokens=1_000_000))
        assert running.settles(lambda: served.app.running == 2)
        assert running.stop() == 0
        for thread in threads:
            thread.join(LIMIT_S)
        whole, stream = sorted(answers, key=lambda answer: -answer.status_code)
        assert (whole.status_code, stream.status_code) == (503, 200)
        assert all("the gateway is going down" in answer.text for answer in (whole, stream))


def test_sigterm_before_it_serves(tmp_path: Path) -> None:
    with mute() as (silent, listening):
        listening.settimeout(LIMIT_S)
        configured(tmp_path, [f"http://{silent}"])
        with starting(tmp_path) as process:
            asked, _ = listening.accept()  # for its metrics: it is not up yet
            with asked:
                process.send_signal(signal.SIGTERM)
                assert process.wait(LIMIT_S) == 0


@pytest.mark.parametrize("again", [False, True])
def test_ctrl_c_drains_though_nobody_listens_and_once_more_ends_it(tmp_path: Path, again: bool) -> None:
    with engine(slots=1, token_s=0.001) as served, gateway(tmp_path, [served.url]) as running:
        assert running.process.stdout is not None
        running.process.stdout.close()  # as `| tee` which the same Ctrl-C ends
        answers: list[int] = []
        tokens = 1_000_000 if again else 1000
        asking = threading.Thread(target=lambda: answers.append(running.ask(max_tokens=tokens).status_code))
        asking.start()
        assert running.settles(lambda: served.app.running == 1)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGTERM):
            running.process.send_signal(number)
        if again:
            assert running.settles(lambda: httpx.get(f"{running.admin}/readyz").status_code == 503)
            running.process.send_signal(signal.SIGINT)
        running.process.wait(LIMIT_S)
        asking.join(LIMIT_S)
        assert answers == [503 if again else 200]
