# SPDX-License-Identifier: Apache-2.0
"""A client's library, an Envoy and a server's library get another version at once; elements move among all three."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.systems.rpc import edge_requests
from tests.systems.rpc.envoy.test_upgrade import crashing_compiler
from tests.systems.rpc.envoy.three import NAMES, Three, three_of
from tests.systems.rpc.grpcio.generated import modules
from tests.systems.rpc.grpcio.test_edge import ask
from tests.systems.rpc.grpcio.test_upgrade import loaded, passed_by, until
from tests.unit.cli.terminal import runner
from transect.cli.exits import Exit
from transect.control.client import Client
from transect.control.protocol import Refused
from transect.rpc.versions.edge import Edge

pytestmark = pytest.mark.needs("envoy", "gcc", "grpcio")


@pytest.fixture
def three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Three]:
    monkeypatch.setattr("transect.control.sockets.folder", lambda: tmp_path / "run")
    with three_of(tmp_path) as it:
        yield it


def test_an_element_moves_among_all_three_under_load(three: Three) -> None:
    edge = Edge.of(NAMES)
    with loaded(lambda user: int(three.stub.Say(ask(user), timeout=20).number)) as answers:
        for place, version in (("front", 2), ("shop", 3), ("web", 1), ("front", 2)):
            passed_by(answers, 20)
            edge.upgrade(three.files(place, version))
        passed_by(answers, 20)
    assert set(answers) == {1111, 2222, 3333}
    whole = (len(answers), 0)
    assert three.counted() == {
        "First": ("web", *whole),
        "Moving": ("front", *whole),
        "Middle": ("front", *whole),
        "Last": ("shop", *whole),
    }
    until(lambda: [p.name for p in (three.folder / "envoy").glob("module-*.sock")] == ["module-5.sock"])
    assert Client("rpc", "front").status()["version"] == 5


def test_what_crashes_when_loaded_changes_nothing_anywhere(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one in the middle refuses, after the one behind it has made itself ready."""
    edge = Edge.of(NAMES)
    assert three.stub.Say(ask("ann")).number == 1111
    with monkeypatch.context() as patch:
        patch.setenv("CC", str(crashing_compiler(three.folder)))
        with pytest.raises(Refused, match="a trial of the new version failed"):
            edge.upgrade(three.files("front", 2))
    assert [Client("rpc", name).status()["version"] for name in NAMES] == [1, 1, 1]
    assert three.stub.Say(ask("ann")).number == 1111
    edge.upgrade(three.files("front", 2))
    assert three.stub.Say(ask("ann")).number == 2222
    assert three.counted()["Moving"] == ("front", 3, 0)


def test_a_dropped_version_is_never_named_and_the_next_one_takes_its_place(three: Three) -> None:
    """The client refuses last: Envoy has loaded the new version by then, and goes on with the old one."""
    edge = Edge.of(NAMES)
    for _ in range(2):
        files = three.files("front", 2)
        files[0].write_text("class X(:")
        with pytest.raises(Refused, match="the new version has errors"):
            edge.upgrade(files)
        assert three.stub.Say(ask("ann")).number == 1111
    edge.upgrade(three.files("shop", 3))
    assert three.stub.Say(ask("ann")).number == 3333
    assert three.counted()["Moving"] == ("shop", 3, 0)


def test_a_dropped_version_hands_on_what_is_named_anew(three: Three) -> None:
    """It stays in Envoy's place for modules until the next one comes, and has to know every name that is used."""
    edge = Edge.of(NAMES)
    files = three.files("front", 2)
    files[0].write_text("class X(:")
    with pytest.raises(Refused, match="the new version has errors"):
        edge.upgrade(files)
    for name in reversed(NAMES):
        Client("rpc", name).ask("edge-join", version="7", stamps=name == NAMES[0])
    assert [three.stub.Say(ask("ann")).number for _ in range(5)] == [1111] * 5


def test_streams_through_dropped_versions_keep_nobody_from_the_next_one(three: Three) -> None:
    edge, over = Edge.of(NAMES), threading.Event()

    def talk() -> Any:
        """A stream that has begun, and whose client says nothing more until the end."""
        call = three.stub.Chat(one for one in [ask("ann"), None] if one is not None or over.wait(60) is None)
        return call, next(call).number

    files = three.files("front", 2)
    broken = three.files("front", 2)
    broken[0] = three.folder / "broken.py"
    broken[0].write_text("class X(:")
    talks = [talk()]
    for _ in range(2):
        with pytest.raises(Refused, match="the new version has errors"):
            edge.upgrade(broken)
        talks.append(talk())
    changing = threading.Thread(target=edge.upgrade, args=(files,))
    changing.start()
    until(lambda: three.stub.Say(ask("ann")).number == 2222, 20)
    over.set()
    assert [number for _, number in talks] == [1111] * 3
    assert [list(call) for call, _ in talks] == [[]] * 3, "they end well"
    changing.join(20)
    assert not changing.is_alive()


def test_a_version_that_envoy_does_not_have_is_refused_there(three: Three) -> None:
    Edge.of(NAMES)
    Client("rpc", "web").ask("edge-join", version="7", stamps=True)
    with pytest.raises(grpc.RpcError, match="this chain has no version 7") as refused:
        three.stub.Say(ask("ann"))
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert three.counted()["Middle"] == ("front", 0, 0)


def test_a_call_that_names_several_versions_is_for_none(three: Three) -> None:
    """Past the first processor, whose stamp stands alone."""
    Client("rpc", "front").ask("edge-join", version="3", stamps=False)
    with grpc.insecure_channel(str(three.envoy.envoy.address)) as channel:
        stub = modules()[1].EchoStub(channel)
        for twice in ("37", "73", "33"):
            with pytest.raises(grpc.RpcError, match="the call names several versions") as refused:
                stub.Say(ask("ann"), metadata=[("x-transect-version", one) for one in twice])
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert three.counted()["Middle"] == ("front", 0, 0)


def test_a_version_that_a_caller_made_up_is_not_heard_by_who_names_it(three: Three) -> None:
    """Here the Envoy is the first one: what it hears of a version comes from outside."""
    for name in ("shop", "front"):
        Client("rpc", name).ask("edge-join", version="1", stamps=name == "front")
    with grpc.insecure_channel(str(three.envoy.envoy.address)) as channel:
        stub = modules()[1].EchoStub(channel)
        for made_up in (["99"], ["2", "99"], ["1", "99"], [""], ["-"]):
            metadata = [("x-transect-version", version) for version in made_up]
            assert stub.Say(ask("ann"), timeout=20, metadata=metadata).number == 11
    assert three.counted()["Last"] == ("shop", 5, 0)


def test_alone_it_is_not_upgraded_and_the_command_upgrades_all(
    three: Three, capsys: pytest.CaptureFixture[str]
) -> None:
    run = runner(capsys)
    files = three.files("front", 2)
    pairs = [f"{name}={file}" for name, file in zip(NAMES, files, strict=True)]
    done = run("rpc", "upgrade", *pairs)
    assert done.code == Exit.DONE, done.out + done.err
    assert three.stub.Say(ask("ann")).number == 2222
    for name, file in (("front", files[1]), ("web", files[0])):
        alone = run("rpc", "upgrade", file, name)
        assert alone.code == Exit.NO
        assert "it is one of several processors of an edge" in alone.err
        assert "transect rpc upgrade NAME=FILE" in alone.err
    again = run("rpc", "upgrade", *(f"{n}={f}" for n, f in zip(NAMES, three.files("web", 1), strict=True)))
    assert again.code == Exit.DONE, again.out + again.err
    assert three.stub.Say(ask("ann")).number == 1111
    assert three.counted()["Moving"] == ("web", 2, 0)


def test_requests_against_the_protocol_are_refused_and_change_nothing(three: Three) -> None:
    edge = Edge.of(NAMES)
    front, file = NAMES[1], three.files("front", 2)[1]
    state = Client("rpc", front).ask("edge-state")
    edge_requests.refused(front, edge_requests.before_a_change(state, file))
    edge_requests.wrong(front, edge_requests.mistyped(state, file))
    assert three.stub.Say(ask("ann")).number == 1111
    edge.upgrade(three.files("front", 2))
    state = Client("rpc", front).ask("edge-state")
    edge_requests.refused(front, edge_requests.after_a_change(state))
    assert three.stub.Say(ask("ann")).number == 2222
