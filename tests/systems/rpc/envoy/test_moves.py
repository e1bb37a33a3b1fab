# SPDX-License-Identifier: Apache-2.0
"""A client's library, an Envoy and a server's library get another version at once; elements move among all three."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.systems.rpc.envoy.test_upgrade import crashing_compiler
from tests.systems.rpc.grpcio.generated import modules, server, servicer
from tests.systems.rpc.grpcio.test_edge import ask, chain_file, text
from tests.systems.rpc.grpcio.test_upgrade import loaded, passed_by, until
from tests.unit.cli.terminal import runner
from transect import rpc
from transect.base.diagnostic import Diagnostics
from transect.cli.exits import Exit
from transect.control.client import Client
from transect.control.host import verbs_of
from transect.control.protocol import Refused
from transect.control.server import Server
from transect.core.codec import decode_state
from transect.core.schema import Schema
from transect.emit.py.load import load_text
from transect.rpc.chain_file import read_chain
from transect.rpc.deploy import Deployed, bound, deploy
from transect.rpc.edge import Edge
from transect.rpc.envoy.host import EnvoyHost
from transect.rpc.envoy.part import EnvoyPart
from transect.rpc.several import unpacked
from transect.rpc.upgrade import Version

pytestmark = pytest.mark.needs("envoy", "gcc", "grpcio")

ECHO = Path(__file__).parents[1] / "grpcio" / "echo.proto"
PROTOS = ', protos=["echo.proto"]'
NAMES = ("web", "front", "shop")  # in the order in which a request passes them
PLACES = {  # of the element that moves: what each of the three has then
    "web": ("First Moving", "Middle", "Last"),
    "front": ("First", "Moving Middle", "Last"),
    "shop": ("First", "Middle", "Moving Last"),
}


@dataclass(frozen=True)
class Three:
    stub: Any
    envoy: Deployed
    folder: Path
    port: int  # of the service

    def files(self, place: str, version: int) -> list[Path]:
        """A chain file for each, with the moving element at one of them."""
        return [
            chain_file(self.folder, f"{name}_{version}", version, elements.split(), self.port, PROTOS)
            for name, elements in zip(NAMES, PLACES[place], strict=True)
        ]

    def counted(self) -> dict[str, tuple[str, int, int]]:
        """Of each element: where it is, and how many calls it has counted, and holds for under way."""
        found = {}
        for name in NAMES:
            for one in Client("rpc", name).ask("edge-state"):
                schema = Schema.from_json(one["schema"])
                state = decode_state(schema.declared, unpacked(one["image"]))
                calls = sum(n for _, n in state["users"].value)
                found[one["name"]] = (name, calls, state["under_way"].value)
        return found


@contextmanager
def front(path: Path, folder: Path) -> Iterator[Deployed]:
    """A chain file in an Envoy, under the name `front`."""
    read, diagnostics = read_chain(path), Diagnostics()
    assert read.chain is not None, [d.message for d in read.diagnostics]
    binding = bound(read.chain, diagnostics)
    assert binding is not None, [d.message for d in diagnostics]
    with deploy(read.chain, binding, folder, workers=2) as deployed:
        version = Version.of_chain(read.chain, read.sources)
        host = EnvoyHost("front", deployed.control, binding, read.sources, {}, deployed, version)
        verbs = verbs_of(host) | {"edge-state": host.state} | EnvoyPart(host).verbs()
        with Server("rpc", "front", verbs):
            yield deployed


@pytest.fixture
def three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Three]:
    monkeypatch.setattr("transect.control.places.folder", lambda: tmp_path / "run")
    (tmp_path / ECHO.name).write_bytes(ECHO.read_bytes())
    pb2, pb2_grpc = modules()
    policies = load_text(text(1))

    def behind(made: Any) -> Any:
        return rpc.attach(made, [policies.Last()], service=pb2, native=False, name="shop")

    with ExitStack() as stack:
        served, port = stack.enter_context(server(servicer(), behind))
        stack.callback(served.chain.close)
        (tmp_path / "start").mkdir()
        (tmp_path / "start" / ECHO.name).write_bytes(ECHO.read_bytes())
        path = chain_file(tmp_path / "start", "front", 1, ["Middle"], port, PROTOS)
        envoy = stack.enter_context(front(path, tmp_path / "envoy"))
        below = grpc.insecure_channel(str(envoy.envoy.address))
        here = [policies.First(), policies.Moving()]
        channel: Any = rpc.attach(below, here, service=pb2, native=False, name="web")
        stack.callback(channel.close)
        stack.callback(channel.chain.close)
        yield Three(pb2_grpc.EchoStub(channel), envoy, tmp_path, port)


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


def test_a_version_that_envoy_does_not_have_is_refused_there(three: Three) -> None:
    Edge.of(NAMES)
    Client("rpc", "web").ask("edge-join", version="7", stamps=True)
    with pytest.raises(grpc.RpcError, match="this chain has no version 7") as refused:
        three.stub.Say(ask("ann"))
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert three.counted()["Middle"] == ("front", 0, 0)


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
