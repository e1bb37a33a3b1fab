# SPDX-License-Identifier: Apache-2.0
"""A chain is replaced while RPCs pass: each sees one version, none fails, and what was counted stays."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from grpc import aio

from tests.parts import need
from tests.systems.rpc.grpcio.generated import modules, server, servicer
from transect import rpc
from transect.control.protocol import Refused
from transect.emit.py.load import load_text
from transect.rpc.grpcio.attached import Attached

pytestmark = pytest.mark.needs("grpcio")

COUNT = """
from transect.lang import Counter, Param, Tally, counter, param, tally
from transect.rpc import Cause, Code, Element, Forward, Message, Outcome, Reject, Rpc, Verdict


class Ask(Message):
    user: str
    number: int


class Answer(Message):
    number: int


class Count(Element):
    \"\"\"Writes its version into the request and behind that into the reply.\"\"\"

    users: Tally[str, int] = tally(64)
    under_way: int = 0
    ended: Counter = counter()
    most: Param[int] = param(1000000)

    def request(self, rpc: Rpc[Ask, Answer]) -> Verdict:
        if self.users[rpc.msg.user] >= self.most:
            return Reject(Code.RESOURCE_EXHAUSTED, "enough")
        self.users[rpc.msg.user] += 1
        self.under_way += 1
        rpc.msg.number = 1
        return Forward()

    def response(self, rpc: Rpc[Ask, Answer]) -> Verdict:
        rpc.reply.number = rpc.reply.number * 10 + 1
        return Forward()

    def finish(self, rpc: Rpc[Ask, Answer], outcome: Outcome) -> None:
        self.ended.add(1)
        if outcome.cause != Cause.REJECT:
            self.under_way -= 1
"""
PAUSE_S = 0.02  # between the calls of a client: an upgrade needs the processor too
NEXT = (
    COUNT.replace("number = 1\n", "number = 2\n")
    .replace("* 10 + 1", "* 10 + 2")
    .replace("    most: Param", "    added: int = 7\n    most: Param")
    .replace("tally(64)", "tally(128)")
)


@pytest.fixture(params=[True, False], ids=["native", "python"])
def native(request: pytest.FixtureRequest) -> bool:
    if request.param:
        need("gcc")
        need("python-headers")
    return bool(request.param)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """The two versions."""
    first, second = tmp_path / "first.py", tmp_path / "second.py"
    first.write_text(COUNT)
    second.write_text(NEXT)
    return first, second


def until(check: Callable[[], bool], seconds: float = 10.0) -> None:
    limit = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < limit, "it does not come"
        time.sleep(0.005)


def attached(port: int, native: bool, **state: Any) -> tuple[Any, Attached]:
    pb2, pb2_grpc = modules()
    channel: Any = rpc.attach(
        grpc.insecure_channel(f"127.0.0.1:{port}"), [count(**state)], service=pb2, native=native
    )
    return pb2_grpc.EchoStub(channel), channel.chain


def count(**state: Any) -> Any:
    return load_text(COUNT).Count(**state)


def ask(user: str = "alice") -> Any:
    return modules()[0].Ask(user=user, text="hi")


@contextmanager
def loaded(call: Any, threads: int = 4) -> Iterator[list[int]]:
    """What the calls, made by so many threads meanwhile, have answered."""
    stopping, answers = threading.Event(), list[int]()

    def loop(user: str) -> None:
        while not stopping.is_set():
            answers.append(call(user))
            time.sleep(PAUSE_S)

    with ThreadPoolExecutor(threads) as pool:
        running = [pool.submit(loop, f"u{n}") for n in range(threads)]
        try:
            yield answers
        finally:
            stopping.set()
    for one in running:
        one.result()


def passed_by(answers: list[int], more: int) -> None:
    wanted = len(answers) + more
    until(lambda: len(answers) > wanted)


def counted(chain: Attached) -> tuple[int, int, int]:
    """Calls, ends, and calls that have not ended, as the policy has them."""
    until(lambda: chain.settled)
    state = chain.state("Count")
    return sum(n for _, n in state.users.items()), state.ended.value, state.under_way


def test_upgrades_under_load_lose_nothing_and_mix_nothing(native: bool, files: tuple[Path, Path]) -> None:
    with server(servicer()) as (_, port):
        stub, chain = attached(port, native)
        chain.upgrade(files[1], automatic_return=False)  # so that it is compiled
        with loaded(lambda user: stub.Say(ask(user)).number) as answers:
            for turn in range(4):
                passed_by(answers, 20)
                chain.upgrade(files[turn % 2], automatic_return=False)
        assert set(answers) == {11, 22}
        assert chain.number == 6
        assert counted(chain) == (len(answers), len(answers), 0)


def test_an_asyncio_client_and_both_servers_likewise(native: bool, files: tuple[Path, Path]) -> None:
    pb2, pb2_grpc = modules()

    async def calls(stub: Any, chain: Attached) -> list[int]:
        answers: list[int] = []

        async def one(user: str) -> None:
            for _ in range(60):
                answers.append((await stub.Say(ask(user))).number)

        async def upgrades() -> None:
            for turn in range(2):
                await asyncio.to_thread(chain.upgrade, files[(turn + 1) % 2], False)

        await asyncio.gather(upgrades(), *(one(f"u{n}") for n in range(4)))
        return answers

    async def client(port: int) -> None:
        below = aio.insecure_channel(f"127.0.0.1:{port}")
        async with cast(Any, rpc.attach(below, [count()], service=pb2, native=native)) as channel:
            answers = await calls(pb2_grpc.EchoStub(channel), channel.chain)
            assert set(answers) <= {11, 22}
            await asyncio.to_thread(lambda: until(lambda: channel.chain.settled))
            assert counted(channel.chain) == (len(answers), len(answers), 0)

    async def serving() -> None:
        made: Any = rpc.attach(aio.server(), [count()], service=pb2, native=native)
        pb2_grpc.add_EchoServicer_to_server(servicer(), made)
        port = made.add_insecure_port("127.0.0.1:0")
        await made.start()
        async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            answers = await calls(pb2_grpc.EchoStub(channel), made.chain)
        await made.stop(1)
        assert set(answers) <= {11, 22}
        assert await asyncio.to_thread(counted, made.chain) == (len(answers), len(answers), 0)

    def wrap(server: Any) -> Any:
        return rpc.attach(server, [count()], service=pb2, native=native)

    with server(servicer()) as (_, port):
        asyncio.run(client(port))
    asyncio.run(serving())
    with server(servicer(), wrap) as (made, port), grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = pb2_grpc.EchoStub(channel)
        with loaded(lambda user: stub.Say(ask(user)).number) as answers:
            until(lambda: bool(answers))
            made.chain.upgrade(files[1], automatic_return=False)
            before = len(answers)
            until(lambda: len(answers) > before + 20)
        assert set(answers) == {11, 22}
        assert counted(made.chain) == (len(answers), len(answers), 0)


def test_a_stream_ends_on_the_version_that_began_it(native: bool, files: tuple[Path, Path]) -> None:
    with server(servicer()) as (_, port):
        stub, chain = attached(port, native)
        asks: queue.SimpleQueue[Any] = queue.SimpleQueue()
        replies = stub.Chat(iter(asks.get, None))
        asks.put(ask())
        assert next(replies).number == 11
        chain.upgrade(files[1], automatic_return=False)
        assert stub.Say(ask()).number == 22
        asks.put(ask())
        assert next(replies).number == 11
        assert not chain.settled
        # What the old version counts meanwhile is seen by the new one at once, not only in the end.
        until(lambda: chain.state("Count").users["alice"] == 3)
        chain.upgrade(files[0], automatic_return=False)
        asks.put(ask())
        assert next(replies).number == 11
        asks.put(None)
        assert list(replies) == []
        assert counted(chain) == (4, 2, 2), "a message counts, an RPC ends"


def test_state_keeps_its_parameters_and_takes_new_fields(files: tuple[Path, Path]) -> None:
    with server(servicer()) as (_, port):
        stub, chain = attached(port, native=False)
        chain.set("Count", most=5)
        stub.Say(ask())
        told = chain.upgrade(files[1], automatic_return=False)
        assert told["Count.users"].startswith("widen") and told["Count.added"] == "default"
        state = chain.state("Count")
        assert (state.most, state.added, dict(state.users.items())) == (5, 7, {"alice": 1})


CHAIN = """
from {file} import Count
from transect.rpc import Chain

chain = Chain(service="demo.Echo", upstream="127.0.0.1:1", elements=[{elements}])
"""


def test_a_chain_file_replaces_configuration_too(
    native: bool, files: tuple[Path, Path], tmp_path: Path
) -> None:
    with server(servicer()) as (_, port):
        stub, chain = attached(port, native, most=2)
        stub.Say(ask())
        path = tmp_path / "chain.py"
        path.write_text(CHAIN.format(file="second", elements="Count(most=1)"))
        chain.upgrade(path, automatic_return=False)
        assert chain.state("Count").most == 1, "nobody had set it: what the file gives is in force"
        with pytest.raises(grpc.RpcError, match="enough"):
            stub.Say(ask())
        chain.set("Count", most=9)
        path.write_text(CHAIN.format(file="second", elements="Count(most=3), Count()"))
        told = chain.upgrade(path, automatic_return=False)
        assert told["Count.2"] == "new"
        assert chain.elements == ("Count", "Count")
        assert chain.state(0).most == 9, "set live: kept"
        assert stub.Say(ask()).number == 222


def changed(*replacements: tuple[str, str]) -> str:
    text = COUNT
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    return text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("class Count(:", "the new version has errors"),
        (
            "from transect.rpc import Element\nclass Other(Element):\n    pass\n",
            "no policy of the running chain",
        ),
        (
            changed(("    number: int\n\n\nclass A", "    no: int\n\n\nclass A"), ("msg.number", "msg.no")),
            "R001",
        ),
        (
            changed(("[str, int] = tally", "[int, int] = tally"), ("rpc.msg.user", "rpc.msg.number")),
            "the state cannot",
        ),
        (
            changed(("    ended: Counter = counter()\n", ""), ("self.ended.add(1)", "pass")),
            "could not go back",
        ),
    ],
)
def test_what_cannot_run_leaves_the_old_one_serving(text: str, why: str, tmp_path: Path) -> None:
    with server(servicer()) as (_, port):
        stub, chain = attached(port, native=False)
        path = tmp_path / "bad.py"
        path.write_text(text)
        with pytest.raises(Refused, match=why):
            chain.upgrade(path)
        with pytest.raises(Refused, match="is no file"):
            chain.upgrade(tmp_path / "none.py")
        assert (stub.Say(ask()).number, chain.number) == (11, 1)
        assert counted(chain) == (1, 1, 0)


@pytest.mark.parametrize(
    ("code", "why"), [("abort();", "crashed .SIGABRT."), ("for (;;) ;", "does not end within")]
)
def test_code_that_crashes_or_hangs_does_so_in_a_trial(
    code: str, why: str, files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("gcc")
    need("python-headers")
    monkeypatch.setattr("transect.rpc.grpcio.trial.PATIENCE_S", 2.0)
    (tmp_path / "bad.h").write_text(
        f"#include <stdlib.h>\nstatic __attribute__((constructor)) void bad(void) {{ {code} }}\n"
    )
    compiler = tmp_path / "cc"
    compiler.write_text(f'#!/bin/sh\nexec gcc -include {tmp_path}/bad.h "$@"\n')
    compiler.chmod(0o755)
    with server(servicer()) as (_, port):
        stub, chain = attached(port, True)
        monkeypatch.setenv("CC", str(compiler))
        with pytest.raises(Refused, match=why):
            chain.upgrade(files[1], automatic_return=False)
        assert stub.Say(ask()).number == 11


def test_an_upgrade_waits_for_no_one_and_a_recording_is_of_one_version(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    with server(servicer()) as (_, port):
        _, chain = attached(port, native=False)
        chain.record(tmp_path / "log")
        with pytest.raises(Refused, match="a log is of one version"):
            chain.upgrade(files[1], automatic_return=False)
        chain.end_record()
        chain.upgrade(files[1], automatic_return=False)


def test_old_versions_go_when_their_rpcs_have_ended(files: tuple[Path, Path]) -> None:
    """The copy, that is: code which is loaded stays."""
    with server(servicer()) as (_, port):
        stub, chain = attached(port, False)
        first = weakref.ref(chain.now)
        stub.Say(ask())
        chain.upgrade(files[1], automatic_return=False)
        until(lambda: chain.settled)
        assert first() is None
