# SPDX-License-Identifier: Apache-2.0
"""A chain in Envoy believes who vouches for an RPC, once; its elements see the tenant's name; and the server behind it
hears that name from Envoy, and from nobody else."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.systems.forgeries import Forgeries
from tests.systems.rpc.certificates import Authority
from transect.base.diagnostic import Diagnostics
from transect.identity import HEADER, Keys, current
from transect.rpc import digest, know_callers
from transect.rpc.chain.file import read_chain
from transect.rpc.chain.fitting import bound
from transect.rpc.envoy.deploy import Deployed, deploy
from transect.rpc.envoy.host import EnvoyHost
from transect.rpc.envoy.process import EnvoyFailed
from transect.rpc.versions.upgrade import Version

pytestmark = pytest.mark.needs("envoy", "gcc", "grpcio", "openssl")

KEY, LATER = "ab" * 32, "cd" * 32
PROTO = """\
syntax = "proto3";
package shop;
message Item { string user = 1; }
service Shop { rpc Buy (Item) returns (Item); rpc Talk (stream Item) returns (stream Item); }
"""
CHAIN = """\
from transect.examples.rpc.identify import Identify
from transect.lang import ms
from transect.rpc import Chain, Code, Element, Forward, Message, Reject, Rpc, Verdict


class Item(Message):
    user: str


class See(Element):
    # {version}
    def request(self, rpc: Rpc[Item]) -> Verdict:
        seen = rpc.headers.get("x-transect-tenant")
        if seen is not None:
            rpc.headers.set("x-seen", seen)
        match rpc.msg.user:
            case "nobody":
                rpc.headers.remove("x-transect-tenant")
            case "":
                pass
            case _:
                rpc.headers.set("x-transect-tenant", rpc.msg.user)
        if rpc.msg.user == "slow":
            return Forward(after=ms(50))
        return Forward()


class Let(Element):
    def request(self, rpc: Rpc) -> Verdict:
        who = rpc.headers.get("x-transect-tenant")
        if who is not None and who == "eve":
            return Reject(Code.PERMISSION_DENIED, "not eve")
        return Forward()


chain = Chain(service="shop.Shop", upstream="127.0.0.1:{port}", protos=["shop.proto"], {words})
"""

IDENTIFY = """\
elements=[Identify(
    keys={{"{digest}": "ann"}},
    trusted={{"spiffe://test/proxy": True}},
    peers={{"spiffe://test/alice": "alice"}},
)],
tls={{"certificate": "front.crt", "key": "front.key", "clients": "ca.crt"}},
"""
LET = 'elements=[Let()], speaks_first=["Talk"]'


def answer(_: bytes, context: Any) -> bytes:
    """What the server knows of who calls."""
    metadata = dict(context.invocation_metadata())
    caller = current()
    left = None if caller.deadline is None else caller.deadline - time.monotonic()
    said = {"caller": caller.tenant, "named": metadata[HEADER], "seen": metadata.get("x-seen"), "left": left}
    return json.dumps(said).encode()


def answers(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
    for request in requests:
        yield answer(request, context)


@contextmanager
def shop(key: Path) -> Iterator[int]:
    server: Any = know_callers(grpc.server(futures.ThreadPoolExecutor(8)), key)
    handlers: dict[str, Any] = {
        "Buy": grpc.unary_unary_rpc_method_handler(answer),
        "Talk": grpc.stream_stream_rpc_method_handler(answers),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Shop", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(0).wait()


@dataclass(frozen=True)
class Fronted:
    """A chain in Envoy before the shop, both with the same keys."""

    deployed: Deployed
    host: EnvoyHost
    folder: Path
    key: Path
    channel: grpc.Channel
    port: int

    @property
    def keys(self) -> Keys:
        return Keys(self.key)

    def buy(self, *words: str | bytes, user: str = "", timeout: float | None = 10) -> dict[str, Any]:
        call: Any = self.channel.unary_unary("/shop.Shop/Buy")
        said: dict[str, Any] = json.loads(
            call(item(user), timeout=timeout, metadata=[(HEADER, w) for w in words])
        )
        return said

    def counted(self) -> Counter[str]:
        told: Any = self.host.told()
        return Counter(told["details"]["identity"])


def item(user: str) -> bytes:
    return b"\n" + bytes([len(user)]) + user.encode() if user else b""


def key_in(path: Path, *keys: str) -> Path:
    path.touch(0o600)
    path.write_text("".join(f"{key}\n" for key in keys))
    return path


def chain_in(folder: Path, port: int, version: str = "first", words: str = "elements=[See()]") -> Path:
    (folder / "shop.proto").write_text(PROTO)
    path = folder / f"{version}.py"
    path.write_text(CHAIN.format(port=port, version=version, words=words))
    return path


@contextmanager
def fronted(folder: Path, key: Path, port: int, words: str = "elements=[See()]") -> Iterator[Fronted]:
    read, diagnostics = read_chain(chain_in(folder, port, words=words)), Diagnostics()
    assert read.chain is not None, [d.message for d in read.diagnostics]
    binding = bound(read.chain, diagnostics)
    assert binding is not None, [d.message for d in diagnostics]
    with deploy(read.chain, binding, folder / "envoy", workers=2, keys=key) as deployed:
        version = Version.of_chain(read.chain, read.sources)
        host = EnvoyHost(deployed.control, binding, read.sources, deployed=deployed, version=version)
        with grpc.insecure_channel(str(deployed.envoy.address)) as channel:
            yield Fronted(deployed, host, folder, key, channel, port)
        assert deployed.envoy.alive, deployed.envoy.last_word


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fronted]:
    folder = tmp_path_factory.mktemp("identity")
    key = key_in(folder / "identity.key", KEY)
    with shop(key) as port, fronted(folder, key, port) as made:
        yield made


def test_the_server_hears_who_is_vouched_for_and_elements_see_the_plain_name(it: Fronted) -> None:
    before = it.counted()
    said = it.buy(it.keys.vouch("alice@shop"))
    assert said == {"caller": "alice@shop", "named": "alice@shop", "seen": "alice@shop", "left": said["left"]}
    assert it.counted() - before == Counter(believed=1, vouched=1)


def test_who_says_nothing_is_anonymous(it: Fronted) -> None:
    before = it.counted()
    said = it.buy()
    assert (said["caller"], said["seen"]) == ("anonymous", "anonymous")
    assert it.counted() - before == Counter(anonymous=1)


def test_an_element_says_whose_a_request_is_and_envoy_vouches_for_that(it: Fronted) -> None:
    assert it.buy(user="carol")["caller"] == "carol"
    assert it.buy(it.keys.vouch("alice"), user="carol")["caller"] == "carol"
    assert it.buy(it.keys.vouch("alice"), user="nobody")["caller"] == "anonymous"
    assert it.buy(it.keys.vouch("alice"), user="no name")["caller"] == "anonymous"
    assert it.buy(user="slow")["caller"] == "slow", "after a delay too"


def test_a_server_that_hears_of_a_stream_before_its_messages_hears_whose_it_is(tmp_path: Path) -> None:
    key = key_in(tmp_path / "identity.key", KEY)
    with shop(key) as port, fronted(tmp_path, key, port, LET) as it:
        talk: Any = it.channel.stream_stream("/shop.Shop/Talk")
        said = [
            json.loads(m)
            for m in talk(iter([item(""), item("carol")]), metadata=((HEADER, it.keys.vouch("bob")),))
        ]
        with pytest.raises(grpc.RpcError) as no:
            next(talk(iter([item("")]), metadata=((HEADER, it.keys.vouch("eve")),)))
    assert [(one["caller"], one["named"]) for one in said] == [("bob", "bob")] * 2
    assert isinstance(no.value, grpc.Call)
    assert no.value.code() is grpc.StatusCode.PERMISSION_DENIED


def test_a_stream_is_of_whom_its_first_message_says(it: Fronted) -> None:
    talk: Any = it.channel.stream_stream("/shop.Shop/Talk")
    said = [
        json.loads(m)
        for m in talk(iter([item(""), item("carol")]), metadata=((HEADER, it.keys.vouch("bob")),))
    ]
    assert [one["caller"] for one in said] == ["bob", "bob"]


def test_who_is_authenticated_at_the_first_envoy_is_known_behind_the_second(
    tmp_path: Path, it: Fronted
) -> None:
    """By a certificate, an API key, and the name that a trusted peer gives; by nothing that a client says himself."""
    authority = Authority(tmp_path)
    authority.signed("front", "IP:127.0.0.1")
    words, behind = IDENTIFY.format(digest=digest("sk-ann")), it.deployed.envoy.address.port
    before = it.counted()
    with fronted(tmp_path, it.key, behind, words) as front:

        def buys(who: str, **headers: str) -> str:
            key, certificate = authority.signed(who, f"URI:spiffe://test/{who}")
            files = (authority.root.read_bytes(), key.read_bytes(), certificate.read_bytes())
            metadata = [(name.replace("_", "-"), value) for name, value in headers.items()]
            with grpc.secure_channel(
                str(front.deployed.envoy.address), grpc.ssl_channel_credentials(*files)
            ) as to:
                call: Any = to.unary_unary("/shop.Shop/Buy")
                said = json.loads(call(b"", metadata=metadata, timeout=10))
            assert said["caller"] == said["seen"]
            return str(said["caller"])

        assert buys("alice") == "alice"
        assert buys("mallory", x_api_key="sk-ann") == "ann"
        assert buys("proxy", x_tenant="carol") == "carol"
        assert buys("mallory", x_tenant="alice") == "anonymous"
        assert buys("mallory", x_transect_tenant="alice") == "anonymous"
        assert buys("mallory", x_transect_tenant=it.keys.vouch("bob")) == "bob", (
            "somebody with our keys gave him that"
        )
        with pytest.raises(grpc.RpcError) as no:
            buys("alice", x_api_key="sk-alice")
        assert isinstance(no.value, grpc.Call)
        assert no.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert front.counted() == Counter(believed=1, malformed=1, anonymous=2, vouched=4)
    assert it.counted() - before == Counter(believed=4, anonymous=2, vouched=4)


def test_the_deadline_goes_on_whoever_sets_it(it: Fronted) -> None:
    def left(deadline: float | None, timeout: float | None) -> Any:
        word = it.keys.vouch("alice", None if deadline is None else time.monotonic() + deadline)
        return it.buy(word, timeout=timeout)["left"]

    assert 1.0 < left(2.0, None) <= 2.0
    assert 1.0 < left(2.0, 60) <= 2.0
    assert 1.0 < left(60, 2.0) <= 2.1
    assert 1.0 < left(None, 2.0) <= 2.1
    assert left(None, None) is None
    assert left(-1.0, None) < 0, "it is over: the server decides what to do"


def test_forged_expired_replayed_and_stripped_words_are_nobodys(it: Fronted, tmp_path: Path) -> None:
    """As the claim `stack.forged`, which has ten thousand; the control is one that is good."""
    before, good = it.counted(), it.keys.vouch("bob")
    assert it.buy(good)["caller"] == "bob"
    kinds = Forgeries(it.keys, tmp_path, good).kinds
    taken: Counter[str] = Counter()
    for turn in range(440):
        kind = list(kinds)[turn % len(kinds)]
        said = it.buy(*kinds[kind]())
        taken[kind] += (said["caller"], said["seen"]) != ("anonymous", "anonymous")
    assert taken.total() == 0, taken
    assert it.buy(it.keys.vouch("bob"))["caller"] == "bob"
    assert it.counted() - before == Counter(
        believed=2, vouched=2, anonymous=440, forged=80, malformed=200, expired=40, early=40, replayed=40
    )


def test_a_word_that_one_version_believed_the_next_one_does_not(it: Fronted) -> None:
    word = it.keys.vouch("alice")
    assert it.buy(word)["caller"] == "alice"
    it.host.upgrade(chain_in(it.folder, it.port, "second"), False)
    until = time.monotonic() + 10
    while it.counted()["vouched"] or not it.host.told()["settled"]:
        assert time.monotonic() < until
        time.sleep(0.02)
    assert it.buy(word)["caller"] == "anonymous"
    assert it.buy(it.keys.vouch("alice"))["caller"] == "alice"


def test_a_key_is_changed_while_it_runs(tmp_path: Path) -> None:
    key = key_in(tmp_path / "identity.key", KEY)
    old, fresh = (Keys(key_in(tmp_path / f"{k}.key", k)) for k in (KEY, LATER))
    with shop(key_in(tmp_path / "shop.key", KEY, LATER)) as port, fronted(tmp_path, key, port) as it:

        def comes(who: str, keys: Keys) -> bool:
            until = time.monotonic() + 5
            while time.monotonic() < until:
                if it.buy(keys.vouch("alice"))["caller"] == who:
                    return True
                time.sleep(0.1)
            return False

        assert it.buy(fresh.vouch("alice"))["caller"] == "anonymous"
        key_in(key, LATER, KEY)
        assert comes("alice", fresh)
        assert comes("alice", old)
        key.write_text("no key")
        time.sleep(1.2)
        assert [it.buy(keys.vouch("alice"))["caller"] for keys in (fresh, old)] == ["alice"] * 2, (
            "a damaged file changes nothing"
        )
        assert b"stay in force" in it.deployed.envoy.log.read_bytes()
        key_in(key, LATER)
        assert comes("anonymous", old)
        assert it.buy(fresh.vouch("alice"))["caller"] == "alice"


def test_without_keys_the_header_passes_as_it_came(tmp_path: Path) -> None:
    key = key_in(tmp_path / "identity.key", KEY)
    read, diagnostics = read_chain(chain_in(tmp_path, 1)), Diagnostics()
    with shop(key) as port:
        read = read_chain(chain_in(tmp_path, port))
        assert read.chain is not None
        binding = bound(read.chain, diagnostics)
        assert binding is not None
        with (
            deploy(read.chain, binding, tmp_path / "envoy", workers=1) as made,
            grpc.insecure_channel(str(made.envoy.address)) as channel,
        ):
            call: Any = channel.unary_unary("/shop.Shop/Buy")
            word = Keys(key).vouch("alice")
            said = json.loads(call(b"", metadata=((HEADER, word),), timeout=10))
            assert (said["caller"], said["seen"]) == ("alice", word)
            assert "words" not in made.control.status()


def test_a_file_without_keys_keeps_it_from_starting(tmp_path: Path) -> None:
    key = key_in(tmp_path / "identity.key", "no key")
    with pytest.raises(EnvoyFailed) as failed, fronted(tmp_path, key, 1):
        pass
    assert "64 hexadecimal digits" in failed.value.log.read_text()
