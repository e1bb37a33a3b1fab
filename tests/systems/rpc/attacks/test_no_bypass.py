# SPDX-License-Identifier: Apache-2.0
"""No request that a client can write gets past a policy, on any carrier; and none breaks the calls of others."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import grpc
import pytest

from tests.systems.rpc.attacks.attacks import ALICE, TOKEN, Attack, attacks, framed
from tests.systems.rpc.attacks.guarded import Seen, in_asyncio, in_envoy, in_library, serving
from tests.systems.rpc.envoy.http2 import (
    END_HEADERS,
    END_STREAM,
    HEADERS,
    Connection,
    connect,
    encode_headers,
    frame,
)
from tests.systems.rpc.grpcio import generated

pytestmark = pytest.mark.needs("envoy", "gcc", "clang-19", "wasm-ld-19", "grpcio", "python-headers")

Carrier = Callable[[Seen, Path], AbstractContextManager[int]]
CARRIERS: dict[str, Carrier] = {
    "Envoy, native": lambda seen, folder: in_envoy(seen, folder, wasm=False),
    "Envoy, WASM": lambda seen, folder: in_envoy(seen, folder, wasm=True),
    "grpcio, native": lambda seen, folder: in_library(seen, folder, native=True),
    "grpcio, emitted Python": lambda seen, folder: in_library(seen, folder, native=False),
    "grpcio, asyncio": in_asyncio,
}


@pytest.fixture(scope="module", params=CARRIERS)
def guarded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[int, Seen]]:
    seen = Seen()
    with CARRIERS[request.param](seen, tmp_path_factory.mktemp("guarded")) as port:
        yield port, seen


def send(port: int, attack: Attack, method: str) -> None:
    """Send it, and wait until the stream or the connection is over; a moment for those that wait for more."""
    connection = connect(port)
    connection.socket.settimeout(0.25)
    path = f"/demo.Echo/{attack.path or method}"
    head = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "test"}
    head |= {"content-type": "application/grpc", "te": "trailers"} | attack.replaced
    block = encode_headers([*((k, v) for k, v in head.items() if v), *attack.headers])
    try:
        connection.send(frame(HEADERS, END_HEADERS, 1, block))
        connection.data(1, attack.body, piece=attack.piece, end=not attack.trailers)
        if attack.trailers:
            connection.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, encode_headers(attack.trailers)))
        until_over(connection)
    except (TimeoutError, OSError):
        pass  # it waits for more, or the peer has closed: whether anything got by is asked of the service
    finally:
        connection.close()


def until_over(connection: Connection) -> None:
    while not connection.gone and not (1 in connection.streams and connection.streams[1].over):
        connection.read()


def call(port: int) -> str:
    """An honest call, on a connection of its own."""
    pb2, pb2_grpc = generated.modules()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        return str(
            pb2_grpc.EchoStub(channel)
            .Say(pb2.Ask(user="alice", text="hi"), metadata=[TOKEN], timeout=10)
            .text
        )


@pytest.mark.parametrize("method", ["Say", "Chat"])
def test_nothing_gets_by_and_nobody_else_notices(method: str, guarded: tuple[int, Seen]) -> None:
    port, seen = guarded
    assert call(port) == "hi"
    for attack in attacks():
        before = len(seen.messages)
        send(port, attack, method)
        assert not seen.forbidden(), f"{attack.name} on {method}: {seen.forbidden()} came by"
        assert len(seen.messages) - before <= attack.body.count(ALICE) + 2
        assert call(port) == "hi", f"after {attack.name} on {method}"


@pytest.mark.parametrize("method", ["Say", "Chat"])
def test_what_is_sent_as_it_should_be_arrives(method: str, guarded: tuple[int, Seen]) -> None:
    """The control: the same sender, with nothing wrong."""
    port, seen = guarded
    before = len(seen.messages)
    send(port, Attack("none", framed(ALICE)), method)
    assert seen.messages[before:] == [("alice", ("right",))]


def test_without_the_policy_they_do_get_by() -> None:
    """The control: most of them are calls that the service would take."""
    seen = Seen()
    with serving(seen) as port:
        for attack in attacks():
            send(port, attack, "Say")
    assert len(seen.forbidden()) > 20


def test_a_client_that_speaks_http_1_gets_nothing(guarded: tuple[int, Seen]) -> None:
    port, seen = guarded
    before = len(seen.messages)
    body = framed(ALICE)
    head = "POST /demo.Echo/Say HTTP/1.1\r\nhost: test\r\ncontent-type: application/grpc\r\nte: trailers\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=2) as raw:
        raw.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        try:
            while raw.recv(4096):
                pass
        except (TimeoutError, ConnectionError):
            pass
    assert seen.messages[before:] == []
    assert call(port) == "hi"
