# SPDX-License-Identifier: Apache-2.0
"""A version that decides beside the one in force: the same by the host of every stratum, and in force in none."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import msgspec
import pytest

import transect
import transect.rpc
from tests.unit.control import hosts
from tests.unit.control.acl import ACL
from tests.unit.llm.test_service import Rig
from transect.base.shipped import path_of
from transect.control import Operated, Refused
from transect.control.answers import Shadow, Status, Upgraded
from transect.llm.host import LlmHost
from transect.rpc import echo
from transect.rpc.grpcio.host import GrpcioHost

FED = [name for name in hosts.EVERY if name not in ("cpu", "memory")]  # those whose stand-ins write a log


@pytest.fixture(params=FED)
def given(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[hosts.Given]:
    yield hosts.EVERY[request.param](tmp_path, monkeypatch)


def until(true: Callable[[], object], what: str) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def conforms(answer: object, schema: type[Any]) -> None:
    plain = json.loads(json.dumps(answer))
    assert msgspec.convert(plain, schema) == plain


# ---------------------------------------------------------------- every host


def test_it_begins_is_shown_and_ends(given: hosts.Given) -> None:
    operated, before = given.operated, given.operated.status()
    assert "shadow" not in before
    begun = operated.shadow(str(given.newer))
    conforms(begun, Shadow)
    status = operated.status()
    conforms(status, Status)
    assert status["shadow"]["file"] == str(given.newer) and not status["shadow"]["ended"]
    assert (status["recording"], status["version"]) == (None, 1)
    assert status["policies"] == before["policies"]
    ended = operated.shadow_stop()
    conforms(ended, Shadow)
    assert ended["ended"] and "shadow" not in operated.status()
    assert operated.host.recording is None
    with pytest.raises(Refused) as none:
        operated.shadow_stop()
    assert none.value.hint == f"begin with `transect {operated.stratum} upgrade FILE shop --shadow`"


def test_a_parameter_that_is_set_begins_it_anew(given: hosts.Given) -> None:
    operated = given.operated
    operated.shadow(str(given.newer))
    assert operated.set("limit", "7")["before"] == "5"
    shadow = operated.status()["shadow"]
    assert (shadow["begun_anew"], shadow["ended"]) == (1, "")
    operated.shadow_stop()
    assert operated.set("limit", "5")["before"] == "7"


def test_it_is_in_the_way_of_a_recording(given: hosts.Given, tmp_path: Path) -> None:
    operated = given.operated
    operated.shadow(str(given.newer))
    ends = f"`transect {operated.stratum} upgrade shop --shadow --stop` ends the shadow, which needs one"
    with pytest.raises(Refused, match="a shadow decides beside it") as no:
        operated.record_start(str(tmp_path / "log"))
    assert no.value.hint == ends and not (tmp_path / "log").exists()
    operated.shadow_stop()
    operated.record_start(str(tmp_path / "log"))
    with pytest.raises(Refused, match="it records"):
        operated.shadow(str(given.newer))
    operated.record_stop()


def test_an_upgrade_ends_it_and_says_so(given: hosts.Given, tmp_path: Path) -> None:
    operated = given.operated
    operated.shadow(str(given.newer))
    (tmp_path / "empty.py").write_text("# nothing\n")
    with pytest.raises(Refused):
        operated.upgrade(str(tmp_path / "empty.py"))
    assert not operated.status()["shadow"]["ended"], "an upgrade that is refused changes nothing"
    upgraded = operated.upgrade(str(given.newer))
    conforms(upgraded, Upgraded)
    assert upgraded["shadow"]["ended"] and upgraded["version"] == 2
    assert "shadow" not in operated.status() and operated.host.recording is None


def test_a_version_that_cannot_decide_is_refused(given: hosts.Given, tmp_path: Path) -> None:
    operated, wrong = given.operated, tmp_path / "wrong.py"
    wrong.write_text(
        given.newer.read_text().replace("limit: Param[int] = param(5)", "limit: Param[int] = 5 +")
    )
    with pytest.raises(Refused, match="the new version cannot decide beside this one"):
        operated.shadow(str(wrong))
    assert "shadow" not in operated.status() and operated.host.recording is None
    assert operated.set("limit", "7")["before"] == "5"


def test_schedulers_have_none_and_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = hosts.EVERY["cpu"](tmp_path, monkeypatch)
    with pytest.raises(Refused, match="cpu has no shadows; rpc, llm and memory have"):
        given.operated.shadow(str(given.newer))
    assert given.operated.host.recording is None and "shadow" not in given.operated.status()


# ---------------------------------------------------------------- what it hears


class Queue:
    """A queue of requests under random work, with its operator."""

    def __init__(self, folder: Path, policy: str) -> None:
        self.rig = Rig(policy, folder)
        self.operated = Operated("llm", "shop", LlmHost(self.rig.service, "gateway"))
        self.rig.work(30)

    def shadow(self, newer: Path) -> Shadow:
        self.operated.shadow(str(newer))
        self.rig.work(60)
        return self.operated.shadow_stop()


@pytest.mark.parametrize("policy", ["fair_share", "vtc", "rpm", "lanes"])
def test_the_same_version_decides_the_same(policy: str, tmp_path: Path) -> None:
    newer = tmp_path / "newer.py"
    newer.write_text(path_of(policy).read_text().replace("from .", "from transect.examples.llm."))
    told = Queue(tmp_path, policy).shadow(newer)
    assert told["compared"] > 20, told
    assert (told["otherwise"], told["skipped"], told["begun_anew"]) == (0, {}, 0)


def test_it_says_who_would_have_been_picked_instead(tmp_path: Path) -> None:
    """Each pick is compared on who truly waits; and what is in force picks as if nobody looked on."""
    worst = tmp_path / "worst.py"
    worst.write_text(path_of("vtc").read_text().replace("return min(", "return max("))
    (tmp_path / "alone").mkdir()
    alone = Rig("vtc", tmp_path / "alone")
    alone.work(90)
    queue = Queue(tmp_path, "vtc")
    told = queue.shadow(worst)
    assert queue.rig.picked == alone.picked
    assert 0 < told["otherwise"] <= told["compared"] and sum(told["whom"].values()) == told["otherwise"]
    assert set(told["whom"]) <= {"ann", "ben", "cleo", "dan"}
    first = told["first"][0]
    assert first["hook"].endswith(".pick") and first["was"] == first["who"] != first["now"]


@pytest.fixture
def service() -> Iterator[str]:
    server, port = echo.serve(0)
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


class Caller:
    """A client whose calls pass a chain, with its operator."""

    def __init__(self, folder: Path, target: str, native: bool | None) -> None:
        self.folder = folder
        elements = [transect.load(ACL).Acl()]
        self.plain = grpc.insecure_channel(target)
        channel: Any = transect.rpc.attach(self.plain, elements, service=echo.DESCRIPTOR, native=native)
        self.chain = channel.chain
        self.operated = Operated("rpc", "shop", GrpcioHost(channel.chain))
        self.stub = echo.Stub(channel)
        self.say("before")

    def newer(self, old: str, new: str) -> str:
        assert old in ACL
        path = self.folder / "newer.py"
        path.write_text(ACL.replace(old, new))
        return str(path)

    def say(self, tenant: str) -> str:
        try:
            return str(self.stub.Say(echo.Ask(text="hi"), metadata=(("x-tenant", tenant),)).text)
        except grpc.RpcError as error:
            return str(error.code().name)


@pytest.fixture(params=[True, False], ids=["native", "Python"])
def caller(request: pytest.FixtureRequest, tmp_path: Path, service: str) -> Iterator[Caller]:
    made = Caller(tmp_path, service, request.param)
    yield made
    made.chain.close()
    made.plain.close()


def test_it_says_for_whom_a_call_would_have_been_refused(caller: Caller) -> None:
    caller.operated.shadow(caller.newer('"bob"', '"eve"'))
    assert [caller.say(who) for who in ("ann", "bob", "eve", "ann")] == [
        "hi",
        "PERMISSION_DENIED",
        "hi",
        "hi",
    ]
    until(lambda: caller.operated.status()["shadow"]["compared"] == 4, "all were compared")
    told = caller.operated.shadow_stop()
    assert told["whom"] == {"bob": 1, "eve": 1} and told["skipped"] == {}
    assert [(row["who"], row["was"][:7], row["now"][:7]) for row in told["first"]] == [
        ("bob", "Reject(", "Forward"),
        ("eve", "Forward", "Reject("),
    ]


def test_calls_that_are_lost_let_it_begin_anew_and_are_counted(caller: Caller) -> None:
    """The state beside would be another one for ever."""
    caller.operated.shadow(caller.newer('"bob"', '"eve"'))
    shadow = caller.operated._shadow
    assert shadow is not None and shadow._term is not None
    caller.say("ann")
    until(lambda: caller.operated.status()["shadow"]["compared"] == 1, "the first was compared")
    recording: Any = caller.operated.host
    writer = recording._chain.recording._writer
    writer.add, add = lambda record: writer.drop() or False, writer.add
    caller.say("ann")
    writer.add = add
    caller.say("bob")
    until(lambda: caller.operated.status()["shadow"]["begun_anew"] == 1, "it begins anew")
    caller.say("eve")
    until(lambda: caller.operated.status()["shadow"]["whom"] == {"eve": 1}, "it goes on")
    assert caller.operated.shadow_stop()["skipped"] == {"they were lost, or came too late": 2}


def test_a_version_without_the_hook_does_nothing_in_it(caller: Caller) -> None:
    handler = ACL[ACL.index("    def request") :]
    caller.operated.shadow(caller.newer(handler, ""))
    assert [caller.say(who) for who in ("ann", "bob")] == ["hi", "PERMISSION_DENIED"]
    told = caller.operated.shadow_stop()
    assert (told["compared"], told["whom"]) == (2, {"bob": 1}), told
    assert told["first"][0]["now"] == "Forward()"


def test_a_header_that_is_written_otherwise_is_a_difference(caller: Caller) -> None:
    write = '        rpc.headers.set("x-new", "1")\n        return Forward()'
    caller.operated.shadow(caller.newer("        return Forward()", write))
    caller.say("ann")
    caller.say("bob")
    (row,) = caller.operated.shadow_stop()["first"]
    assert row["who"] == "ann" and row["now"] == f"{row['was']}, set(headers, 'x-new', '1')"


def test_what_the_version_in_force_does_not_ask_is_not_decided(caller: Caller) -> None:
    caller.operated.shadow(caller.newer('"x-tenant"', '"x-other"'))
    caller.say("ann")
    told = caller.operated.shadow_stop()
    assert (told["compared"], told["otherwise"]) == (0, 0)
    assert told["skipped"] == {"it asks `rpc.Headers.get` what the version in force does not ask": 1}


def test_a_call_that_takes_long_is_given_up_and_nobody_waits(caller: Caller) -> None:
    count = "        self.calls += 1\n"
    loops = "        for i in range(3000):\n            for j in range(3000):\n        "
    caller.operated.shadow(caller.newer(count, f"{loops}{count}"))
    began = time.monotonic()
    assert caller.say("ann") == "hi"
    assert time.monotonic() - began < 1
    until(lambda: caller.operated.status()["shadow"]["skipped"], "it was given up")
    assert caller.operated.shadow_stop()["skipped"] == {"a call takes longer than 1 s": 1}


def test_a_shadow_whose_process_is_killed_has_ended_and_what_runs_goes_on(caller: Caller) -> None:
    caller.operated.shadow(caller.newer('"bob"', '"eve"'))
    shadow = caller.operated._shadow
    assert shadow is not None and shadow._term is not None
    shadow._term.process.kill()
    until(lambda: caller.operated.status()["shadow"]["ended"], "it has ended")
    assert caller.operated.status()["shadow"]["ended"] == "its process has ended (-9)"
    assert caller.say("bob") == "PERMISSION_DENIED" and caller.operated.host.recording is None


def test_the_disk_gets_back_what_was_read(caller: Caller) -> None:
    caller.operated.shadow(caller.newer('"bob"', '"eve"'))
    shadow = caller.operated._shadow
    assert shadow is not None and shadow._term is not None
    log = shadow._term.folder / "log"
    for _ in range(400):
        caller.say("ann")
    until(lambda: caller.operated.status()["shadow"]["compared"] == 400, "all were compared")
    assert log.stat().st_size > 40_000
    assert log.stat().st_blocks * 512 <= 8192
    caller.operated.shadow_stop()
    assert not log.parent.exists()
