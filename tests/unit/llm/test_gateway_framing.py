# SPDX-License-Identifier: Apache-2.0
"""Where a request ends, and whose it is: what two readers could understand in two ways is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.http_heads import Bench, Wire, chunked, request

BODY = b'{"prompt": "x"}'


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def sent(bench: Bench, data: bytes) -> Wire:
    return asyncio.run(bench.send(data))


@pytest.mark.parametrize(
    "more",
    [
        "x: a\n",
        "x: a\rcontent-length: 0\r\n",
        "x : a\r\n",
        "x\t: a\r\n",
        "x: a\r\n folded\r\n",
        "x: a\r\n\tfolded\r\n",
        ": a\r\n",
        "x\r\n",
        "content-length: 15\r\n",
        "content-length: 0\r\n",
        "transfer-encoding: identity\r\n",
        "host: y\r\n",
        "Authorization: Bearer another\r\n",
        "x-api-key: one\r\nX-API-Key: another\r\n",
    ],
)
def test_a_line_in_doubt_spoils_a_good_request(bench: Bench, more: str) -> None:
    assert sent(bench, request(BODY, more="x: a\r\n")).statuses == [200]
    wire = sent(bench, request(BODY, more=more))
    assert wire.statuses == [400] and wire.over


@pytest.mark.parametrize(
    "length",
    ["0xf", "+15", "-15", "15.0", "1 5", "15, 15", "1e1", "15a", "", "\x0b15", "18446744073709551631"],
)
def test_a_length_is_digits_and_nothing_else(bench: Bench, length: str) -> None:
    wire = sent(bench, request(BODY, more=f"content-length: {length}\r\n", length=False))
    assert wire.statuses == [400] and wire.over


@pytest.mark.parametrize(
    "coding",
    [
        "gzip, chunked",
        "gzip\r\ntransfer-encoding: chunked",
        "chunked\r\ntransfer-encoding: identity",
        "chunked\r\ntransfer-encoding: chunked",
        "chunked, chunked",
        "chunked,",
        ",chunked",
        "chunked;q=1",
        '"chunked"',
        "xchunked",
        "\x0bchunked",
        "chunked\0",
        "chunked\r",
        "\n chunked",
        "gzip",
        "identity",
        "",
    ],
)
def test_a_body_is_coded_in_chunks_and_in_nothing_else(bench: Bench, coding: str) -> None:
    good = sent(bench, request(b"", more="transfer-encoding: Chunked\r\n") + chunked(BODY))
    assert good.statuses == [200]
    wire = sent(bench, request(b"", more=f"transfer-encoding: {coding}\r\n") + chunked(BODY))
    assert wire.statuses == [400] and wire.over


@pytest.mark.parametrize(
    "size",
    [
        b"0xf",
        b"+f",
        b"-f",
        b" f",
        b"f ",
        b"f ;x",
        b"f; x",
        b"f_",
        b"",
        b"f;x\ny",
        b"f;x\ry",
        b"1000000000000000f",
        b"f\n",
    ],
)
def test_the_size_of_a_chunk_is_hexadecimal_digits_and_nothing_else(bench: Bench, size: bytes) -> None:
    body = b'{"prompt": "x"}'
    head = request(b"", more="transfer-encoding: chunked\r\n")
    assert sent(bench, head + b"F\r\n" + body + b"\r\n0\r\n\r\n").statuses == [200]
    assert sent(bench, head + size + b"\r\n" + body + b"\r\n0\r\n\r\n").statuses == [400]


def test_lines_end_in_both_characters(bench: Bench) -> None:
    whole = request()
    assert sent(bench, whole).statuses == [200]
    for _ in range(whole.count(b"\r\n")):
        head, _, rest = whole.partition(b"\r\n")
        whole = head + b"\n" + rest
        assert sent(bench, whole).statuses == [400], whole


@pytest.mark.parametrize("version", ["2.0", "0.9", "1.2", "1.10"])
def test_other_versions_are_not_spoken(bench: Bench, version: str) -> None:
    assert sent(bench, request(version=version)).statuses == [400]


def test_a_client_of_http_1_0_gets_no_chunks(bench: Bench) -> None:
    streamed = b'{"prompt": "x", "stream": true}'
    wire = sent(bench, request(streamed, more="connection: keep-alive\r\n", version="1.0"))
    head, _, body = bytes(wire.sent).partition(b"\r\n\r\n")
    assert wire.statuses == [200] and wire.over
    assert b"transfer-encoding" not in head and b"connection: close" in head
    assert body.startswith(b"data: ") and body.endswith(b"data: [DONE]\n\n")
    wire = sent(bench, request(version="1.0"))
    head, _, body = bytes(wire.sent).partition(b"\r\n\r\n")
    assert b"content-length: %d" % len(body) in head
    chunked_head = request(b"", more="transfer-encoding: chunked\r\n", version="1.0")
    assert sent(bench, chunked_head + chunked(b'{"prompt": "x"}')).statuses == [400]
