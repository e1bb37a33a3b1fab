# SPDX-License-Identifier: Apache-2.0
"""Damaged requests before the gateway: each is answered 2xx to 4xx, or its connection closed, and nothing is left."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.fuzz.http_heads import Bench, chunked, request
from tests.fuzz.reading import COUNT, inputs

BODY = b'{"prompt": ["a", "b"], "n": 2, "stream": false}'
STREAM = b'{"messages": [{"role": "user", "content": "hi"}], "stream": true, "stream_options": {"include_usage": true}}'
SEEDS = (
    request(),
    request(STREAM, path="/v1/chat/completions"),
    request(b"", method="GET", path="/v1/models"),
    request(b"", method="HEAD", path="/v1/models/org/large"),
    request(b"", method="OPTIONS", path="*"),
    request(b"", method="GET", path="/v1/models?x=%41%ff#y", key="nobody's"),
    request(path="http://elsewhere:80/v1/completions"),
    request(chunked(BODY), more="transfer-encoding: chunked\r\n", length=False),
    request(
        chunked(BODY, 3, b"0\r\nauthorization: x\r\n\r\n"),
        more="te: trailers\r\ntransfer-encoding: chunked\r\n",
        length=False,
    ),
    request(chunked(BODY), more="content-length: 5\r\ntransfer-encoding: chunked\r\n", length=False),
    request(more="expect: 100-continue\r\ncontent-type: text/plain\r\n"),
    request(b"\x1f\x8b\x08\x00", more="content-encoding: gzip\r\n"),
    request(more="connection: close\r\n") + request(),
    request(version="1.0") + request(version="1.0"),
    request() * 3 + request(b"", method="GET", path="/v1/models"),
    request(more="connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: x\r\n"),
    request(b"", method="GET", more="connection: upgrade, http2-settings\r\nupgrade: h2c\r\n"),
    request(more="".join(f"x-{i}: {i}\r\n" for i in range(15))),
    request(more=f"x: {'y' * 1500}\r\n"),
    request(b"[" * 2000),
    request(b'{"prompt": "\\ud800", "max_tokens": 1e999, "n": NaN}'),
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\r\n\r\n" + request(),
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
)


PAGES = tuple(
    request(b"", method=method, path=path, more=more)
    for method, path, more in (
        ("GET", "/", ""),
        ("HEAD", "/status", "connection: close\r\n"),
        ("GET", "/metrics?x=y", "accept-encoding: gzip\r\n"),
        ("GET", "/readyz", "x-forwarded-for: 1\r\n"),
        ("POST", "/healthz", "content-length: 3\r\n"),
    )
)
NAMED = tuple(
    page.replace(b"host: x", host) for page in PAGES for host in (b"host: [::1]:80", b"host: 10.0.0.7")
)


async def damaged(bench: Bench, given: Iterable[bytes]) -> Counter[int]:
    """How often each status was answered; 0: none."""
    seen: Counter[int] = Counter()
    mistakes: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, said: mistakes.append(said))
    rng = random.Random(2)
    for data in given:
        cuts = [rng.randrange(len(data) + 1) for _ in range(rng.choice((0, 0, 1, 3)))]
        wire = await bench.send(data, cuts)
        seen.update(wire.statuses or [0])
        assert not wire.sent or wire.sent.startswith(b"HTTP/1.1 "), data
        assert all(status < 500 for status in wire.statuses), (data, bytes(wire.sent))
        assert b"Traceback" not in wire.sent, data
        assert bench.empty, data
        assert not mistakes and not bench.complaints.said, (data, mistakes, bench.complaints.said)
    return seen


def _with_bodies() -> Iterator[bytes]:
    """Damaged requests; of some only the body, which has the length that it says."""
    rng = random.Random(3)
    for data, body in zip(inputs(SEEDS), inputs((BODY, STREAM), seed=3), strict=True):
        yield request(body) if rng.random() < 0.3 else data


def test_a_damaged_request_is_answered_or_closed_and_leaves_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    try:
        seen = asyncio.run(damaged(bench, _with_bodies()))
    finally:
        bench.close()
    # Not all of it was refused at the door, nor let pass.
    assert {0, 200, 400, 401, 404, 405, 431} <= set(seen), seen
    assert seen[200] > COUNT // 10 and seen[400] > COUNT // 20, seen


def test_a_damaged_request_for_the_operators_pages(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.serve(bench.admin)
    try:
        seen = asyncio.run(damaged(bench, inputs(PAGES + NAMED)))
    finally:
        bench.close()
    assert {200, 400, 404, 405, 421} <= set(seen), seen
