# SPDX-License-Identifier: Apache-2.0
"""Health and reflection of the server behind a chain, which no element judges."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.parts import need
from transect.base.diagnostic import Diagnostics
from transect.rpc import echo
from transect.rpc.builtin.running import deploy_filters
from transect.rpc.chain.file import read_chain
from transect.rpc.chain.fitting import bound
from transect.rpc.envoy.deploy import deploy
from transect.rpc.wasm.deploy import deploy_plugin

pytestmark = pytest.mark.needs("envoy", "gcc", "grpcio")

CHAIN = """
from transect.rpc import Chain, Code, Element, Reject, Rpc, Verdict


class Nobody(Element):
    def request(self, rpc: Rpc) -> Verdict:
        return Reject(Code.PERMISSION_DENIED, "nobody may")


chain = Chain(
    service="echo.Echo",
    upstream="127.0.0.1:{port}",
    methods=["Say"],
    elements=[Nobody()],
    routes={{"other": "127.0.0.1:1"}},
    {words}
)
"""
CHECK = "/grpc.health.v1.Health/Check"
REFLECT = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
SERVING = b"\x08\x01"
LIST_SERVICES = b"\x3a\x01*"


@pytest.fixture(scope="module")
def upstream() -> Iterator[int]:
    """The echo service with health and reflection."""

    def with_health(server: grpc.Server) -> grpc.Server:
        health: Any = grpc.unary_unary_rpc_method_handler(lambda _, __: SERVING)
        handlers = {"Check": health}
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("grpc.health.v1.Health", handlers),)
        )
        return server

    server, port = echo.serve(around=with_health)
    yield port
    server.stop(0).wait()


def running(carrier: str, folder: Path, upstream: int, words: str) -> AbstractContextManager[Any]:
    path = folder / "chain.py"
    path.write_text(CHAIN.format(port=upstream, words=words))
    chain, diagnostics = read_chain(path).chain, Diagnostics()
    assert chain is not None
    binding = bound(chain, diagnostics)
    assert binding is not None, list(diagnostics)
    if carrier == "wasm":
        need("clang-19")
        need("wasm-ld-19")
        return deploy_plugin(chain, binding, folder / "out", workers=1)
    if carrier == "built-in":
        need("z3")
        (folder / "out").mkdir()
        return deploy_filters(chain, binding, folder / "out", workers=1).envoy
    return deploy(chain, binding, folder / "out", workers=1)


def said(channel: grpc.Channel, path: str, message: bytes, *metadata: tuple[str, str]) -> str:
    try:
        call: Any = channel.unary_unary(path)
        found: bytes = call(message, timeout=10, metadata=metadata)
        return found.hex()
    except grpc.RpcError as error:
        assert isinstance(error, grpc.Call)
        return error.code().name


@pytest.mark.parametrize("carrier", ["native", "wasm", "built-in"])
def test_health_passes_by_and_reflection_where_the_chain_says_so(
    carrier: str, upstream: int, tmp_path: Path
) -> None:
    words = 'pass_by=["health", "reflection"],'
    with running(carrier, tmp_path, upstream, words) as made, to(made) as channel:
        assert said(channel, CHECK, SERVING) == SERVING.hex()
        assert said(channel, CHECK, SERVING, ("x-transect-route", "other")) == SERVING.hex()
        reflect: Any = channel.stream_stream(REFLECT)
        (listed,) = reflect(iter([LIST_SERVICES]), timeout=10)
        assert b"echo.Echo" in listed
        assert said(channel, "/echo.Echo/Say", b"") == "PERMISSION_DENIED"
        for path in (
            CHECK + "?x",
            CHECK + "/../../echo.Echo/Say",
            "/grpc.health.v1.Health/Other",
            "//" + CHECK,
        ):
            assert said(channel, path, b"") == "UNIMPLEMENTED"


def test_reflection_is_closed_unless_the_chain_opens_it_and_health_may_be_closed(
    upstream: int, tmp_path: Path
) -> None:
    for words, health in (("", SERVING.hex()), ("pass_by=[],", "UNIMPLEMENTED")):
        folder = tmp_path / (words[:4] or "none")
        folder.mkdir()
        with running("native", folder, upstream, words) as made, to(made) as channel:
            assert said(channel, CHECK, SERVING) == health
            assert said(channel, REFLECT, LIST_SERVICES) == "UNIMPLEMENTED"


def to(made: Any) -> grpc.Channel:
    envoy = getattr(made, "envoy", made)
    return grpc.insecure_channel(str(envoy.address))
