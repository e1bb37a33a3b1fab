# SPDX-License-Identifier: Apache-2.0
"""Policies from their text to real RPCs, as a native chain and as emitted Python: the same in every respect."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio

from tests.parts import need
from tests.systems.rpc.grpcio.generated import modules, server, servicer
from tests.systems.rpc.grpcio.kit import eventually, refused
from tests.systems.rpc.grpcio.policies import Again, Cache, Chance, Guard, Rename, Slow, Tags
from transect import rpc
from transect.base.unavailable import Unavailable
from transect.control.client import Client
from transect.control.protocol import Refused
from transect.lang.functions import PolicyError
from transect.replay import compare
from transect.replay.reader import read
from transect.replay.why import why
from transect.rpc import Cause, Code
from transect.rpc.chain.replay import RpcDecoder
from transect.rpc.grpcio.attached import Attached
from transect.rpc.grpcio.handle import Action
from transect.rpc.messages.protos import ProtoError

pytestmark = pytest.mark.needs("grpcio")


@pytest.fixture(params=[True, False], ids=["native", "python"])
def native(request: pytest.FixtureRequest) -> bool:
    if request.param:
        need("gcc")
        need("python-headers")
    return bool(request.param)


@pytest.fixture
def seen() -> list[Any]:
    """Requests as the servicer gets them."""
    return []


@pytest.fixture
def port(seen: list[Any]) -> Iterator[int]:
    with server(servicer(seen)) as (_, port):
        yield port


def attached(port: int, elements: list[Any], native: bool, **more: Any) -> tuple[Any, Attached]:
    """A generated stub behind a chain, and the chain."""
    pb2, pb2_grpc = modules()
    channel: Any = rpc.attach(
        grpc.insecure_channel(f"127.0.0.1:{port}"), elements, service=pb2, native=native, **more
    )
    assert channel.chain.native is native
    return pb2_grpc.EchoStub(channel), channel.chain


def ask(user: str = "alice", text: str = "hi", number: int = 1) -> Any:
    return modules()[0].Ask(user=user, text=text, number=number)


def some(enum: Any, table: Any) -> dict[str, int]:
    return {enum(key).name: count for key, count in table.items()}


# ---------------------------------------------------------------- a client


def test_policies_decide_rewrite_and_count(port: int, native: bool, seen: list[Any]) -> None:
    stub, chain = attached(port, [Guard(allowed={"alice": True}, limit=3), Rename(suffix=10)], native)
    reply = stub.Say(ask(text="secret"))
    assert (reply.text, reply.number) == ("withheld", 22)
    assert (seen[0].text, seen[0].number) == ("withheld", 11)
    assert refused(lambda: stub.Say(ask("mallory"))) == ("PERMISSION_DENIED", "mallory may not")
    assert [r.number for r in stub.Many(ask())] == [22] * 3
    assert stub.Collect(iter([ask(number=5)])).number == 30
    assert refused(lambda: stub.Say(ask())) == ("RESOURCE_EXHAUSTED", "enough")
    guard = chain.state("Guard")
    assert dict(guard.calls.items()) == {"alice": 3}
    assert some(Cause, guard.ends) == {"REPLY": 3, "REJECT": 2}
    assert some(Code, guard.codes) == {"OK": 3, "PERMISSION_DENIED": 1, "RESOURCE_EXHAUSTED": 1}
    assert chain.state("Rename").last == "hi"


def test_a_rejection_in_midstream_and_locals_of_an_rpc(port: int, native: bool) -> None:
    stub, chain = attached(port, [Rename(), Guard(allowed={"alice": True})], native)
    asks: queue.SimpleQueue[Any] = queue.SimpleQueue()
    replies = stub.Chat(iter(asks.get, None))
    for number in range(5):
        asks.put(ask(text=str(number)))
        assert next(replies).text == str(number)
    for user in ("mallory", "alice"):
        asks.put(ask(user))
    assert refused(lambda: next(replies)) == ("PERMISSION_DENIED", "mallory may not")
    rename, guard = chain.state("Rename"), chain.state("Guard")
    assert (rename.longest, rename.last) == (6, "hi")
    assert some(Cause, guard.ends) == {"REJECT": 1}


def test_parameters_and_state_change_while_it_runs(port: int, native: bool) -> None:
    stub, chain = attached(port, [Guard(allowed={"alice": True}, limit=1)], native)
    stub.Say(ask())
    assert refused(lambda: stub.Say(ask()))[0] == "RESOURCE_EXHAUSTED"
    chain.set("Guard", limit=2, allowed={"alice": True, "bob": True})
    stub.Say(ask())
    stub.Say(ask("bob"))
    assert dict(chain.state(0).calls.items()) == {"alice": 2, "bob": 1}
    with pytest.raises(AttributeError, match="limits"):
        chain.set("Guard", limits=2)
    with pytest.raises(KeyError, match="there are Guard"):
        chain.state("Gard")


def test_parameters_change_under_load_and_no_call_is_lost(port: int, native: bool) -> None:
    stub, chain = attached(port, [Guard(allowed={"alice": True}, limit=1_000_000)], native)

    def load(_: int) -> None:
        for _ in range(100):
            stub.Say(ask())

    with ThreadPoolExecutor(4) as pool:
        loads = pool.map(load, range(4))
        for number in range(60):
            chain.set("Guard", limit=2_000_000 + number)
        list(loads)
    guard = chain.state("Guard")
    assert (dict(guard.calls.items()), guard.limit) == ({"alice": 400}, 2_000_059)
    assert some(Cause, guard.ends) == {"REPLY": 400}


def test_two_chains_one_around_the_other_and_interceptors_around_both(port: int, native: bool) -> None:
    pb2, pb2_grpc = modules()

    class Counting(grpc.UnaryUnaryClientInterceptor):
        seen: tuple[str, ...] = ()

        def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
            self.seen += (request.user,)
            return continuation(client_call_details, request)

    counting = Counting()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as inner:
        below: Any = rpc.attach(inner, [Guard(allowed={"alice": True})], service=pb2, native=native)
        above: Any = rpc.attach(below, [Rename(suffix=10)], service=pb2, native=native)
        stub = pb2_grpc.EchoStub(grpc.intercept_channel(above, counting))
        assert stub.Say(ask()).number == 22
        assert refused(lambda: stub.Say(ask("mallory"))) == ("PERMISSION_DENIED", "mallory may not")
        assert [r.number for r in stub.Many(ask())] == [22] * 3
        assert counting.seen == ("alice", "mallory")
        assert isinstance(above.unary_unary("/demo.Echo/Say"), grpc.UnaryUnaryMultiCallable)
        assert some(Cause, below.chain.state("Guard").ends) == {"REPLY": 2, "REJECT": 1}


def test_services_added_before_the_chain_are_not_left_beside_it(native: bool) -> None:
    pb2, pb2_grpc = modules()
    with ThreadPoolExecutor(1) as pool:
        made = grpc.server(pool)
        pb2_grpc.add_EchoServicer_to_server(servicer(), made)
        with pytest.raises(ValueError, match="attach the chain first"):
            rpc.attach(made, [Guard()], service=pb2, native=native)


def test_nor_on_an_asyncio_server(native: bool) -> None:
    pb2, pb2_grpc = modules()

    async def attach_late(add: Any) -> None:
        made = aio.server()
        rpc.attach(made, [Guard()], service=pb2, native=native)  # nothing is added yet
        add(made)
        with pytest.raises(ValueError, match="attach the chain first"):
            rpc.attach(made, [Guard()], service=pb2, native=native)

    def generic(made: Any) -> None:
        handler: Any = grpc.unary_unary_rpc_method_handler(lambda request, context: request)
        made.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("demo.Echo", {"Say": handler}),))

    def registered(made: Any) -> None:
        handler: Any = grpc.unary_unary_rpc_method_handler(lambda request, context: request)
        made.add_registered_method_handlers("demo.Echo", {"Say": handler})

    for add in (lambda made: pb2_grpc.add_EchoServicer_to_server(servicer(), made), generic, registered):
        asyncio.run(attach_late(add))


def test_the_objects_given_are_where_the_chain_begins_and_stay_as_they_are(port: int, native: bool) -> None:
    guard = Guard(allowed={"alice": True})
    stub, chain = attached(port, [guard], native)
    other, _ = attached(port, [guard], native)
    stub.Say(ask())
    assert dict(guard.calls.items()) == {}
    assert dict(chain.state(0).calls.items()) == {"alice": 1}
    guard.limit = 0
    stub.Say(ask())
    other.Say(ask())


def test_answers_without_the_server(port: int, native: bool, seen: list[Any]) -> None:
    stub, _ = attached(port, [Cache()], native, methods=["Say"])
    assert [stub.Say(ask(text="x", number=n)).number for n in (7, 8)] == [7, 7]
    assert len(seen) == 1
    assert stub.Say.future(ask(text="x")).result(5).number == 7
    assert stub.Say.with_call(ask(text="x"))[1].code() is grpc.StatusCode.OK


def test_delays(port: int, native: bool) -> None:
    stub, _ = attached(port, [Slow(), Slow()], native)
    began = time.monotonic()
    stub.Say(ask())
    assert 0.06 <= time.monotonic() - began < 1
    assert refused(lambda: stub.Say(ask(), timeout=0.04))[0] == "DEADLINE_EXCEEDED"


def test_retries(native: bool) -> None:
    tried: list[int] = []

    class Flaky:
        def Say(self, request: Any, context: Any) -> Any:
            tried.append(request.number)
            if len(tried) < 3:
                context.abort(grpc.StatusCode.UNAVAILABLE, "later")
            return modules()[0].Answer(number=request.number)

        Many = Collect = Chat = Say

    with server(Flaky()) as (_, port):
        stub, chain = attached(port, [Guard(allowed={"alice": True}), Again()], native, methods=["Say"])
        assert stub.Say(ask(number=4)).number == 4
        assert tried == [4, 4, 4]
        assert some(Code, chain.state("Guard").codes) == {"UNAVAILABLE": 2, "OK": 1}


def test_headers_of_a_client(native: bool) -> None:
    class Telling:
        def Say(self, request: Any, context: Any) -> Any:
            context.set_trailing_metadata((("x-early", "t"),))
            return modules()[0].Answer(text=dict(context.invocation_metadata())["x-who"])

        Many = Collect = Chat = Say

    with server(Telling()) as (_, port):
        stub, chain = attached(port, [Tags()], native, methods=["Say"], peer="frontend")
        assert refused(lambda: stub.Say(ask())) == ("UNAUTHENTICATED", "who?")
        reply, call = stub.Say.with_call(ask(), metadata=(("x-who", "me"),))
        assert reply.text == "checked"
        assert dict(call.initial_metadata())["x-seen"] == "yes"
        trailing = dict(call.trailing_metadata())
        assert (trailing["x-early"], trailing["x-late"]) == ("t", "too")
        assert chain.state("Tags").peer == "frontend"


def test_a_damaged_message_is_refused(port: int, native: bool) -> None:
    pb2, _ = modules()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as inner:
        channel = rpc.attach(inner, [Guard()], service=pb2, native=native)
        say: Any = channel.unary_unary("/demo.Echo/Say")
        assert refused(lambda: say(b"\x0a\xff"))[0] == "INVALID_ARGUMENT"
        assert refused(lambda: say(b"\x0a\x02\xff\xfe"))[0] == "INVALID_ARGUMENT"


# ---------------------------------------------------------------- a server


def test_a_server(native: bool, seen: list[Any]) -> None:
    pb2, pb2_grpc = modules()
    elements = [Guard(allowed={"alice": True}), Rename(suffix=10)]
    with server(servicer(seen), lambda s: rpc.attach(s, elements, service=pb2, native=native)) as (
        made,
        port,
    ):
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = pb2_grpc.EchoStub(channel)
            assert stub.Say(ask(text="secret")).text == "withheld"
            assert refused(lambda: stub.Say(ask("mallory"))) == ("PERMISSION_DENIED", "mallory may not")
            long = ask("m" * 50_000)  # a text of that length is no header that a client takes
            assert refused(lambda: stub.Say(long)) == ("PERMISSION_DENIED", "m" * 1024)
            assert refused(lambda: list(stub.Chat(iter([long])))) == ("PERMISSION_DENIED", "m" * 1024)
            replies = stub.Chat(iter([ask(), ask(), ask("mallory"), ask()]))
            assert refused(lambda: list(replies)) == ("PERMISSION_DENIED", "mallory may not")
            assert [r.number for r in stub.Many(ask())] == [22] * 3

        def counted() -> None:
            assert some(Cause, made.chain.state("Guard").ends) == {"REPLY": 2, "REJECT": 4}

        eventually(counted)
        assert {s.user for s in seen} == {"alice"}


def test_an_asyncio_server_and_an_asyncio_channel(native: bool) -> None:
    pb2, pb2_grpc = modules()

    class Echo(pb2_grpc.EchoServicer):  # type: ignore[misc,name-defined]
        async def Say(self, request: Any, context: Any) -> Any:
            return pb2.Answer(text=request.text, number=request.number)

        async def Chat(self, request_iterator: Any, context: Any) -> Any:
            async for request in request_iterator:
                yield pb2.Answer(text=request.text, number=request.number)

    async def main() -> None:
        made: Any = rpc.attach(aio.server(), [Guard(allowed={"alice": True})], service=pb2, native=native)
        pb2_grpc.add_EchoServicer_to_server(Echo(), made)
        port = made.add_insecure_port("127.0.0.1:0")
        await made.start()
        async with aio.insecure_channel(f"127.0.0.1:{port}") as inner:
            channel: Any = rpc.attach(inner, [Rename(suffix=10)], service=pb2, native=native)
            stub = pb2_grpc.EchoStub(channel)
            assert (await stub.Say(ask())).number == 22
            with pytest.raises(aio.AioRpcError) as caught:
                await stub.Say(ask("mallory"))
            assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
            with pytest.raises(aio.AioRpcError) as caught:
                await stub.Say(ask("m" * 50_000))
            assert (caught.value.code(), caught.value.details()) == (
                grpc.StatusCode.PERMISSION_DENIED,
                "m" * 1024,
            )
            assert [r.number async for r in stub.Chat(iter([ask(), ask(number=2)]))] == [22, 24]
            assert channel.chain.state("Rename").longest == 2
        await made.stop(None)
        assert some(Cause, made.chain.state("Guard").ends) == {"REPLY": 2, "REJECT": 2}

    asyncio.run(main())


# ---------------------------------------------------------------- what does not fit


def test_a_chain_that_does_not_fit_is_told_at_the_policys_line(port: int) -> None:
    pb2, _ = modules()

    def told(target: Any, elements: list[Any], **more: Any) -> str:
        with pytest.raises(PolicyError) as caught:
            rpc.attach(target, elements, service=pb2, **more)
        return str(caught.value)

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, ThreadPoolExecutor(1) as pool:
        text = told(channel, [Cache()])
        assert "error[R007]: `Respond` cannot answer /demo.Echo/Many: its replies stream" in text
        assert "policies.py:" in text
        text = told(channel, [Tags()])
        assert (
            "error[R021]: a grpcio client sends the headers of /demo.Echo/Collect before its first request"
            in text
        )
        assert 'rpc.headers.set("x-who", "checked")' in text, "the line that has no effect"
        text = told(grpc.server(pool), [Tags()], speaks_first=["Chat"])
        assert "error[R021]: the service has the headers of /demo.Echo/Chat before the first request" in text
        assert 'rpc.headers.set("x-who", "checked")' in text
        assert "no method `Shout`" in told(grpc.server(pool), [Guard()], speaks_first=["Shout"])
        text = told(grpc.server(pool), [Again()], methods=["Say"])
        assert "error[R020]: a grpcio server cannot send a request again: `Retry`" in text
        text = told(channel, [Guard()], methods=["Sing"])
        assert "no method `Sing`" in text
        with pytest.raises(TypeError, match="a policy object is wanted"):
            rpc.attach(channel, [Guard], service=pb2)
        with pytest.raises(TypeError, match="channel or server"):
            rpc.attach(object(), [Guard()], service=pb2)  # type: ignore[type-var]


def test_services_are_named_in_several_ways(port: int, tmp_path: Path) -> None:
    pb2, _ = modules()
    proto = Path(__file__).with_name("echo.proto")
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        for service, protos in (
            (pb2, ()),
            (pb2.DESCRIPTOR.services_by_name["Echo"], ()),
            ("demo.Echo", [proto]),
        ):
            made: Any = rpc.attach(channel, [Guard()], service=service, protos=protos, native=False)
            assert made.chain.binding.service.name == "demo.Echo"
        for service, protos, words in (
            ("demo.Echo", (), "protos="),
            ("demo.Ecko", [proto], "no service demo.Ecko"),
        ):
            with pytest.raises(ProtoError, match=words):
                rpc.attach(channel, [Guard()], service=service, protos=protos, native=False)
        with pytest.raises(TypeError, match="generated module"):
            rpc.attach(channel, [Guard()], service=7, native=False)


# ---------------------------------------------------------------- recording and control


def drive(stub: Any, calls: int) -> None:
    """Calls of several kinds, some refused, on several threads."""

    def one(number: int) -> None:
        user = "mallory" if number % 5 == 0 else "alice"
        try:
            match number % 3:
                case 0:
                    stub.Say(ask(user, "secret" if number % 4 else "open", number))
                case 1:
                    list(stub.Many(ask(user, number=number)))
                case _:
                    list(stub.Chat(iter([ask(user, number=n) for n in range(number % 7)])))
        except grpc.RpcError:
            pass

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(calls)))


def test_a_recorded_run_replays_on_the_interpreter(port: int, native: bool, tmp_path: Path) -> None:
    stub, chain = attached(
        port, [Chance(), Guard(allowed={"alice": True}, limit=60), Rename(suffix=3)], native
    )
    stub.Say(ask())
    path = tmp_path / "run.log"
    assert chain.record(path).under_way == 0
    drive(stub, 90)
    trailer = chain.end_record()
    log = read(path)
    assert log.complete, log.shortcomings
    assert trailer.records == len(log.records) > 250
    found = compare(log, RpcDecoder(log))
    assert found.same, found
    assert {p.name for p in log.policies} == {"Chance", "Guard", "Rename"}


def test_a_log_says_what_requests_are_called(port: int, native: bool, tmp_path: Path) -> None:
    """Of a chain that looks at no header, too."""
    stub, chain = attached(port, [Guard(allowed={"alice": True}, limit=60), Rename(suffix=3)], native)
    chain.record(tmp_path / "run.log")
    for number in range(3):
        stub.Say(ask("alice"), metadata=(("x-request-id", f"say-{number}"),))
    list(stub.Chat(iter([ask("alice", number=n) for n in range(4)]), metadata=(("x-request-id", "chat"),)))
    stub.Say(ask("alice"))
    chain.end_record()
    log = read(tmp_path / "run.log")
    assert [naming.named.ids for naming in log.names] == [("say-0",), ("say-1",), ("say-2",), ("chat",)]
    (layer,) = why(log, RpcDecoder(log), "chat")
    assert layer.explained
    hooks = Counter((decision.policy, decision.hook) for decision in layer.decisions)
    assert hooks["Guard", "request"] == 4
    (layer,) = why(log, RpcDecoder(log), "say-1")
    assert layer.explained and layer.decisions[0].verdict == "Forward()"


def test_a_recorded_run_with_headers_and_answers_replays(port: int, native: bool, tmp_path: Path) -> None:
    stub, chain = attached(port, [Tags(), Cache(), Again()], native, methods=["Say"])
    chain.record(str(tmp_path / "run.log"))
    for number in range(20):
        metadata = (("x-who", str(number)),) if number % 3 else ()
        try:
            stub.Say(ask(text=str(number % 4), number=number), metadata=metadata)
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.UNAUTHENTICATED, error
    chain.end_record()
    log = read(tmp_path / "run.log")
    found = compare(log, RpcDecoder(log))
    assert log.complete and found.same, found


def test_recording_begins_and_ends_under_load(port: int, native: bool, tmp_path: Path) -> None:
    stub, chain = attached(port, [Guard(allowed={"alice": True}), Chance()], native)
    stopping = threading.Event()

    def load() -> None:
        while not stopping.is_set():
            stub.Say(ask())

    with ThreadPoolExecutor(4) as pool:
        loads = [pool.submit(load) for _ in range(4)]
        time.sleep(0.05)
        chain.record(tmp_path / "run.log")
        time.sleep(0.2)
        chain.end_record()
        stopping.set()
    assert all(f.exception() is None for f in loads)
    log = read(tmp_path / "run.log")
    assert log.complete, log.shortcomings
    guard = next(i for i, p in enumerate(log.policies) if p.name == "Guard")
    assert sum(r.policy == guard for r in log.records) > 10


def attached_bytes(chain: Attached, message: bytes) -> tuple[int, int]:
    """What the chain says of a message that no stub would send: action and code."""
    one = chain.handle.begin("/demo.Echo/Say", "", None)
    decision = one.request(message)
    one.finish(3, Cause.REJECT)
    assert isinstance(decision, tuple)
    return decision[0], decision[1]


def test_status_set_and_record_by_name(port: int, native: bool, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("transect.control.sockets.folder", lambda: tmp_path / "run")
    stub, chain = attached(port, [Guard(allowed={"alice": True}), Rename()], native, name="shop")
    stack = ExitStack()
    try:
        client = Client("rpc", "shop")
        status = client.status()
        assert (status["carrier"], status["recording"]) == ("grpcio client", None)
        assert all((p["runs_as"] == "machine code") is native for p in status["policies"])
        assert [p["name"] for p in status["policies"]] == ["Guard", "Rename"]
        assert client.set("limit", "1") == {"param": "Guard.limit", "before": "1000", "after": "1"}
        log = tmp_path / "run.log"
        recording = stack.enter_context(client.recording(log))
        stub.Say(ask())
        assert refused(lambda: stub.Say(ask()))[0] == "RESOURCE_EXHAUSTED"
        with pytest.raises(Refused, match="records already"):
            stack.enter_context(client.recording(tmp_path / "other.log"))
        malformed = attached_bytes(chain, b"\x0a\xff")
        assert malformed == (Action.REJECT, 3)
        status = client.status()
        kinds = ("calls", "rejected", "responded", "withheld")
        assert [[p["counts"][kind] for kind in kinds] for p in status["policies"]] == [
            [2, 1, 0, 0],
            [1, 0, 0, 0],
        ]
        assert all(p["counts"]["state_bytes"] > 0 for p in status["policies"][:1])
        did = {"open": 0, "rpcs": 3, "requests": 2, "responses": 1, "rewritten": 2, "delayed": 0}
        assert status["counters"] == did | {"malformed": 1, "refused": 1, "traced": 0, "traces_left_out": 0}
        assert status["details"]["causes"] == {
            "reply": 1,
            "reject": 2,
            "cancel": 0,
            "deadline": 0,
            "reset": 0,
        }
        latency = status["details"]["latency"]
        assert [row["of"] for row in latency] == ["RPC", "Guard", "Rename"]
        assert [row["timed"] for row in latency[:2]] == [3, 2], "a malformed message comes to nobody"
        assert all(0 < row["p50_us"] <= row["p99_us"] for row in latency)
        stopped = recording.end()
        assert (stopped["records"], stopped["dropped"]) == (7, 0)
        assert compare(read(log), RpcDecoder(read(log))).same
        with pytest.raises(Refused, match="is there already"):
            stack.enter_context(client.recording(log))
        with pytest.raises(Refused, match="no parameter `limits`"):
            client.set("limits", "1")
    finally:
        stack.close()
        chain.close()
    with pytest.raises(Unavailable, match="shop"):
        Client("rpc", "shop").status()
