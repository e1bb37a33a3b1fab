# SPDX-License-Identifier: Apache-2.0
"""What `transect check` says of a chain and its service from files alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.systems.rpc.certificates import Authority
from transect.base.diagnostic import Diagnostics, Severity
from transect.base.render import render_text
from transect.base.unavailable import Unavailable
from transect.core.frontend import compile_file
from transect.rpc.chain import fitting
from transect.rpc.chain.file import read_chain
from transect.rpc.chain.rules import check_element
from transect.rpc.messages.protos import ProtoError, compile_protos, from_files

PROTO = """\
syntax = "proto3";
package shop;
message Order { string user = 1; }
message Receipt { string number = 1; }
service Shop { rpc Buy(Order) returns (Receipt); }
"""
CHAIN = """\
from transect.lang import state
from transect.rpc import Chain, Element, Forward, Message, Rpc, Verdict


class Order(Message):
    user: str


class Acl(Element):
    seen: int = 0

    def request(self, rpc: Rpc[Order]) -> Verdict:
        self.seen += 1
        return Forward()


chain = Chain(
    service="shop.Shop",
    upstream="127.0.0.1:50051",
    elements=[Acl()],
    protos=["shop.proto"],
)
"""

pytestmark = pytest.mark.needs("grpcio")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.proto").write_text(PROTO)
    return tmp_path


def known(folder: Path, old: str = "", new: str = "") -> tuple[list[Severity], str]:
    """How grave what is found is, and its text; the chain file has `new` in the place of `old`."""
    assert CHAIN.count(old) == 1 or not old
    path = folder / "chain.py"
    path.write_text(CHAIN.replace(old, new) if old else CHAIN)
    read = read_chain(path)
    assert read.chain is not None, render_text(read.diagnostics, read.sources)
    fitting.known(read.chain, read.diagnostics)
    return [d.severity for d in read.diagnostics], render_text(read.diagnostics, read.sources)


def test_a_chain_that_fits_its_protos_is_fine(folder: Path) -> None:
    assert known(folder)[0] == []
    assert known(folder, '    protos=["shop.proto"],\n')[0] == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('["shop.proto"]', '["none.proto"]', "there is no file"),
        ('["shop.proto"]', '["shop.proto"], proto_path=["none"]', "there is no folder"),
        ('["shop.proto"]', '["."]', "there is no file"),
        ('"shop.Shop"', '"shop.Shopp"', "write `shop.Shop`"),
        ("user: str", "user: int", "field `user` of shop.Order (shop.proto) is `string`, not `int`"),
        ("    elements", '    methods=["By"],\n    elements', "has no method `By`"),
    ],
)
def test_what_does_not_fit_is_told_from_files(folder: Path, old: str, new: str, told: str) -> None:
    graves, said = known(folder, old, new)
    assert Severity.ERROR in graves
    assert told in said


@pytest.mark.parametrize(
    ("to", "routes", "told"),
    [
        ("canary", "", 'write `routes={"canary": "host:port"}` in the chain file'),
        ("canary", '    routes={"canari": "h:1"},\n', 'write `to="canari"`'),
        ("", '    routes={"canary": "h:1"},\n', "write `Forward()` for the way to `upstream`"),
    ],
)
@pytest.mark.parametrize("protos", ['    protos=["shop.proto"],\n', ""])
def test_a_route_that_the_chain_does_not_have_is_told_where_it_is_named(
    folder: Path, to: str, routes: str, told: str, protos: str
) -> None:
    path = folder / "chain.py"
    text = CHAIN.replace("Forward()", f'Forward(to="{to}")').replace(
        '    protos=["shop.proto"],\n', protos + routes
    )
    path.write_text(text)
    read = read_chain(path)
    assert read.chain is not None, render_text(read.diagnostics, read.sources)
    fitting.known(read.chain, read.diagnostics)
    assert [d.code for d in read.diagnostics] == ["R024"]
    assert told in render_text(read.diagnostics, read.sources)


def test_a_route_that_the_chain_has_is_none_of_its_faults(folder: Path) -> None:
    text = CHAIN.replace("Forward()", 'Forward(to="canary")').replace(
        "    elements", '    routes={"canary": "h:1"},\n    elements'
    )
    (folder / "chain.py").write_text(text)
    read = read_chain(folder / "chain.py")
    assert read.chain is not None
    fitting.known(read.chain, read.diagnostics)
    assert list(read.diagnostics) == []


def test_without_a_protobuf_compiler_it_says_what_was_not_looked_into(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> None:
        raise Unavailable("a protobuf compiler", "it is not installed", "pip install grpcio-tools")

    monkeypatch.setattr(fitting, "from_files", missing)
    graves, said = known(folder)
    assert graves == [Severity.WARNING]
    assert "were not compared with the service's messages: a protobuf compiler is missing" in said
    assert "pip install grpcio-tools" in said


def test_copies_that_no_carrier_keeps_are_told_without_a_carrier(folder: Path) -> None:
    (folder / "chain.py").write_text(CHAIN.replace("seen: int = 0", 'seen: int = state(0, sync="strong")'))
    found = Diagnostics()
    check_element(compile_file(folder / "chain.py").programs[0], found)
    assert [d.code for d in found] == ["R017"]


# ---------------------------------------------------------------- where protos are found


def test_imports_are_found_below_the_roots(tmp_path: Path) -> None:
    for name, text in {
        "api/shop/v1/shop.proto": 'import "common/money.proto";\nmessage Order { common.Money paid = 1; }',
        "api/common/money.proto": "package common;\nmessage Money { int64 units = 1; }",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f'syntax = "proto3";\n{text}\n')
    shop = tmp_path / "api/shop/v1/shop.proto"
    with pytest.raises(ProtoError, match=r"common/money\.proto: File not found") as caught:
        compile_protos([shop])
    assert caught.value.help == 'name the folder below which common/money.proto is: `proto_path=["…"]`'
    assert from_files([shop], [tmp_path / "api"]).files == ("common/money.proto", "shop/v1/shop.proto")


def test_well_known_types_are_found(tmp_path: Path) -> None:
    path = tmp_path / "a.proto"
    path.write_text(
        'syntax = "proto3";\nimport "google/protobuf/any.proto";\nmessage A { google.protobuf.Any it = 1; }\n'
    )
    assert "a.proto" in from_files([path]).files


def test_google_s_own_protos_say_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.proto"
    path.write_text(
        'syntax = "proto3";\nimport "google/rpc/status.proto";\nmessage A { google.rpc.Status it = 1; }\n'
    )
    monkeypatch.setattr("transect.rpc.messages.protos._installed", lambda: ())
    with pytest.raises(ProtoError) as caught:
        from_files([path])
    assert caught.value.help == "pip install googleapis-common-protos"


def test_google_s_own_protos_are_found_where_they_are_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import google

    there = tmp_path / "site/google/rpc"
    there.mkdir(parents=True)
    (there / "status.proto").write_text(
        'syntax = "proto3";\npackage google.rpc;\nmessage Status { int32 code = 1; }\n'
    )
    monkeypatch.setattr(google, "__path__", [*google.__path__, str(there.parent)])
    path = tmp_path / "a.proto"
    path.write_text(
        'syntax = "proto3";\nimport "google/rpc/status.proto";\nmessage A { google.rpc.Status it = 1; }\n'
    )
    assert "google/rpc/status.proto" in from_files([path]).files


# ---------------------------------------------------------------- certificates


@pytest.mark.needs("openssl")
def test_certificates_that_cannot_be_used_are_told(folder: Path) -> None:
    authority = Authority(folder)
    authority.signed("one", "DNS:localhost")
    authority.signed("two", "DNS:localhost")
    (folder / "empty.pem").touch()

    def said(certificate: str, key: str, clients: str) -> str:
        tls = f'tls={{"certificate": "{certificate}", "key": "{key}", "clients": "{clients}"}},'
        graves, text = known(folder, "    elements", f"    {tls}\n    elements")
        assert set(graves) <= {Severity.WARNING}
        return text

    assert "warning" not in said("one.crt", "one.key", "ca.crt")
    assert f"there is no file {folder}/none.key" in said("one.crt", "none.key", "ca.crt")
    assert "are no certificate with its key: key values mismatch" in said("one.crt", "two.key", "ca.crt")
    assert "are no certificate with its key" in said("empty.pem", "one.key", "ca.crt")
    assert f"{folder}/empty.pem has no certificates" in said("one.crt", "one.key", "empty.pem")


def test_a_key_with_a_password_asks_nobody(folder: Path) -> None:
    authority = Authority(folder)
    key, certificate = authority.signed("one", "DNS:localhost")
    authority._run("ec", "-in", "one.key", "-aes256", "-passout", "pass:secret", "-out", "locked.key")
    assert key.is_file()
    assert fitting._pair(str(certificate), str(folder / "locked.key")) == [
        f"{certificate} and {folder}/locked.key are no certificate with its key: the key has a password"
    ]
