# SPDX-License-Identifier: Apache-2.0
"""`rpc.peer` of the same caller is the same text before a grpcio server, in Envoy and in a plugin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

import transect.rpc
from tests.systems.rpc.carriers.service import HERE, Kit, generated
from tests.systems.rpc.certificates import Authority
from transect.emit.py.load import load_text
from transect.rpc.chain.carrier import ENVOY, Can
from transect.rpc.chain.file import read_chain
from transect.rpc.chain.fitting import bound
from transect.rpc.envoy.deploy import deploy
from transect.rpc.wasm.carrier import WASM
from transect.rpc.wasm.deploy import deploy_plugin

pytestmark = pytest.mark.needs("envoy", "gcc", "clang-19", "wasm-ld-19", "grpcio", "openssl")

ELEMENT = """
from transect.rpc import Code, Element, Reject, Rpc, Verdict


class Peers(Element):
    def request(self, rpc: Rpc) -> Verdict:
        return Reject(Code.PERMISSION_DENIED, f"[{rpc.peer}]")
"""
CHAIN = (
    ELEMENT
    + """
from transect.rpc import Chain

chain = Chain(
    service="kit.Kit", upstream="127.0.0.1:1", protos=["kit.proto"], elements=[Peers()], listen="LISTEN", TLS
)
"""
)
FILES = 'tls={"certificate": "server.crt", "key": "server.key", "clients": "ca.crt"}'
Asks = Callable[[str], Mapping[str, str]]  # of an address: who the policy says has called


def called(address: str, credentials: grpc.ChannelCredentials | None = None) -> str:
    """What the policy says of one call."""
    made = (
        grpc.insecure_channel(address) if credentials is None else grpc.secure_channel(address, credentials)
    )
    with made as channel:
        with pytest.raises(grpc.RpcError) as caught:
            generated()[1].KitStub(channel).Say(generated()[0].Ask(text="x"), timeout=10)
    error = caught.value
    assert isinstance(error, grpc.Call)
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED, error
    return str(error.details())


def in_grpcio(
    listen: str, asks: Asks, credentials: grpc.ServerCredentials | None = None
) -> Mapping[str, str]:
    with ThreadPoolExecutor(4) as pool:
        policy = load_text(ELEMENT).Peers()
        server = transect.rpc.attach(grpc.server(pool), [policy], service=generated()[0], native=False)
        generated()[1].add_KitServicer_to_server(Kit(), server)
        add = server.add_insecure_port
        port = add(listen) if credentials is None else server.add_secure_port(listen, credentials)
        server.start()
        try:
            return asks(listen.removesuffix("0") + str(port) if listen.endswith(":0") else listen)
        finally:
            server.stop(0).wait()


def in_envoy(folder: Path, listen: str, asks: Asks, tls: str, can: Can) -> Mapping[str, str]:
    folder.mkdir(exist_ok=True)
    (folder / "kit.proto").write_text((HERE / "kit.proto").read_text())
    (folder / "chain.py").write_text(CHAIN.replace("LISTEN", listen).replace("TLS", tls))
    read = read_chain(folder / "chain.py")
    assert read.chain is not None, [d.message for d in read.diagnostics]
    binding = bound(read.chain, read.diagnostics, can)
    assert binding is not None, [d.message for d in read.diagnostics]
    begin = deploy if can is ENVOY else deploy_plugin
    with begin(read.chain, binding, folder / can.name.replace(" ", "-"), workers=1) as running:
        return asks(str(running.envoy.address))


@pytest.mark.parametrize(
    ("listen", "peer"),
    [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1"), ("unix:{}/10.0.0.1:7", "unix")],
)
def test_without_tls_it_is_the_address_without_the_port(listen: str, peer: str, tmp_path: Path) -> None:
    """The path of a Unix socket is no address, whatever it looks like."""
    places = {name: tmp_path / name for name in ("grpcio", "Envoy", "plugin")}
    for place in places.values():
        place.mkdir()
    at = {name: listen.format(place) for name, place in places.items()}

    def asks(address: str) -> Mapping[str, str]:
        return {"nobody": called(address)}

    seen = {
        "grpcio": in_grpcio(at["grpcio"], asks),
        "Envoy": in_envoy(places["Envoy"], at["Envoy"], asks, "", ENVOY),
        "plugin": in_envoy(places["plugin"], at["plugin"], asks, "", WASM),
    }
    assert seen == {place: {"nobody": f"[{peer}]"} for place in places}


def names(*found: tuple[int, bytes]) -> str:
    """An extension with these names, each with its tag: 0x86 a URI, 0x82 a DNS name."""
    inner = b"".join(bytes((tag, len(name))) + name for tag, name in found)
    return "DER:" + (bytes((0x30, len(inner))) + inner).hex(":")


URI, DNS = 0x86, 0x82
LONG = "spiffe://test/" + "x" * 500
CERTIFICATES = {  # subject, names; who that is
    "several": ("/CN=x", "URI:spiffe://test/a,URI:spiffe://test/b", "spiffe://test/a"),
    "long": ("/CN=x", f"URI:{LONG}", LONG),
    "wildcard": ("/CN=x", "DNS:*.example.com", "*.example.com"),
    "comma": ("/CN=x", names((URI, b"spiffe://test/a,b")), "spiffe://test/a,b"),
    "no names": ("/CN=x", "DER:30:00", "CN=x"),
    "an empty name": ("/CN=x", names((URI, b""), (DNS, b"d.example")), "d.example"),
    "an empty name before another": (
        "/CN=x",
        names((URI, b""), (URI, b"spiffe://test/b"), (DNS, b"d.example")),
        "d.example",
    ),
    "an empty name before another alone": ("/CN=x", names((URI, b""), (URI, b"spiffe://test/b")), "CN=x"),
    "a subject with a comma": ("/O=Org, Inc/CN=x", "email:a@b", r"CN=x,O=Org\, Inc"),
    "a subject with a line break": ("/CN=a\nb", "email:a@b", r"CN=a\0Ab"),
    "a subject with letters": ("/CN=é", "email:a@b", r"CN=\C3\A9"),
    "an end within a URI": ("/CN=x", names((URI, b"spiffe://test/a\0b")), ""),
    "the whole name after its end": ("/CN=x", names((URI, b"spiffe://test/a\0\x86\x0fspiffe://test/a")), ""),
    "an end at the beginning": ("/CN=x", names((URI, b"\0x"), (DNS, b"d.example")), ""),
    "an end within a name": ("/CN=x", names((DNS, b"good.example\0.evil")), ""),
    "a line break": ("/CN=x", names((URI, b"spiffe://test/a\nb")), ""),
    "letters": ("/CN=x", names((URI, "spiffe://test/é".encode())), ""),
    "no letters": ("/CN=x", names((URI, b"spiffe://test/\xff")), ""),
}


def test_of_a_certificate_it_is_one_name_whatever_stands_in_it(tmp_path: Path) -> None:
    """What is no printable ASCII is nobody's name: where one carrier saw its end, others read on."""
    authority = Authority(tmp_path)
    key, certificate = authority.signed("server", "IP:127.0.0.1")
    root = authority.root.read_bytes()
    made = {
        name: authority.signed(f"client{number}", given[1], subject=given[0])
        for number, (name, given) in enumerate(CERTIFICATES.items())
    }

    def asks(address: str) -> Mapping[str, str]:
        return {
            name: called(address, grpc.ssl_channel_credentials(root, key.read_bytes(), own.read_bytes()))
            for name, (key, own) in made.items()
        }

    pairs = [(key.read_bytes(), certificate.read_bytes())]
    known = {name: f"[{given[2]}]" for name, given in CERTIFICATES.items()}
    listen = "127.0.0.1:0"
    assert in_grpcio(listen, asks, grpc.ssl_server_credentials(pairs, root, True)) == known
    assert in_envoy(tmp_path, listen, asks, FILES, ENVOY) == known
    assert in_envoy(tmp_path, listen, asks, FILES, WASM) == known
