# SPDX-License-Identifier: Apache-2.0
"""Frames cut anywhere, several in one piece, too large, damaged, compressed: over hand-made HTTP/2."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from tests.systems.rpc.envoy import http2
from tests.systems.rpc.envoy.http2 import Stream, connect, message
from tests.systems.rpc.envoy.kit import (
    ECHO,
    REJECTED,
    REPLY,
    STREAM,
    Client,
    Echo,
    Proxy,
    channel,
    outcome,
    proxy,
)

pytestmark = pytest.mark.needs("envoy", "gcc", "grpcio")

INVALID, EXHAUSTED, UNIMPLEMENTED, INTERNAL = 3, 8, 12, 13


def send(running: Proxy, data: bytes, *, path: str = ECHO, piece: int = 16384) -> Stream:
    """One request with those bytes as its body; what came back."""
    c = connect(running.port)
    try:
        c.request(1, path)
        c.data(1, data, piece=piece)
        return c.until_over(1)[0]
    finally:
        c.close()


@pytest.mark.parametrize("path", [ECHO, STREAM])
def test_frames_of_one_byte(running: Proxy, path: str) -> None:
    came = send(running, message(b"hello there"), path=path, piece=1)
    assert (bytes(came.data), came.status) == (message(b"hello there"), 0)
    assert [line[3] for line in running.diary() if line[0] == "q"] == ["11", "11"]


def test_a_request_in_frames_of_one_byte_is_rejected_all_the_same(running: Proxy) -> None:
    came = send(running, message(b"q1 reject 7 no"), piece=1)
    assert (came.status, came.headers[0]["grpc-message"], bytes(came.data)) == (7, "no", b"")
    assert came.headers[0][":status"] == "200"


def test_several_messages_in_one_piece(running: Proxy) -> None:
    data = b"".join(map(message, [b"a", b"", b"q0 rewrite B", b"c" * 100, b"p1 rewrite D"]))
    came = send(running, data, path=STREAM)
    assert bytes(came.data) == b"".join(map(message, [b"a", b"", b"B", b"c" * 100, b"D"]))
    assert came.status == 0


@pytest.mark.parametrize("seed", range(12))
def test_messages_cut_anywhere(running: Proxy, seed: int) -> None:
    """Random messages, rewritten, delayed, or left alone, in pieces of random size: what the chain makes comes back."""
    r = random.Random(seed)
    c = connect(running.port)
    said, expected = bytearray(), bytearray()
    for _ in range(r.randrange(1, 12)):
        kind = r.randrange(5)
        if kind == 0:
            said += message(b"q0 rewrite new")
            expected += message(b"new")
        elif kind == 1:
            said += message(b"p1 rewrite reply")
            expected += message(b"reply")
        else:
            text = (
                b"q0 after 3"
                if kind == 2
                else r.randbytes(r.choice([0, 1, 40, 5000, 70000])).replace(b"\0", b"z")
            )
            text = text if kind == 2 else b"-" + text
            said += message(text)
            expected += message(text)
    c.request(1, STREAM)
    at = 0
    while at < len(said):
        size = r.choice([1, 4, 5, 6, 100, 16384, 40000])
        c.data(1, bytes(said[at : at + size]), end=at + size >= len(said))
        at += size
    came = c.until_over(1)[0]
    c.close()
    assert (came.status, came.reset) == (0, None), came.headers
    assert bytes(came.data) == bytes(expected)


def test_a_body_of_one_megabyte(running: Proxy, client: Client) -> None:
    body = random.Random(1).randbytes(1 << 20)
    assert client.unary_unary(ECHO)(body) == body
    assert client.unary_unary(ECHO)(b"q0 rewrite " + b"x" * 3000) == b"x" * 3000
    assert list(client.stream_stream(STREAM)(iter([body] * 3))) == [body] * 3
    assert running.ends(3) == {i: (0, REPLY) for i in (1, 2, 3)}


def test_a_message_over_the_limit(probe: Path, echo: tuple[int, Echo], tmp_path: Path) -> None:
    with proxy(probe, tmp_path, echo[0], max_message=1000) as p, channel(p.port) as c:
        assert len(c.unary_unary(ECHO)(b"x" * 1000)) == 1000
        assert outcome(c.unary_unary(ECHO), b"x" * 1001) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "message larger than max_message",
            None,
        )
        assert (
            send(p, b"\0\xff\xff\xff\xff").status == EXHAUSTED
        )  # said to be 4 GB: nothing is set aside for it


# --- damaged ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"\2\0\0\0\1x",  # an unknown flag
        b"\xff" * 40,
        b"\0\0\0\0\5abc",  # shorter than it says
        b"\0\0\0",
        message(b"a") + b"\0\0\0\0",
    ],
)
def test_a_damaged_request_is_rejected(running: Proxy, data: bytes) -> None:
    for piece in (1, 16384):
        for path in (ECHO, STREAM):
            came = send(running, data, path=path, piece=piece)
            assert came.status == INVALID, (came, path)
    assert running.counted("malformed") == 4


def test_random_bytes_never_break_it(running: Proxy) -> None:
    r = random.Random(7)
    c = connect(running.port)
    for i in range(150):
        data = bytearray(b"".join(message(b"m" * r.randrange(20)) for _ in range(r.randrange(4))))
        for _ in range(r.randrange(4)):
            if data:
                data[r.randrange(len(data))] = r.randrange(256)
        c.request(2 * i + 1, r.choice([ECHO, STREAM]))
        c.data(2 * i + 1, bytes(data), piece=r.choice([1, 3, 16384]))
    for came in c.until_over(*range(1, 301, 2)):
        assert came.over
    c.close()
    assert send(running, message(b"still here")).status == 0


def test_a_request_without_a_message_enters_nothing(running: Proxy) -> None:
    c = connect(running.port)
    c.request(1, STREAM, end=True)
    c.request(3, STREAM)
    c.data(3, b"")
    assert [s.status for s in c.until_over(1, 3)] == [0, 0]
    c.close()
    assert running.diary() == []


def test_a_request_may_end_with_trailers(running: Proxy) -> None:
    c = connect(running.port)
    for n, body in ((1, message(b"hello")), (3, message(b"hello")[:-1])):
        c.request(n, STREAM)
        c.data(n, body, piece=2, end=False)
        trailers = http2.encode_headers([("x-end", "1")])
        c.send(http2.frame(http2.HEADERS, http2.END_HEADERS | http2.END_STREAM, n, trailers))
    assert [s.status for s in c.until_over(1, 3)] == [0, INVALID]
    c.close()


def test_requests_that_are_not_grpc_do_not_pass(running: Proxy, echo: tuple[int, Echo]) -> None:
    before = len(echo[1].log)
    c = connect(running.port)
    for n, kind in ((1, "text/plain"), (3, "application/grpc-web"), (5, "application/grpcx"), (7, "")):
        c.request(n, ECHO, ("content-type", kind))
        c.data(n, message(b"hello"))
    assert [s.headers[0][":status"] for s in c.until_over(1, 3, 5, 7)] == ["415"] * 4
    c.request(9, ECHO, ("content-type", "application/grpc+proto"))
    c.data(9, message(b"hello"))
    assert c.until_over(9)[0].status == 0
    c.close()
    assert len(echo[1].log) == before + 1


def test_what_a_server_refuses_before_its_service_hears_of_it_does_not_reach_it(
    running: Proxy, echo: tuple[int, Echo]
) -> None:
    """The server's refusal would count as the service's failure: a breaker would open for everybody."""
    before = len(echo[1].log)
    c = connect(running.port)
    for n, method in ((1, "PUT"), (3, "GET")):
        c.request(n, ECHO, (":method", method))
        c.data(n, message(b"hello"))
    assert [s.status for s in c.until_over(1, 3)] == [UNIMPLEMENTED] * 2
    for n, encodings in ((5, ("foo",)), (7, ("gzip", "foo")), (9, ("gzip,identity",))):
        c.request(n, ECHO, *(("grpc-encoding", encoding) for encoding in encodings))
        c.data(n, message(b"hello"))
    assert [s.status for s in c.until_over(5, 7, 9)] == [UNIMPLEMENTED] * 3
    assert len(echo[1].log) == before
    assert running.diary() == [], "no element was entered"
    for n, encoding in ((11, "identity"), (13, "gzip"), (15, "deflate")):
        c.request(n, ECHO, ("grpc-encoding", encoding))
        c.data(n, message(b"hello"))
    assert [s.status for s in c.until_over(11, 13, 15)] == [0] * 3
    c.close()


# --- compressed ---------------------------------------------------------------------------------------------------


def test_a_compressed_message_is_rejected_or_passes_as_said(
    probe: Path, echo: tuple[int, Echo], running: Proxy, tmp_path: Path
) -> None:
    gzip = grpc.Compression.Gzip
    body = b"q0 reject 7 unseen" + b" " * 5000
    with channel(running.port) as c:
        assert outcome(c.unary_unary(ECHO), body, compression=gzip) == (
            grpc.StatusCode.UNIMPLEMENTED,
            "compressed messages are not accepted here",
            None,
        )
    assert running.diary() == []
    with proxy(probe, tmp_path / "b", echo[0], on_compressed="pass") as p, channel(p.port) as c:
        assert c.unary_unary(ECHO)(body, compression=gzip) == body
        assert p.control.status()["compressed"] >= 1


# --- replies of a server that cuts ----------------------------------------------------------------------------------


@contextmanager
def cutting(body: bytes, piece: int, *, trailers: bool = True) -> Iterator[int]:
    """A server that answers each request with those bytes, in DATA frames of `piece` bytes."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                s, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(s,), daemon=True).start()

    def answer(s: socket.socket) -> None:
        c = http2.Connection(s, client=False)
        done = set[int]()
        while not c.gone:
            n = c.read()
            if n and c.streams[n].ended and n not in done:
                done.add(n)
                headers = http2.encode_headers([(":status", "200"), ("content-type", "application/grpc")])
                c.send(http2.frame(http2.HEADERS, http2.END_HEADERS, n, headers))
                c.data(n, body, piece=piece, end=not trailers)
                if trailers:
                    end = http2.encode_headers([("grpc-status", "0")])
                    c.send(http2.frame(http2.HEADERS, http2.END_HEADERS | http2.END_STREAM, n, end))
        s.close()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


@pytest.mark.parametrize("piece", [1, 3, 16384])
def test_replies_of_one_byte_frames(probe: Path, tmp_path: Path, piece: int) -> None:
    body = b"".join(map(message, [b"a", b"p0 rewrite B", b"c" * 50]))
    with cutting(body, piece) as port, proxy(probe, tmp_path, port) as p, channel(p.port) as c:
        assert list(c.unary_stream("/t.Echo/Count")(b"go")) == [b"a", b"B", b"c" * 50]
        assert list(c.unary_stream("/t.Echo/Undeclared")(b"go")) == [b"a", b"B", b"c" * 50]
        assert p.ends(2) == {1: (0, REPLY), 2: (0, REPLY)}


@pytest.mark.parametrize("piece", [1, 16384])
def test_a_damaged_reply_ends_in_a_status(probe: Path, tmp_path: Path, piece: int) -> None:
    for i, body in enumerate([b"\7\0\0\0\1x", message(b"cut off")[:-1], b"\0\0"]):
        with cutting(body, piece) as port, proxy(probe, tmp_path / str(i), port) as p, channel(p.port) as c:
            for path in (ECHO, "/t.Echo/Count"):
                code, text, _ = outcome(c.unary_unary(path), b"go", timeout=5)
                assert code is grpc.StatusCode.INTERNAL, (body, text)
            assert set(p.ends(2).values()) == {(INTERNAL, REJECTED)}


def test_a_reply_without_trailers_is_finished_too(probe: Path, tmp_path: Path) -> None:
    with cutting(message(b"x"), 16384, trailers=False) as port, proxy(probe, tmp_path, port) as p:
        with channel(p.port) as c:
            assert outcome(c.unary_unary(ECHO), b"go", timeout=5)[0] is not grpc.StatusCode.OK
        assert p.ends(1) == {1: (2, REPLY)}
