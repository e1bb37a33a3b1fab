# SPDX-License-Identifier: Apache-2.0
"""NaN in a message: what an element assigns is the one NaN on every carrier, to the bit; the rest passes as it was."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

import transect.rpc
from transect.base.diagnostic import Diagnostics
from transect.rpc.chain.file import read_chain
from transect.rpc.chain.fitting import bound
from transect.rpc.envoy.deploy import deploy
from transect.rpc.wasm.deploy import deploy_plugin

pytestmark = pytest.mark.needs("grpcio", "protoc")

PROTO = """
syntax = "proto3";
package mean;
message Ask { double sum = 1; double count = 2; double mean = 3; float half = 4; }
service Mean { rpc Say(Ask) returns (Ask); }
"""
POLICY = """
from transect.rpc import Element, Forward, Message, Rpc, Verdict


class Ask(Message):
    sum: float
    count: float
    mean: float
    half: float


class Mean(Element):
    last: float = 0.0

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        rpc.msg.mean = rpc.msg.sum / rpc.msg.count
        rpc.msg.half = rpc.msg.mean * 0.5
        return Forward()

    def response(self, rpc: Rpc[Ask, Ask]) -> Verdict:
        rpc.reply.count = -self.last
        self.last = rpc.reply.mean
        return Forward()
"""
CHAIN = """
from mean import Mean
from transect.rpc import Chain

chain = Chain(service="mean.Mean", upstream="127.0.0.1:{port}", protos=["mean.proto"], elements=[Mean()])
"""
INF = float("inf")
PAYLOAD: float = struct.unpack("<d", struct.pack("<Q", 0xFFFC << 48 | 7))[0]
ASKED = [(0.0, 0.0), (1.0, 2.0), (INF, INF), (-0.0, 0.0), (PAYLOAD, 1.0), (3.0, PAYLOAD)]
ONE = struct.pack("<Q", 0x7FF8 << 48)
ONE_HALF = struct.pack("<I", 0x7FC00000)


def number(field: int, value: bytes) -> bytes:
    return bytes((field << 3 | (1 if len(value) == 8 else 5),)) + value


def asked(total: float, count: float) -> bytes:
    return number(1, struct.pack("<d", total)) + number(2, struct.pack("<d", count))


def expected() -> list[bytes]:
    """The fields that an element assigns stand behind the others."""
    replies, last = [], 0.0
    for total, count in ASKED:
        nan = (total, count) != (1.0, 2.0)
        mean, half = (ONE, ONE_HALF) if nan else (struct.pack("<d", 0.5), struct.pack("<f", 0.25))
        kept = number(1, struct.pack("<d", total)) + number(3, mean) + number(4, half)
        replies.append(kept + number(2, ONE if last != last else struct.pack("<d", -last)))
        last = float("nan") if nan else 0.5
    return replies


@contextmanager
def mirror() -> Iterator[int]:
    """A server that gives back what it gets."""
    handler: Any = grpc.unary_unary_rpc_method_handler(lambda data, context: data)
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("mean.Mean", {"Say": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(None)


def say(channel: Any) -> list[bytes]:
    call = channel.unary_unary("/mean.Mean/Say")
    return [call(asked(total, count), timeout=10) for total, count in ASKED]


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    with mirror() as port:
        (tmp_path / "mean.proto").write_text(PROTO)
        (tmp_path / "mean.py").write_text(POLICY)
        (tmp_path / "chain.py").write_text(CHAIN.format(port=port))
        yield port


@pytest.mark.parametrize(
    "native", [pytest.param(True, marks=pytest.mark.needs("gcc", "python-headers")), False]
)
def test_grpcio_sends_the_one_nan(native: bool, port: int, tmp_path: Path) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as plain:
        channel: Any = transect.rpc.attach(
            plain,
            [transect.load(POLICY).Mean()],
            service="mean.Mean",
            protos=[tmp_path / "mean.proto"],
            native=native,
            cache=tmp_path,
        )
        assert say(channel) == expected()
        channel.chain.close()


@pytest.mark.needs("envoy", "gcc")
@pytest.mark.parametrize(
    "carrier", [deploy, pytest.param(deploy_plugin, marks=pytest.mark.needs("clang-19", "wasm-ld-19"))]
)
def test_envoy_sends_the_one_nan(carrier: Any, port: int, tmp_path: Path) -> None:
    found, diagnostics = read_chain(tmp_path / "chain.py"), Diagnostics()
    assert found.chain is not None, [d.message for d in found.diagnostics]
    binding = bound(found.chain, diagnostics)
    assert binding is not None, [d.message for d in diagnostics]
    with (
        carrier(found.chain, binding, tmp_path / "run", workers=1) as running,
        grpc.insecure_channel(str(running.envoy.address)) as channel,
    ):
        assert say(channel) == expected()
