# SPDX-License-Identifier: Apache-2.0
"""Paths that are nearly a method's: no carrier takes one for the method, and none brings it to the service unjudged."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio

from tests.systems.rpc.carriers.carriers import (
    HOLDS,
    LARGE,
    _attached,
    _channel,
    _of,
    _served,
    in_envoy,
    status,
)
from tests.systems.rpc.carriers.client import settle
from tests.systems.rpc.carriers.service import AioKit, Kit, generated
from tests.systems.rpc.envoy.http2 import connect, message
from transect.rpc.chain.carrier import ENVOY, Can
from transect.rpc.wasm.carrier import WASM

pytestmark = pytest.mark.needs("envoy", "gcc", "grpcio", "python-headers", "clang-19", "wasm-ld-19")

SAY = "/kit.Kit/Say"
ODD = (
    "/",
    "//",
    "/" + SAY,
    SAY + "/",
    SAY + "#",
    SAY + "#x",
    SAY + "?",
    SAY + "?x=1",
    "/kit.Kit//Say",
    "/kit.Kit/./Say",
    "/x/.." + SAY,
    "/kit.Kit%2FSay",
    "/kit.Kit%2fSay",
    "/kit.Kit/S%61y",
    "/kit.Kit\\Say",
    "/Kit.kit/say",
    "/kit.Kit/Say;x",
    "/kit.Kit/Say\t",
    "/kit.Kit/S\u00e1y",
    "/kit.Kit/" + "S" * 5000,
    "kit.Kit/Say",
    "http://test" + SAY,
    "*",
)
UNIMPLEMENTED, INTERNAL = grpc.StatusCode.UNIMPLEMENTED.value[0], grpc.StatusCode.INTERNAL.value[0]
BY_ENVOY = {
    path: INTERNAL if "#" in path else None
    for path in ODD
    if "#" in path or "\t" in path or not path.startswith("/")
}
"""What Envoy itself says to some: a status, or None where it ends the client's connection."""


def asked(port: int, path: str) -> int | None:
    """The status of a call; None where the connection ended instead."""
    with closing(connect(port)) as c:
        c.socket.settimeout(20)
        c.request(1, path, ("x-call", "odd"))
        c.data(1, message(generated()[0].Ask(text="x").SerializeToString()))
        (came,) = c.until_over(1)
        return came.status


def told(port: int) -> dict[str, int | None]:
    return {path: asked(port, path) for path in (*ODD, SAY)}


EXPECTED: dict[str, int | None] = {**dict.fromkeys(ODD, UNIMPLEMENTED), SAY: 0}


def judged_once(kit: Kit | AioKit, counted: Counter[str]) -> None:
    """The service, and the elements before it, have met the one call of the method."""
    assert sum(len(seen.read) for seen in kit.seen.values()) == 1
    assert counted["requests"] == 1


def test_grpcio_server() -> None:
    kit = Kit()
    with _served(kit, lambda server: _attached(server, native=True)) as (port, server):
        assert told(port) == EXPECTED
        settle()
        judged_once(kit, _of(server.chain))
        assert _of(server.chain)["rpcs"] == 1


def test_grpcio_aio_server() -> None:
    kit = AioKit()

    async def scene() -> None:
        server = _attached(aio.server(options=LARGE), native=True)
        generated()[1].add_KitServicer_to_server(kit, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        assert await asyncio.to_thread(told, port) == EXPECTED
        await server.stop(0)
        judged_once(kit, _of(server.chain))
        assert _of(server.chain)["rpcs"] == 1

    asyncio.run(scene())


@pytest.mark.parametrize("can", [ENVOY, WASM], ids=["native", "plugin"])
def test_envoy(tmp_path: Path, can: Can) -> None:
    kit = Kit()
    with in_envoy(tmp_path / "run", kit, HOLDS, can) as (running, _):
        assert told(running.envoy.address.port) == EXPECTED | BY_ENVOY
        counted = Counter(status(running))
    judged_once(kit, counted)
    assert counted["refused"] == len(ODD) - len(BY_ENVOY)


def test_grpcio_clients() -> None:
    """A method that the chain does not cover passes: the service says that it has none."""
    kit = Kit()

    def codes(port: int) -> dict[str, int]:
        with _channel(f"127.0.0.1:{port}") as plain:
            channel = _attached(plain, methods=["Say"], native=True)
            found = {path: _code(channel.unary_unary(path), b"") for path in NAMES}
            assert _of(channel.chain)["requests"] == 0
        return found

    async def awaited(port: int) -> dict[str, int]:
        async with aio.insecure_channel(f"127.0.0.1:{port}") as plain:
            channel = _attached(plain, methods=["Say"], native=True)
            found = {path: await _awaited(channel.unary_unary(path), b"") for path in NAMES}
            assert _of(channel.chain)["requests"] == 0
        return found

    with _served(kit) as (port, _):
        assert codes(port) == dict.fromkeys(NAMES, UNIMPLEMENTED)
        assert asyncio.run(awaited(port)) == dict.fromkeys(NAMES, UNIMPLEMENTED)
    assert not kit.seen


NAMES = tuple(path for path in ODD if path.isascii() and path.isprintable())


def _code(method: Any, request: bytes) -> int:
    with pytest.raises(grpc.RpcError) as refused:
        method(request, timeout=20)
    return int(refused.value.code().value[0])


async def _awaited(method: Any, request: bytes) -> int:
    with pytest.raises(grpc.RpcError) as refused:
        await method(request, timeout=20)
    return int(refused.value.code().value[0])
