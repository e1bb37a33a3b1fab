# SPDX-License-Identifier: Apache-2.0
"""Where a proxy-wasm host has no function for it: a stream whose headers have gone on is ended as far as that goes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from tests.systems.rpc.envoy.kit import (
    COUNT,
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

pytestmark = pytest.mark.needs("envoy", "clang-19", "wasm-ld-19", "grpcio")

DENIED = grpc.StatusCode.PERMISSION_DENIED


def talk(client: Client, messages: Iterator[bytes]) -> tuple[list[bytes], grpc.StatusCode, str]:
    got: list[bytes] = []
    call = client.stream_stream(STREAM)(messages, timeout=10)
    with contextlib.suppress(grpc.RpcError):
        got.extend(call)
    return got, call.code(), call.details()


def test_the_first_request_of_a_stream_is_rejected_with_its_status(running: Proxy, client: Client) -> None:
    assert talk(client, iter([b"q1 reject 7 no", b"b"])) == ([], DENIED, "no")
    assert running.ends(1) == {1: (7, REJECTED)}


def test_a_rejected_reply_loses_none_before_it_and_its_status_comes_with_the_servers_end(
    running: Proxy, client: Client
) -> None:
    def rejected() -> tuple[list[bytes], grpc.StatusCode, str]:
        return talk(client, iter([b"a", b"p0 reject 7 enough", b"c"]))

    tries = [rejected()]
    while tries[-1][1] is grpc.StatusCode.INTERNAL and len(tries) < 5:
        tries.append(rejected())  # the server's end came too late: a busy machine
    assert tries[-1] == ([b"a"], DENIED, "enough")
    assert outcome(lambda: list(client.unary_stream(COUNT)(b"p1 reject 7 none")))[:2] == (DENIED, "none")
    assert set(running.ends(len(tries) + 1).values()) == {(7, REJECTED)}


def test_a_stream_whose_server_does_not_end_is_broken_off(running: Proxy, client: Client) -> None:
    def speak() -> Iterator[bytes]:
        yield b"a"
        time.sleep(0.1)
        yield b"q0 reject 7 enough"
        time.sleep(5)

    began = time.monotonic()
    got, code, _ = talk(client, speak())
    assert (got, code) == ([b"a"], grpc.StatusCode.INTERNAL) or code is grpc.StatusCode.UNAVAILABLE, code
    assert 1 <= time.monotonic() - began < 4
    assert running.ends(1) == {1: (7, REJECTED)}


def test_delays_of_many_streams_at_once(running: Proxy, client: Client) -> None:
    """One clock for all: each message waits at least as long as it must."""
    began = time.monotonic()
    calls = [
        (ms, client.unary_unary(ECHO).future(f"q0 after {ms}\np1 after {ms}".encode(), timeout=20))
        for ms in (1, 5, 5, 60, 20, 300)
    ]
    for ms, call in sorted(calls, key=lambda pair: pair[0]):
        call.result()
        assert time.monotonic() - began >= 2 * ms / 1000
    assert time.monotonic() - began < 2
    assert list(running.ends(6).values()) == [(0, REPLY)] * 6


def test_each_worker_counts_for_itself_and_the_host_adds_up(
    probe: Path, echo: tuple[int, Echo], tmp_path: Path
) -> None:
    with proxy(probe, tmp_path, echo[0], workers=2) as p:
        for _ in range(8):
            with channel(p.port, **{"grpc.use_local_subchannel_pool": 1}) as c:
                assert c.unary_unary(ECHO)(b"x") == b"x"
        status = p.control.status()
        assert (status["rpcs"], status["finishes"], status["causes"]) == (8, 8, [8, 0, 0, 0, 0])
