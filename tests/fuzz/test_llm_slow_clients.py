# SPDX-License-Identifier: Apache-2.0
"""The gateway before anybody has shown a key: many slow clients, few descriptors, and good clients among them.

`make fuzz` has 2,000 slow clients before a gateway with 1,024 descriptors.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.fuzz.reading import COUNT
from tests.fuzz.slow_clients import connected
from tests.systems.llm.running import gateway
from tests.systems.llm.upstream import engine

MANY = COUNT > 5000
SLOW, DESCRIPTORS, GOOD = (2000, 1024, 600) if MANY else (300, 256, 60)


@contextmanager
def slow_clients(url: str, count: int) -> Iterator[None]:
    words = [sys.executable, str(Path(__file__).with_name("slow_clients.py")), url, str(count)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "all have come\n"
            yield
        finally:
            process.kill()


def request(key: str, body: bytes, more: str = "") -> bytes:
    head = f"POST /v1/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n{more}"
    return head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body


async def asked(url: str, sent: bytes) -> tuple[int, float]:
    """The status of an answer, and how long it took; 0: no answer."""
    began = time.monotonic()
    loop = asyncio.get_running_loop()
    try:
        async with connected(url) as made, asyncio.timeout(20):
            await loop.sock_sendall(made, sent)
            line = await loop.sock_recv(made, 4096)
            return int(line.split()[1]) if line else 0, time.monotonic() - began
    except OSError:
        return 0, time.monotonic() - began


BODY = b'{"prompt": [1, 2, 3], "max_tokens": 3}'
READY = b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n"


def test_good_clients_lose_nothing_by_many_slow_ones(
    tmp_path: Path, record_property: Callable[..., None]
) -> None:
    with (
        engine(slots=64, token_s=0.001, capacity=1 << 20) as served,
        gateway(tmp_path, [served.url], descriptors=DESCRIPTORS) as running,
    ):

        async def go() -> tuple[list[tuple[int, float]], list[int]]:
            answers, healths = [], []
            for _ in range(GOOD // 20):
                some = [asked(running.url, request(running.keys["ann"], BODY)) for _ in range(20)]
                answers += await asyncio.gather(*some)
                healths.append((await asked(running.admin, READY))[0])
            return answers, healths

        with slow_clients(running.url, SLOW):
            answers, healths = asyncio.run(go())
        assert Counter(status for status, _ in answers) == {200: GOOD}
        assert set(healths) == {200}
        seconds = sorted(took for _, took in answers)
        median, worst = statistics.median(seconds), seconds[-1]
        record_property("good clients", f"{GOOD}: median {median:.3f} s, worst {worst:.3f} s")
        print(f"{SLOW} slow clients, {DESCRIPTORS} descriptors, {GOOD} good requests: all answered;")
        print(f"median {median:.3f} s, worst {worst:.3f} s")
        closed = {k: v for k, v in running.metrics().items() if "connections_closed" in k and v}
        print(closed)
        assert closed, "slow clients are counted"
        assert "Traceback" not in (tmp_path / "errors").read_text()
