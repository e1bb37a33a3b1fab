# SPDX-License-Identifier: Apache-2.0
"""Over TLS with certificates on both sides, `rpc.peer` is who the client has proved to be."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from grpc import aio

from tests.parts import need
from tests.systems.rpc.certificates import Authority
from tests.systems.rpc.grpcio.generated import modules, servicer
from transect import rpc
from transect.emit.py.load import load_text

pytestmark = pytest.mark.needs("grpcio")

PEERS = """
from transect.lang import Map, table, text
from transect.rpc import Code, Element, Forward, Reject, Rpc, Verdict


class Peers(Element):
    allowed: Map[str, bool] = table(16)
    last: str = text(64)

    def request(self, rpc: Rpc) -> Verdict:
        self.last = rpc.peer
        if not self.allowed.get(rpc.peer, False):
            return Reject(Code.PERMISSION_DENIED, f"{rpc.peer} may not")
        return Forward()
"""


@pytest.fixture(params=[True, False], ids=["native", "python"])
def native(request: pytest.FixtureRequest) -> bool:
    if request.param:
        need("gcc")
        need("python-headers")
    return bool(request.param)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


def of_server(authority: Authority) -> grpc.ServerCredentials:
    key, certificate = authority.signed("server", "DNS:localhost,IP:127.0.0.1")
    pair = (key.read_bytes(), certificate.read_bytes())
    return grpc.ssl_server_credentials([pair], authority.root.read_bytes(), require_client_auth=True)


def of_client(authority: Authority, name: str) -> grpc.ChannelCredentials:
    key, certificate = authority.signed(name, f"URI:spiffe://test/{name}")
    return grpc.ssl_channel_credentials(
        authority.root.read_bytes(), key.read_bytes(), certificate.read_bytes()
    )


def element() -> Any:
    return load_text(PEERS).Peers(allowed={"spiffe://test/alice": True})


def test_a_policy_knows_a_client_by_its_certificate(native: bool, authority: Authority) -> None:
    pb2, pb2_grpc = modules()
    with ThreadPoolExecutor(4) as pool:
        server: Any = rpc.attach(grpc.server(pool), [element()], service=pb2, native=native)
        pb2_grpc.add_EchoServicer_to_server(servicer(), server)
        port = server.add_secure_port("127.0.0.1:0", of_server(authority))
        server.start()
        try:
            with grpc.secure_channel(f"127.0.0.1:{port}", of_client(authority, "alice")) as channel:
                client: Any = rpc.attach(channel, [], service=pb2, native=native)
                assert pb2_grpc.EchoStub(client).Say(pb2.Ask(text="hi")).text == "hi"
            assert server.chain.state("Peers").last == "spiffe://test/alice"
            with grpc.secure_channel(f"127.0.0.1:{port}", of_client(authority, "mallory")) as channel:
                with pytest.raises(grpc.RpcError, match="spiffe://test/mallory may not"):
                    pb2_grpc.EchoStub(channel).Say(pb2.Ask(text="hi"))
        finally:
            server.stop(0).wait()


def test_on_an_asyncio_server_too(native: bool, authority: Authority) -> None:
    pb2, pb2_grpc = modules()

    async def main() -> None:
        server: Any = rpc.attach(aio.server(), [element()], service=pb2, native=native)
        pb2_grpc.add_EchoServicer_to_server(servicer(), server)
        port = server.add_secure_port("127.0.0.1:0", of_server(authority))
        await server.start()
        async with aio.secure_channel(f"127.0.0.1:{port}", of_client(authority, "alice")) as channel:
            assert (await pb2_grpc.EchoStub(channel).Say(pb2.Ask(text="hi"))).text == "hi"
        await server.stop(0)
        assert server.chain.state("Peers").last == "spiffe://test/alice"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("name", "others", "known"),
    [
        ("one", "DNS:one.example,URI:spiffe://test/one", "spiffe://test/one"),
        ("two", "email:two@example,DNS:two.example", "two.example"),
        ("three", "email:three@example", "CN=three"),
    ],
)
def test_of_several_names_it_is_the_one_that_envoy_takes(
    authority: Authority, name: str, others: str, known: str
) -> None:
    """A common name can never pass for a URI: it says what it is."""
    pb2, pb2_grpc = modules()
    key, certificate = authority.signed(name, others)
    credentials = grpc.ssl_channel_credentials(
        authority.root.read_bytes(), key.read_bytes(), certificate.read_bytes()
    )
    with ThreadPoolExecutor(4) as pool:
        server: Any = rpc.attach(grpc.server(pool), [element()], service=pb2, native=False)
        pb2_grpc.add_EchoServicer_to_server(servicer(), server)
        port = server.add_secure_port("127.0.0.1:0", of_server(authority))
        server.start()
        try:
            with grpc.secure_channel(f"127.0.0.1:{port}", credentials) as channel:
                with pytest.raises(grpc.RpcError, match=f"{known} may not"):
                    pb2_grpc.EchoStub(channel).Say(pb2.Ask(text="hi"))
        finally:
            server.stop(0).wait()
