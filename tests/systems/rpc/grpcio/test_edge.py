# SPDX-License-Identifier: Apache-2.0
"""Two processors, a client's library and a server's, get another version at once; an element moves with its state."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.parts import need
from tests.systems.rpc import edge_requests
from tests.systems.rpc.grpcio.generated import modules, server, servicer
from tests.systems.rpc.grpcio.test_upgrade import loaded, passed_by
from transect import rpc
from transect.control.client import Client
from transect.control.protocol import Refused
from transect.emit.py.load import load_text
from transect.rpc.grpcio.attached import Attached
from transect.rpc.grpcio.handle import VERSION_HEADER
from transect.rpc.versions.edge import Edge

pytestmark = pytest.mark.needs("grpcio")

ELEMENT = """
class {name}(Element):
    users: Tally[str, int] = tally(64)
    under_way: int = 0

    def request(self, rpc: Rpc[Ask, Answer]) -> Verdict:
        self.users[rpc.msg.user] += 1
        self.under_way += 1
        rpc.msg.number = rpc.msg.number * 10 + {version}
        return Forward()

    def finish(self, rpc: Rpc[Ask, Answer], outcome: Outcome) -> None:
        self.under_way -= 1
"""
HEAD = """
from transect.lang import Tally, tally
from transect.rpc import Chain, Element, Forward, Message, Outcome, Rpc, Verdict


class Ask(Message):
    user: str
    number: int


class Answer(Message):
    number: int
"""
NAMES = ("First", "Moving", "Middle", "Last")


def text(version: int) -> str:
    return HEAD + "\n".join(ELEMENT.format(name=name, version=version) for name in NAMES)


def chain_file(
    folder: Path, name: str, version: int, elements: list[str], port: int = 1, more: str = ""
) -> Path:
    path = folder / f"{name}.py"
    listed = ", ".join(f"{element}()" for element in elements)
    chain = f'\nchain = Chain(service="demo.Echo", upstream="127.0.0.1:{port}", elements=[{listed}]{more})\n'
    path.write_text(text(version) + chain)
    return path


@pytest.fixture(params=[True, False], ids=["native", "python"])
def native(request: pytest.FixtureRequest) -> bool:
    if request.param:
        need("gcc")
        need("python-headers")
    return bool(request.param)


@pytest.fixture
def both(
    native: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Any, Attached, Attached]]:
    """A stub, and the chains of its client and of the server, which can be reached by their names."""
    monkeypatch.setattr("transect.control.sockets.folder", lambda: tmp_path / "run")
    pb2, pb2_grpc = modules()
    policies = load_text(text(1))

    def wrap(made: Any) -> Any:
        return rpc.attach(made, [policies.Last()], service=pb2, native=native, name="server")

    with server(servicer(), wrap) as (made, port):
        channel: Any = rpc.attach(
            grpc.insecure_channel(f"127.0.0.1:{port}"),
            [policies.First(), policies.Moving()],
            service=pb2,
            native=native,
            name="client",
        )
        yield pb2_grpc.EchoStub(channel), channel.chain, made.chain
        channel.close()
        channel.chain.close()
        made.chain.close()


def edge() -> Edge:
    """As another process sees it."""
    return Edge.of(["client", "server"])


def counted(chain: Attached, element: str) -> tuple[int, int]:
    state = chain.state(element)
    return sum(n for _, n in state.users.items()), state.under_way


def ask(user: str) -> Any:
    return modules()[0].Ask(user=user)


def test_moves_under_load_lose_nothing_and_mix_nothing(
    both: tuple[Any, Attached, Attached], tmp_path: Path
) -> None:
    stub, client, served = both
    here = [
        chain_file(tmp_path, "here_client", 1, ["First", "Moving"]),
        chain_file(tmp_path, "here_server", 1, ["Last"]),
    ]
    there = [
        chain_file(tmp_path, "there_client", 2, ["First"]),
        chain_file(tmp_path, "there_server", 2, ["Moving", "Last"]),
    ]
    it = edge()
    for files in (there, here):
        it.upgrade(files)  # so that they are compiled
    with loaded(lambda user: stub.Say(ask(user)).number) as answers:
        for turn in range(3):
            passed_by(answers, 30)
            it.upgrade(there if turn % 2 == 0 else here)
        passed_by(answers, 30)
    assert set(answers) == {111, 222}
    assert (client.elements, served.elements) == (("First",), ("Moving", "Last"))
    whole = (len(answers), 0)
    assert [counted(client, "First"), counted(served, "Moving"), counted(served, "Last")] == [whole] * 3


@pytest.mark.parametrize("native", [False], indirect=True)
def test_when_one_refuses_all_go_on(both: tuple[Any, Attached, Attached], tmp_path: Path) -> None:
    stub, client, served = both
    fine = chain_file(tmp_path, "fine", 2, ["First", "Moving"])
    broken = tmp_path / "broken.py"
    broken.write_text("class X(:")
    it = edge()
    for files in ([fine, broken], [broken, chain_file(tmp_path, "last", 2, ["Last"])]):
        with pytest.raises(Refused, match="the new version has errors"):
            it.upgrade(files)
        assert stub.Say(ask("alice")).number == 111
    with pytest.raises(Refused, match="nothing continues Moving"):
        it.upgrade([chain_file(tmp_path, "less", 2, ["First"]), chain_file(tmp_path, "last", 2, ["Last"])])
    assert (client.number, served.number, it.version) == (1, 1, 1)
    assert stub.Say(ask("alice")).number == 111


@pytest.mark.parametrize("native", [False], indirect=True)
def test_a_version_that_a_processor_does_not_have_is_refused_there(
    both: tuple[Any, Attached, Attached],
) -> None:
    stub, client, _ = both
    edge()
    with pytest.raises(grpc.RpcError, match="this chain has no version 7") as refused:
        Client("rpc", "client").ask("edge-join", version="7", stamps=True)
        stub.Say(ask("alice"))
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert counted(client, "First") == (1, 0)


@pytest.mark.parametrize("native", [False], indirect=True)
def test_requests_against_the_protocol_are_refused_and_change_nothing(
    both: tuple[Any, Attached, Attached], tmp_path: Path
) -> None:
    stub, client, served = both
    it = edge()
    file = chain_file(tmp_path, "moved", 2, ["Moving", "Middle", "Last"])
    state = Client("rpc", "server").ask("edge-state")
    edge_requests.refused("server", edge_requests.before_a_change(state, file))
    edge_requests.wrong("server", edge_requests.mistyped(state, file))
    assert stub.Say(ask("alice")).number == 111
    it.upgrade([chain_file(tmp_path, "first", 2, ["First"]), file])
    state = Client("rpc", "server").ask("edge-state")
    edge_requests.refused("server", edge_requests.after_a_change(state))
    assert stub.Say(ask("alice")).number == 2222
    assert (client.number, served.number) == (2, 2)


@pytest.mark.parametrize("native", [False], indirect=True)
def test_who_comes_to_name_the_version_no_longer_hears_of_one(both: tuple[Any, Attached, Attached]) -> None:
    """A server that stood behind others, and is the first one now: what it hears comes from outside."""
    stub = both[0]
    edge()
    Client("rpc", "server").ask("edge-join", version="1", stamps=True)
    Client("rpc", "client").ask("edge-join", version="7", stamps=True)
    assert stub.Say(ask("alice")).number == 111


@pytest.mark.parametrize("native", [False], indirect=True)
def test_the_first_processor_names_the_version_whatever_a_caller_says(
    both: tuple[Any, Attached, Attached],
) -> None:
    edge()
    assert both[0].Say(ask("alice"), metadata=((VERSION_HEADER, "7"),)).number == 111


def test_who_reaches_a_processor_behind_the_first_is_taken_at_its_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing proves the header: docs/rpc.md says whom to keep from there."""
    monkeypatch.setattr("transect.control.sockets.folder", lambda: tmp_path / "run")
    pb2, pb2_grpc = modules()
    last = load_text(text(1)).Last()

    def wrap(made: Any) -> Any:
        return rpc.attach(made, [last], service=pb2, native=False, name="server")

    with server(servicer(), wrap) as (made, port), grpc.insecure_channel(f"127.0.0.1:{port}") as past:
        stub = pb2_grpc.EchoStub(past)
        Client("rpc", "server").ask("edge-join", version="3", stamps=False)
        assert stub.Say(ask("mallory"), metadata=((VERSION_HEADER, "3"),)).number == 1
        with pytest.raises(grpc.RpcError, match="this chain has no version 7"):
            stub.Say(ask("mallory"), metadata=((VERSION_HEADER, "7"),))
        for twice in ("3", "7"), ("7", "3"), ("3", "3"):
            with pytest.raises(grpc.RpcError, match="the call names several versions"):
                stub.Say(ask("mallory"), metadata=[(VERSION_HEADER, name) for name in twice])
        assert counted(made.chain, "Last") == (1, 0)
        made.chain.close()
