# SPDX-License-Identifier: Apache-2.0
"""What breaks between and within the processors of an edge: nothing hangs, no RPC is processed twice or by half a
chain, and what is said says what happened."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.systems.rpc.envoy.relay import Relay, relayed
from tests.systems.rpc.envoy.three import NAMES, Three, first, front, three_of
from tests.systems.rpc.grpcio.generated import modules
from tests.systems.rpc.grpcio.test_edge import ask
from tests.systems.rpc.grpcio.test_upgrade import loaded, passed_by, until
from transect.control.client import Client
from transect.control.protocol import Refused
from transect.rpc.versions.edge import Ask, Edge, processor

pytestmark = pytest.mark.needs("envoy", "gcc", "grpcio")

LATE, GONE = grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE


class Caller:
    """Each call has a name of its own."""

    def __init__(self, three: Three) -> None:
        self.three = three
        self.calls = 0

    def say(self, timeout: float = 20, wait: bool = False) -> int:
        """What the elements have made of a 0."""
        self.calls += 1
        ask = modules()[0].Ask(user="ann", text=f"call {self.calls}")
        return int(self.three.stub.Say(ask, timeout=timeout, wait_for_ready=wait).number)

    def fails(self, timeout: float) -> grpc.StatusCode:
        """How a call ends, which must be soon."""
        began = time.monotonic()
        with pytest.raises(grpc.RpcError) as caught:
            self.say(timeout)
        assert time.monotonic() - began < timeout + 5
        code: grpc.StatusCode = caught.value.code()
        return code

    def whole(self, most: int) -> None:
        """The service has seen no call twice, each with what all elements before it have made of it; and nobody holds
        one for under way.  `most`: calls that ended without the caller's hearing of it."""
        seen = Counter(ask.text for ask in self.three.seen)
        assert max(seen.values()) == 1
        assert {ask.number for ask in self.three.seen} <= {1111, 2222}
        until(lambda: all(under_way == 0 for _, _, under_way in self.three.counted().values()))
        counted = {name: calls for name, (_, calls, _) in self.three.counted().items()}
        assert counted["First"] == counted["Moving"] == self.calls
        assert self.calls - most <= len(seen) == counted["Last"] <= self.calls


@contextmanager
def cut_between(folder: Path) -> Iterator[tuple[Caller, Relay]]:
    relays: list[Relay] = []

    @contextmanager
    def between(port: int) -> Iterator[int]:
        with relayed(port) as relay:
            relays.append(relay)
            yield relay.port

    with three_of(folder, between) as three:
        yield Caller(three), relays[0]


@pytest.fixture(autouse=True)
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transect.control.sockets.folder", lambda: tmp_path / "run")


def test_a_network_that_stands_still_and_breaks_off_and_heals(tmp_path: Path) -> None:
    with cut_between(tmp_path) as (caller, relay):
        assert caller.say() == 1111
        relay.stall()
        assert caller.fails(0.5) is LATE
        relay.heal()
        assert caller.say() == 1111
        relay.cut()
        assert caller.fails(10) is GONE
        relay.heal()
        assert caller.say() == 1111
        caller.whole(2)


def test_versions_change_while_the_network_stands_still(tmp_path: Path) -> None:
    """Those who ask for the change do not go over that network; an RPC that waits there ends on its own version."""
    with cut_between(tmp_path) as (caller, relay):
        edge = Edge.of(NAMES)
        assert caller.say() == 1111
        relay.stall()
        assert caller.fails(0.3) is LATE
        edge.upgrade(caller.three.files("front", 2))
        relay.heal()
        assert caller.say() == 2222
        caller.whole(1)


def test_an_envoy_that_is_killed_and_starts_anew(tmp_path: Path) -> None:
    with ExitStack() as stack:
        three = stack.enter_context(three_of(tmp_path))
        caller, edge = Caller(three), Edge.of(NAMES)
        assert caller.say() == 1111
        os.kill(three.envoy.envoy.pid, signal.SIGKILL)
        three.envoy.envoy.process.wait(10)
        assert caller.fails(10) is GONE
        with pytest.raises(Refused, match="does not answer"):
            Client("rpc", "front").status()
        with pytest.raises(Refused, match="does not answer"):
            edge.upgrade(three.files("front", 2))
        assert [Client("rpc", name).status()["version"] for name in ("web", "shop")] == [1, 1]
        listen = f', listen="{three.envoy.envoy.address}"'
        three.close_front()
        stack.enter_context(front(first(tmp_path, three.port, listen), tmp_path / "again"))
        assert caller.say(wait=True) == 1111
        again = Edge.of(NAMES)
        assert again.version == edge.version == 1, "it takes the name that the others have"
        assert caller.say() == 1111
        again.upgrade(three.files("shop", 2, listen))
        assert caller.say() == 2222
        caller.whole(1)
        assert three.counted()["Moving"] == ("shop", 5, 0), "its state was not in the Envoy"


class Killed(Exception):
    """As if who asks were killed: nothing more is asked."""


def killed_after(verb: str, name: str) -> Edge:
    """Who asks has its answer to this verb from this instance, and is killed."""

    def asks(one: str) -> Ask:
        def ask(of: str, **arguments: Any) -> Any:
            told = processor(one)(of, **arguments)
            if (of, one) == (f"edge-{verb}", name):
                raise Killed
            return told

        return ask

    return Edge([asks(name) for name in NAMES], NAMES)


def test_no_call_fails_wherever_a_command_is_killed_and_the_next_one_ends_it(tmp_path: Path) -> None:
    with three_of(tmp_path) as three:
        edge = Edge.of(NAMES)
        with loaded(lambda user: int(three.stub.Say(ask(user), timeout=20).number)) as answers:
            cuts = [("stage", "front"), ("stage", "web"), ("commit", "web"), ("commit", "front")]
            for turn, (verb, name) in enumerate(cuts):
                cut = killed_after(verb, name)
                cut.version = cut.known = edge.version
                with pytest.raises(Killed):
                    cut.upgrade(three.files("front" if turn % 2 else "shop", turn + 2))
                passed_by(answers, 20)
                edge = Edge.of(NAMES)
                assert (edge.version == cut.known) is (verb == "commit")
                passed_by(answers, 20)
            edge.upgrade(three.files("front", 1))
            passed_by(answers, 20)
        assert set(answers) == {1111, 4444, 5555}
        counted = three.counted()
        assert {name: one for name, (_, one, _) in counted.items()} == dict.fromkeys(counted, len(answers))
