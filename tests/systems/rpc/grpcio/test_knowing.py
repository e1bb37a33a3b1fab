# SPDX-License-Identifier: Apache-2.0
"""A grpcio server that knows whose each RPC is: handlers, a chain and turns see its tenant, none can be forged."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio

from tests.systems.rpc.grpcio.generated import modules
from tests.systems.rpc.grpcio.policies import Once
from tests.unit.identity.door import Scheduler, attached
from transect.base.tenant import number_of
from transect.examples.fair_share import FairShare
from transect.examples.rpc.identify import Identify
from transect.identity import HEADER, Keys, current, speaking
from transect.rpc import (
    attach,
    digest,
    know_callers,
    take_turns,
)

pytestmark = pytest.mark.needs("grpcio")


def told(context: Any) -> str:
    """What a handler finds: the metadata, what its thread works for, and how much time is left."""
    caller = current()
    named = ",".join(str(value) for key, value in context.invocation_metadata() if key == HEADER)
    left = "ever" if caller.deadline is None else f"{caller.deadline - time.monotonic():.1f}"
    return f"{named} {caller.tenant} {left}"


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    path = tmp_path / "identity.key"
    path.touch(0o600)
    path.write_text("ab" * 32)
    return Keys(path)


@contextmanager
def serving(file: Path, around: Callable[[Any], Any] = lambda server: server) -> Iterator[Any]:
    pb2, pb2_grpc = modules()

    class Echo(pb2_grpc.EchoServicer):  # type: ignore[misc,name-defined]
        def Say(self, request: Any, context: Any) -> Any:
            return pb2.Answer(text=told(context))

        def Many(self, request: Any, context: Any) -> Iterator[Any]:
            for _ in range(3):
                time.sleep(0.01)  # others run in this thread meanwhile, or this one in others
                yield pb2.Answer(text=told(context))

    with ThreadPoolExecutor(4) as pool:
        server = around(know_callers(grpc.server(pool, options=[("grpc.so_reuseport", 0)]), file))
        pb2_grpc.add_EchoServicer_to_server(Echo(), server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                yield pb2_grpc.EchoStub(channel)
        finally:
            server.stop(0).wait()


def say(stub: Any, *words: str, **more: Any) -> str:
    return str(
        stub.Say(modules()[0].Ask(user="u", text="t"), metadata=[(HEADER, w) for w in words], **more).text
    )


def test_a_handler_hears_whose_the_call_is_and_until_when(keys: Keys, tmp_path: Path) -> None:
    with serving(tmp_path / "identity.key") as stub:
        assert say(stub, keys.vouch("alice")) == "alice alice ever"
        assert say(stub, keys.vouch("alice", time.monotonic() + 5)) == "alice alice 5.0"
        assert say(stub, keys.vouch("alice", time.monotonic() + 50), timeout=5) == "alice alice 5.0"


@pytest.mark.parametrize(
    "words", [(), ("alice",), ("",), ("1;alice;1;0;0000000000000000;" + "0" * 64,), ("anonymous",)]
)
def test_whom_nobody_vouches_for_is_anonymous(keys: Keys, tmp_path: Path, words: tuple[str, ...]) -> None:
    with serving(tmp_path / "identity.key") as stub:
        assert say(stub, *words) == "anonymous anonymous ever"


def test_a_word_that_comes_twice_is_nobodys(keys: Keys, tmp_path: Path) -> None:
    with serving(tmp_path / "identity.key") as stub:
        word = keys.vouch("alice")
        assert say(stub, word, word).split()[0] == "anonymous"
        assert say(stub, word).split()[0] == "alice", "what was refused has not been used"
        assert say(stub, word).split()[0] == "anonymous"


@pytest.fixture
def scheduler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scheduler]:
    """One that listens, to which this process is attached."""
    monkeypatch.setenv("TRANSECT_HINTS", str(tmp_path / "hints"))
    monkeypatch.setattr(speaking, "LOOK_S", 0.01)
    found = Scheduler(tmp_path / "hints")
    try:
        attached(speaking._speaker)
        yield found
    finally:
        speaking._speaker.close()
        found.close()


def test_a_scheduler_is_told_whom_a_handlers_thread_works_for(
    keys: Keys, tmp_path: Path, scheduler: Scheduler
) -> None:
    alice, bob, end = number_of("alice"), number_of("bob"), time.monotonic() + 50
    with serving(tmp_path / "identity.key") as stub:
        before = len(scheduler.said())
        say(stub, keys.vouch("alice", end))
        say(stub)
        ask = modules()[0].Ask(user="u", text="t")
        assert len(list(stub.Many(ask, metadata=[(HEADER, keys.vouch("bob"))]))) == 3
    said = scheduler.said()[before:]
    tenants = [tenant for _, tenant, *_ in said]
    assert tenants[:2] == [alice, 0] and set(tenants[2:]) == {bob, 0}, "nothing is said of anonymous"
    assert tenants[2:] == [bob, 0] * 5, "to begin, for each reply, and for the end"
    assert said[0][2] == pytest.approx(end * 1e9, abs=1e8)


def test_streams_in_few_threads_keep_their_callers_apart(keys: Keys, tmp_path: Path) -> None:
    with serving(tmp_path / "identity.key") as stub:
        ask = modules()[0].Ask(user="u", text="t")
        names = [f"tenant{n % 3}" for n in range(24)]
        calls = [stub.Many(ask, metadata=[(HEADER, keys.vouch(name))]) for name in names]
        for name, call in zip(names, calls, strict=True):
            assert [reply.text for reply in call] == [f"{name} {name} ever"] * 3
        assert say(stub) == "anonymous anonymous ever"


@pytest.mark.parametrize(
    "native", [pytest.param(True, marks=pytest.mark.needs("gcc", "python-headers")), False]
)
def test_a_chain_decides_by_the_tenant(keys: Keys, tmp_path: Path, native: bool) -> None:
    def chain(server: Any) -> Any:
        return attach(server, [Once()], service=modules()[0], native=native, cache=tmp_path)

    with serving(tmp_path / "identity.key", chain) as stub:
        assert say(stub, keys.vouch("alice")).startswith("alice alice")
        assert say(stub, keys.vouch("bob")).startswith("bob bob")
        with pytest.raises(grpc.RpcError, match="alice"):
            say(stub, keys.vouch("alice"))
        assert say(stub, "bob").startswith("anonymous anonymous")
        with pytest.raises(grpc.RpcError, match="anonymous"):
            say(stub)


def identifying(native: bool, cache: Path) -> Callable[[Any], Any]:
    """Puts a chain around a server in which an element knows API keys."""
    identify = Identify()
    identify.keys[digest("sk-ann")] = "ann"
    identify.keys[digest("sk-odd")] = "no name"
    return lambda server: attach(server, [identify], service=modules()[0], native=native, cache=cache)


@pytest.mark.parametrize(
    "native", [pytest.param(True, marks=pytest.mark.needs("gcc", "python-headers")), False]
)
def test_whom_an_element_names_the_handler_works_for(keys: Keys, tmp_path: Path, native: bool) -> None:
    with serving(tmp_path / "identity.key", identifying(native, tmp_path)) as stub:
        pb2 = modules()[0]

        def shown(key: str, *more: tuple[str, str]) -> str:
            return str(stub.Say(pb2.Ask(user="u", text="t"), metadata=(("x-api-key", key), *more)).text)

        assert shown("sk-ann") == "ann ann ever"
        late = keys.vouch("bob", time.monotonic() + 60)
        assert float(shown("sk-ann", (HEADER, late)).removeprefix("ann ann ")) > 50, "the deadline stays"
        assert shown("sk-odd") == "no name anonymous ever"
        assert say(stub, keys.vouch("bob")) == "bob bob ever"
        many = stub.Many(pb2.Ask(user="u", text="t"), metadata=(("x-api-key", "sk-ann"),))
        assert [reply.text for reply in many] == ["ann ann ever"] * 3


def test_turns_go_by_the_tenant(keys: Keys, tmp_path: Path) -> None:
    made: list[Any] = []

    def turns(server: Any) -> Any:
        made.append(take_turns(server, FairShare(), at_once=1, by=HEADER))
        return made[0]

    with serving(tmp_path / "identity.key", turns) as stub:
        assert say(stub, keys.vouch("alice")).startswith("alice alice")
        assert say(stub, "alice").startswith("anonymous anonymous")


def test_services_are_added_to_what_it_returns(keys: Keys, tmp_path: Path) -> None:
    pb2_grpc = modules()[1]
    with ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool)
        pb2_grpc.add_EchoServicer_to_server(pb2_grpc.EchoServicer(), server)
        with pytest.raises(ValueError, match="add services to what"):
            know_callers(server, tmp_path / "identity.key")


@asynccontextmanager
async def serving_aio(file: Path, around: Callable[[Any], Any] = lambda server: server) -> AsyncIterator[Any]:
    """The same of asyncio: its stub."""
    pb2, pb2_grpc = modules()

    class Echo(pb2_grpc.EchoServicer):  # type: ignore[misc,name-defined]
        async def Say(self, request: Any, context: Any) -> Any:
            await asyncio.sleep(0.01)
            return pb2.Answer(text=told(context))

        async def Many(self, request: Any, context: Any) -> AsyncIterator[Any]:
            for _ in range(3):
                await asyncio.sleep(0.01)
                yield pb2.Answer(text=told(context))

        def Collect(self, requests: Any, context: Any) -> Any:  # a plain function, in a thread
            return pb2.Answer(text=told(context))

    server = around(know_callers(aio.server(options=[("grpc.so_reuseport", 0)]), file))
    pb2_grpc.add_EchoServicer_to_server(Echo(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield pb2_grpc.EchoStub(channel)
    finally:
        await server.stop(0)


@pytest.mark.parametrize("chained", [False, True])
def test_an_asyncio_server_knows_too(keys: Keys, tmp_path: Path, chained: bool) -> None:
    around = identifying(False, tmp_path) if chained else lambda server: server

    async def calls() -> None:
        ask = modules()[0].Ask(user="u", text="t")
        async with serving_aio(tmp_path / "identity.key", around) as stub:

            async def one(name: str) -> str:
                return str((await stub.Say(ask, metadata=[(HEADER, keys.vouch(name))])).text)

            async def many(name: str) -> list[str]:
                call = stub.Many(ask, metadata=[(HEADER, keys.vouch(name))])
                return [reply.text async for reply in call]

            names = [f"tenant{n % 3}" for n in range(12)]
            assert await asyncio.gather(*map(one, names)) == [f"{n} {n} ever" for n in names]
            assert await asyncio.gather(*map(many, names)) == [[f"{n} {n} ever"] * 3 for n in names]
            plain = stub.Collect(iter([ask]), metadata=[(HEADER, keys.vouch("carol"))])
            assert (await plain).text == "carol carol ever"
            if chained:
                shown = (("x-api-key", "sk-ann"),)
                assert (await stub.Say(ask, metadata=shown)).text == "ann ann ever"
                assert (await stub.Collect(iter([ask]), metadata=shown)).text == "ann ann ever"
                assert {reply.text async for reply in stub.Many(ask, metadata=shown)} == {"ann ann ever"}
            assert (await stub.Say(ask, metadata=[(HEADER, "alice")])).text == "anonymous anonymous ever"

    asyncio.run(calls())


def test_a_scheduler_is_told_whom_a_handler_of_asyncio_works_for(
    keys: Keys, tmp_path: Path, scheduler: Scheduler
) -> None:
    async def calls() -> None:
        ask = modules()[0].Ask(user="u", text="t")
        async with serving_aio(tmp_path / "identity.key") as stub:
            words = [[(HEADER, keys.vouch(name))] for name in ("alice", "bob", "bob")]
            await asyncio.gather(*(stub.Say(ask, metadata=word) for word in words[:2]))
            assert len([reply async for reply in stub.Many(ask, metadata=words[2])]) == 3

    before = len(scheduler.said())
    asyncio.run(calls())
    tenants = [tenant for _, tenant, *_ in scheduler.said()[before:]]
    assert tenants[1::2] == [0] * (len(tenants) // 2), "between two steps the thread works for nobody"
    assert tenants.count(number_of("alice")) == 2, "before the wait, and after it"
    assert tenants.count(number_of("bob")) == 2 + 7, "likewise; and twice for each reply, once for the end"
