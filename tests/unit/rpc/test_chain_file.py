# SPDX-License-Identifier: Apache-2.0
"""What a chain file may say: each wrong value is a diagnostic at its place, which says what to write."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from transect.base.render import render_text
from transect.rpc.chain.file import read_edges
from transect.rpc.chain.model import ChainFile

HEAD = """\
from transect.lang import Duration, Map, Param, ms, param, table, text
from transect.rpc import Chain, Element, Forward, Rpc, Verdict


class Acl(Element):
    allowed: Map[str, bool] = table(4, key=text(8))
    wait: Param[Duration] = param(ms(5))

    def request(self, rpc: Rpc) -> Verdict:
        return Forward()


"""
GIVEN = {"service": '"shop.Shop"', "upstream": '"127.0.0.1:50051"', "elements": "[Acl()]"}


def chain(**given: str) -> str:
    return "Chain(" + ", ".join(f"{name}={value}" for name, value in {**GIVEN, **given}.items()) + ")"


def read(folder: Path, declared: str) -> tuple[tuple[ChainFile, ...], str]:
    path = folder / "shop.py"
    path.write_text(HEAD + declared + "\n", errors="surrogatepass")
    found = read_edges(path)
    assert not (found.chains and found.diagnostics.failed)
    return found.chains, render_text(found.diagnostics, found.sources)


@pytest.mark.parametrize(
    ("word", "value", "told"),
    [
        ("upstream", '"localhost"', "`localhost` is no address"),
        ("upstream", '"http://localhost:50051"', "is no address"),
        ("upstream", '"::1:50051"', "write [host]:port for an address of IPv6"),
        ("upstream", '"[::1:50051"', "is no address"),
        ("upstream", '"[fe80::1%eth0]:50051"', "is no address"),
        ("upstream", '"256.0.0.1:50051"', "is no address"),
        ("upstream", '"a b:50051"', "is no address"),
        ("upstream", '"höst:50051"', "is no address"),
        ("upstream", '"host:٣٣٣"', "is no address"),
        ("upstream", '"host:65536"', "is no address"),
        ("upstream", f'"host:{"9" * 5000}"', "is no address"),
        ("upstream", '"host:-1"', "is no address"),
        ("upstream", '"127.0.0.1:0"', "`upstream` has no port"),
        ("upstream", '"unix:"', "is no address"),
        ("upstream", f'"unix:/{"x" * 107}"', "at most 107 bytes"),
        ("upstream", '"host:1\\n"', "a character that cannot be printed"),
        ("upstream", "50051", "`upstream` is a text"),
        ("listen", '"localhost:8080"', 'write `listen="127.0.0.1:8080"`'),
        ("service", '""', "`service` is a text"),
        ("service", '"\\ud800"', "a character that cannot be printed"),
        ("methods", "[]", "`methods` names nothing"),
        ("methods", '["Buy", "Buy"]', "`methods` names `Buy` twice"),
        ("methods", '"Buy"', "`methods` is a list of texts"),
        ("protos", "[]", "`protos` names nothing"),
        ("routes", '{"a\\nb": "h:1"}', "a character that cannot be printed"),
        ("routes", '{"A": "h:1"}', "`A` cannot be the name of a route"),
        ("routes", '{"a": "h:1", "a": "h:2"}', "`routes` has `a` twice"),
        ("routes", '{**{"a": "h:1"}}', "`routes` is a dict of texts"),
        ("on_compressed", '"drop"', '`on_compressed` is "reject" or "pass"'),
        ("pass_by", '["healthy"]', "`pass_by` does not know `healthy`"),
        ("pass_by", '"health"', "`pass_by` is a list"),
        ("max_message", "0", "`max_message` is a number of bytes"),
        ("max_message", "4 << 99999999999999999999", "`max_message` is a number of bytes"),
        ("max_message", "True", "`max_message` is a number of bytes"),
        ("max_message", "4.0", "`max_message` is a number of bytes"),
        ("tls", '{"certificate": "a.pem"}', "`tls` has no `key`"),
        ("tls", '{"certificate": "a.pem", "keys": "b.pem"}', "`tls` has no `keys`"),
        ("upstream_tls", '{"authority": "a.pem", "key": "b.pem"}', "`upstream_tls` has no `certificate`"),
        ("place", '{"Acl": []}', "`place` leaves an element no place"),
        ("place", '{"Acl": "client", "Acl": "server"}', "`place` has `Acl` twice"),
        ("proxies", "[]", "`proxies` leaves proxies nothing to load"),
        ("elements", "[Acl(wait=ms(1), wait=ms(2))]", "keyword argument repeated: wait"),
        ("elements", "[Acl(wait=ms(99999999999999999999))]", "`wait` is a `Duration`"),
        ("elements", '[Acl(allowed={"a": True, "a": False})]', "`allowed` is a `Map[str, bool]`"),
        ("elements", '[Acl(allowed={"a name too long": True})]', "`allowed` is a `Map[str, bool]`"),
        ("elements", '[Acl(allowed={"\\ud800": True})]', "`allowed` is a `Map[str, bool]`"),
        ("elements", "[Acl(**{})]", "`Acl` has no field"),
        ("elements", "[*[Acl()]]", "an element is a policy"),
        ("elements", "[Acl]", ""),
        ("elements", "[Chain()]", "`Chain` is not a policy"),
        ("elements", "[Element()]", "`Element` is not a policy"),
        ("elements", "[ÄCL()]", "unknown policy"),
    ],
)
def test_a_wrong_value_is_told_at_its_place(word: str, value: str, told: str, tmp_path: Path) -> None:
    chains, said = read(tmp_path, f"chain = {chain(**{word: value})}")
    if not told:
        assert chains, said
        return
    assert not chains
    assert told in said
    assert re.search(r"--> .*shop\.py:13:", said)
    assert "help:" in said


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ("chain = Acl()", "`chain` is made by `Chain(…)`"),
        ("chain = " + chain()[:-1] + ', service="a.B")', "keyword argument repeated: service"),
        ("chain = Chain()", "the chain has no `service`"),
        ("chain = Chain(**{})", "a chain has no `**`"),
        ("edges = []", "`edges` is a list of chains"),
        (f"chain = {chain()}\nchain = {chain()}", "a file declares its chains once"),
        (f"chain = {chain()}\nedges = [{chain()}]", "a file declares its chains once"),
        (f"edges = [{chain()}, {chain()}]", "there are two edges of shop.Shop"),
    ],
)
def test_a_declaration_that_is_none_is_told(declared: str, told: str, tmp_path: Path) -> None:
    chains, said = read(tmp_path, declared)
    assert not chains
    assert told in said


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[::1]:50051", "[::1]:50051"),
        (":50051", "127.0.0.1:50051"),
        ("shop-1.example_net.:443", "shop-1.example_net.:443"),
        ("unix:///run/shop", "unix:/run/shop"),
        ("unix:@shop", "unix:@shop"),
    ],
)
def test_addresses_are_hosts_and_sockets(text: str, shown: str, tmp_path: Path) -> None:
    chains, said = read(tmp_path, f"chain = {chain(upstream=repr(text))}")
    assert [str(one.upstream) for one in chains] == [shown], said


def test_two_edges_at_one_address_are_told_what_to_do(tmp_path: Path) -> None:
    listen = '"127.0.0.1:8080"'
    other = chain(service='"shop.Cart"', listen=listen)
    chains, said = read(tmp_path, f"edges = [{chain(listen=listen)}, {other}]")
    assert not chains
    assert "the edges of shop.Shop and shop.Cart listen at 127.0.0.1:8080" in said
    assert "each edge is an Envoy of its own: give one of them another `listen=`" in said
