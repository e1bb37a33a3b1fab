# SPDX-License-Identifier: Apache-2.0
"""TLS on both sides of an Envoy: who calls is known by his certificate, and the service by its own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.systems.rpc.certificates import Authority
from transect.base.diagnostic import Diagnostics
from transect.rpc import echo
from transect.rpc.chain.file import read_chain
from transect.rpc.chain.fitting import bound
from transect.rpc.envoy.deploy import deploy
from transect.rpc.envoy.process import EnvoyFailed

pytestmark = pytest.mark.needs("envoy", "gcc", "grpcio", "openssl")

CHAIN = """
from transect.lang import Map, table
from transect.rpc import Chain, Code, Element, Forward, Reject, Rpc, Verdict


class Peers(Element):
    allowed: Map[str, bool] = table(16)

    def request(self, rpc: Rpc) -> Verdict:
        if not self.allowed.get(rpc.peer, False):
            return Reject(Code.PERMISSION_DENIED, f"{rpc.peer} may not")
        return Forward()


chain = Chain(
    service="echo.Echo",
    upstream="127.0.0.1:PORT",
    protos=["echo.proto"],
    elements=[Peers(allowed={"spiffe://test/alice": True})],
    tls={"certificate": "proxy.crt", "key": "proxy.key", "clients": "ca.crt"},
    upstream_tls={"authority": "ca.crt", "name": "NAME"},
)
"""
PROTO = """
syntax = "proto3";
package echo;
message Ask { string user = 1; string key = 2; string text = 3; }
message Answer { string text = 1; }
service Echo { rpc Say(Ask) returns (Answer); rpc Chat(stream Ask) returns (stream Answer); }
"""


def says(address: str, credentials: grpc.ChannelCredentials) -> str:
    with grpc.secure_channel(address, credentials) as channel:
        try:
            return str(echo.Stub(channel).Say(echo.Ask(text="hi"), timeout=10).text)
        except grpc.RpcError as error:
            assert isinstance(error, grpc.Call)
            return f"{error.code().name}: {error.details()}"


def test_both_sides(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.signed("proxy", "IP:127.0.0.1")
    key, certificate = authority.signed("service", "DNS:the-service")
    (tmp_path / "echo.proto").write_text(PROTO)
    credentials = grpc.ssl_server_credentials([(key.read_bytes(), certificate.read_bytes())])
    with ThreadPoolExecutor(4) as pool:
        server = grpc.server(pool)
        handler: Any = grpc.unary_unary_rpc_method_handler(
            lambda ask, _: echo.Answer(text=ask.text),
            echo.Ask.FromString,
            echo.Answer.SerializeToString,
        )
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("echo.Echo", {"Say": handler}),)
        )
        port = server.add_secure_port("127.0.0.1:0", credentials)
        server.start()
        try:
            for name, wanted in (("the-service", "hi"), ("another", "UNAVAILABLE")):
                folder = tmp_path / name
                text = CHAIN.replace("PORT", str(port)).replace("NAME", name)
                assert check(tmp_path, folder, text, authority).startswith(wanted)
        finally:
            server.stop(0).wait()


def check(place: Path, folder: Path, text: str, authority: Authority) -> str:
    """What alice is answered, once others have been turned away."""
    (place / "chain.py").write_text(text)
    read = read_chain(place / "chain.py")
    assert read.chain is not None, [d.message for d in read.diagnostics]
    binding = bound(read.chain, Diagnostics())
    assert binding is not None
    with deploy(read.chain, binding, folder, workers=1) as it:
        root = authority.root.read_bytes()

        def client(name: str) -> grpc.ChannelCredentials:
            key, certificate = authority.signed(name, f"URI:spiffe://test/{name}")
            return grpc.ssl_channel_credentials(root, key.read_bytes(), certificate.read_bytes())

        address = str(it.envoy.address)
        assert says(address, grpc.ssl_channel_credentials(root)).startswith("UNAVAILABLE")
        told = says(address, client("mallory"))
        assert told == "PERMISSION_DENIED: spiffe://test/mallory may not"
        return says(address, client("alice"))


def test_what_is_wrong_is_said_at_its_place(tmp_path: Path) -> None:
    text = CHAIN.replace("PORT", "1").replace("NAME", "x")
    wrong = {
        '"key": "proxy.key"': ('"clef": "proxy.key"', ["`tls` has no `key`", "`tls` has no `clef`"]),
        '{"authority": "ca.crt", "name": "x"}': ('"ca.crt"', ["`upstream_tls` names files"]),
    }
    for old, (new, messages) in wrong.items():
        (tmp_path / "chain.py").write_text(text.replace(old, new))
        assert [d.message for d in read_chain(tmp_path / "chain.py").diagnostics] == messages


def test_a_service_behind_tls_needs_its_descriptors(tmp_path: Path) -> None:
    (tmp_path / "chain.py").write_text(CHAIN.replace("PORT", "1").replace('    protos=["echo.proto"],\n', ""))
    read = read_chain(tmp_path / "chain.py")
    assert read.chain is not None
    diagnostics = Diagnostics()
    assert bound(read.chain, diagnostics) is None
    assert [(d.code, d.help) for d in diagnostics] == [("R033", "give `protos=[…]`")]


def test_a_certificate_that_is_not_there_is_envoys_own_error(tmp_path: Path) -> None:
    (tmp_path / "echo.proto").write_text(PROTO)
    (tmp_path / "chain.py").write_text(CHAIN.replace("PORT", "1"))
    read = read_chain(tmp_path / "chain.py")
    assert read.chain is not None
    binding = bound(read.chain, Diagnostics())
    assert binding is not None
    with pytest.raises(EnvoyFailed, match=r"ca\.crt"):
        deploy(read.chain, binding, tmp_path / "envoy", workers=1)
