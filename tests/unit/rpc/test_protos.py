# SPDX-License-Identifier: Apache-2.0
"""Where descriptors come from, and what is said when they cannot be had."""

from __future__ import annotations

import sys
from concurrent import futures
from pathlib import Path

import pytest

from tests.unit.rpc.wire_samples import FOLDER, pool, service
from transect.base.unavailable import Unavailable
from transect.rpc.messages import protos
from transect.rpc.messages.protos import ProtoError
from transect.rpc.messages.wire import Kind, Presence

pytestmark = pytest.mark.needs("grpcio")


def test_compiled_files_give_services_with_all_that_they_reach() -> None:
    found = protos.from_files([FOLDER / "sample.proto"])
    assert found.services == ("sample.Sample", "sample.Mixed")
    sample = found.service("sample.Sample")
    assert sample is not None
    assert [(m.path, m.client_streams, m.server_streams) for m in sample.methods] == [
        ("/sample.Sample/Say", False, False),
        ("/sample.Sample/Watch", False, True),
        ("/sample.Sample/Collect", True, False),
        ("/sample.Sample/Chat", True, True),
    ]
    assert set(sample.messages) >= {"sample.Ask", "sample.Answer", "sample.User", "sample.Item"}
    assert found.service("sample.Other") is None


def test_fields_say_what_matters_of_them() -> None:
    ask = service("sample.Sample").messages["sample.Ask"]
    word, tags, prices, nick, user = (ask.field(n) for n in ("word", "tags", "prices", "nick", "user"))
    assert word and tags and prices and nick and user
    assert (word.oneof, word.presence) == ("choice", Presence.EXPLICIT)
    assert (nick.oneof, nick.presence) == ("", Presence.EXPLICIT)
    assert (tags.presence, prices.presence, user.presence) == (
        Presence.REPEATED,
        Presence.MAP,
        Presence.IMPLICIT,
    )
    strict = service("strict.Archive").messages["strict.Strict"]
    level, detail = strict.field("level"), strict.field("detail")
    assert level and level.enum and level.enum.closed and level.default == 3
    assert detail and detail.kind is Kind.GROUP


def test_kinds_are_numbered_as_descriptors_number_them() -> None:
    from google.protobuf.descriptor_pb2 import FieldDescriptorProto

    names = [FieldDescriptorProto.Type.Name(number)[5:].lower() for number in range(1, 19)]  # type: ignore[arg-type]
    assert names == [kind.value for kind in Kind]


def test_a_set_on_disk_serves_as_well(tmp_path: Path) -> None:
    path = tmp_path / "sample.binpb"
    path.write_bytes(protos.compile_protos([FOLDER / "sample.proto"]))
    assert protos.from_files([path]).services == ("sample.Sample", "sample.Mixed")


def test_what_is_no_set_says_how_to_make_one() -> None:
    with pytest.raises(ProtoError, match="x is no FileDescriptorSet") as caught:
        protos.from_set(b"\xff\xff", "x")
    assert "protoc" in caught.value.help


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProtoError, match=r"there is no file .*none\.proto"):
        protos.from_files([tmp_path / "none.proto"])


def test_the_compiler_s_own_words_are_passed_on(tmp_path: Path) -> None:
    path = tmp_path / "bad.proto"
    path.write_text('syntax = "proto3"; message {')
    with pytest.raises(ProtoError, match=r"bad\.proto:1:\d+: Expected message name"):
        protos.from_files([path])


def test_imports_are_found_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.proto").write_text('syntax = "proto3"; package a; message A { string x = 1; }')
    (tmp_path / "b.proto").write_text(
        'syntax = "proto3"; package b; import "a.proto"; service S { rpc M(a.A) returns (a.A); }'
    )
    found = protos.from_files([tmp_path / "b.proto"]).service("b.S")
    assert found is not None and "a.A" in found.messages


def test_a_set_without_its_imports_says_so(tmp_path: Path) -> None:
    from google.protobuf.descriptor_pb2 import FileDescriptorSet

    (tmp_path / "a.proto").write_text('syntax = "proto3"; message A { string x = 1; }')
    (tmp_path / "b.proto").write_text('syntax = "proto3"; import "a.proto"; message B { A a = 1; }')
    whole = FileDescriptorSet.FromString(protos.compile_protos([tmp_path / "b.proto"]))
    cut = FileDescriptorSet(file=[f for f in whole.file if f.name == "b.proto"])
    with pytest.raises(ProtoError) as caught:
        protos.from_set(cut.SerializeToString(), "cut")
    assert caught.value.help == "compile with `--include_imports`"


def test_without_a_protobuf_compiler_there_is_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "grpc_tools", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "grpc_tools" else object())
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(Unavailable) as caught:
        protos.compile_protos([FOLDER / "sample.proto"])
    assert caught.value.hint == "pip install grpcio-tools"


def test_a_running_server_is_asked_by_reflection() -> None:
    import grpc
    from grpc_reflection.v1alpha import reflection

    server = grpc.server(futures.ThreadPoolExecutor(2))
    reflection.enable_server_reflection(["sample.Sample", reflection.SERVICE_NAME], server, pool=pool())
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        found = protos.from_reflection(f"127.0.0.1:{port}").service("sample.Sample")
    finally:
        server.stop(None).wait()
    assert found is not None
    assert found.messages == service("sample.Sample").messages


def test_a_server_without_reflection_says_what_to_do() -> None:
    import grpc

    server = grpc.server(futures.ThreadPoolExecutor(2))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with pytest.raises(
            ProtoError, match=r"does not answer reflection requests: UNIMPLEMENTED: .*$"
        ) as caught:
            protos.from_reflection(f"127.0.0.1:{port}")
    finally:
        server.stop(None).wait()
    assert "protos=[…]" in caught.value.help and "\n" not in str(caught.value)


def test_a_server_that_is_not_there_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protos, "REFLECTION_TIMEOUT", 0.3)
    with pytest.raises(ProtoError, match=r"no answer from 127\.0\.0\.1:1 within 0 s"):
        protos.from_reflection("127.0.0.1:1")
