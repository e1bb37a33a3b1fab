# SPDX-License-Identifier: Apache-2.0
"""A chain in front of an asyncio server, whose handlers may be of several sorts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from grpc import aio

from tests.systems.rpc.grpcio.kit import (
    CANCEL,
    DEADLINE,
    LARGE,
    REJECT,
    REPLY,
    Stub,
    diary,
    ends,
)
from tests.systems.rpc.grpcio.test_aio import all_of, refused
from transect.rpc.grpcio.aio_server import Server
from transect.rpc.grpcio.handle import Carried, Touches

OK = (0, REPLY)
GRACE_S = 0.1  # for handlers that have answered, but not yet ended
Case = Callable[[Stub], Awaitable[Any]]


class Coroutines:
    """Coroutines, and asynchronous generators."""

    async def say(self, request: bytes, context: Any) -> bytes:
        return request

    async def many(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        for number in range(3):
            yield request if request[:1] in (b"q", b"p") else b"%s %d" % (request, number)

    async def collect(self, requests: Any, context: Any) -> bytes:
        return b"|".join([request async for request in requests])

    async def chat(self, requests: Any, context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request


class ReadersAndWriters(Coroutines):
    """`context.read` and `context.write`."""

    async def many(self, request: bytes, context: Any) -> None:  # type: ignore[override]
        for number in range(3):
            await context.write(request if request[:1] in (b"q", b"p") else b"%s %d" % (request, number))

    async def collect(self, requests: Any, context: Any) -> bytes:
        found = []
        while (request := await context.read()) is not aio.EOF:
            found.append(request)
        return b"|".join(found)

    async def chat(self, requests: Any, context: Any) -> None:  # type: ignore[override]
        while (request := await context.read()) is not aio.EOF:
            await context.write(request)


class Plain:
    """Functions and generators, which gRPC runs in threads."""

    def say(self, request: bytes, context: Any) -> bytes:
        return request

    def many(self, request: bytes, context: Any) -> Iterator[bytes]:
        for number in range(3):
            yield request if request[:1] in (b"q", b"p") else b"%s %d" % (request, number)

    def collect(self, requests: Any, context: Any) -> bytes:
        return b"|".join(requests)

    def chat(self, requests: Any, context: Any) -> Iterator[bytes]:
        yield from requests


class Handlers(grpc.GenericRpcHandler):
    def __init__(self, does: Any) -> None:
        self.does = does

    def service(self, handler_call_details: Any) -> Any:
        match handler_call_details.method:
            case "/t.Echo/Say":
                return grpc.unary_unary_rpc_method_handler(self.does.say)
            case "/t.Echo/Many":
                return grpc.unary_stream_rpc_method_handler(self.does.many)
            case "/t.Echo/Collect":
                return grpc.stream_unary_rpc_method_handler(self.does.collect)
            case "/t.Echo/Chat":
                return grpc.stream_stream_rpc_method_handler(self.does.chat)
        return None


async def served(does: Any, carried: Carried, case: Case) -> Any:
    """A server with a chain and a client without one, in one loop."""
    with ThreadPoolExecutor(40) as pool:
        server = Server(aio.server(pool, options=[*LARGE, ("grpc.so_reuseport", 0)]), carried)
        server.add_generic_rpc_handlers((Handlers(does),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with aio.insecure_channel(f"127.0.0.1:{port}", options=LARGE) as channel:
                return await case(Stub.of(channel))
        finally:
            await server.stop(GRACE_S)


@pytest.fixture(params=[Coroutines, ReadersAndWriters, Plain])
def does(request: pytest.FixtureRequest) -> Any:
    return request.param()


@pytest.fixture
def run(does: Any, carried: Carried) -> Callable[[Case], Any]:
    return lambda case: asyncio.run(served(does, carried, case))


def test_messages_of_all_kinds_pass_the_chain_in_both_directions(run: Any, probe: Any) -> None:
    async def case(stub: Stub) -> None:
        assert await stub.say(b"a") == b"a"
        assert await all_of(stub.many(b"b")) == [b"b 0", b"b 1", b"b 2"]
        assert await stub.collect(iter([b"c", b"q0 rewrite d"])) == b"c|d"
        assert await all_of(stub.chat(iter([b"e", b"p1 rewrite f"]))) == [b"e", b"f"]

    run(case)
    assert ends(probe) == [OK] * 4
    assert [(t.requests[0], t.responses[0]) for t in diary(probe)] == [(1, 1), (1, 3), (2, 1), (2, 2)]


def test_rejections(run: Any, probe: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def case(stub: Stub) -> None:
        assert await refused(stub.say(b"q1 reject 7 no")) == ("PERMISSION_DENIED", "no")
        assert await refused(all_of(stub.many(b"q0 reject 8 full"))) == ("RESOURCE_EXHAUSTED", "full")
        assert await refused(stub.say(b"p1 reject 9 no")) == ("FAILED_PRECONDITION", "no")
        requests = [b"a", b"q0 reject 3 bad", b"c"]
        assert await refused(stub.collect(iter(requests))) == ("INVALID_ARGUMENT", "bad")
        assert await refused(all_of(stub.chat(iter(requests)))) == ("INVALID_ARGUMENT", "bad")
        replies = stub.chat(iter([b"a", b"p0 reject 5 gone", b"c"]))
        assert await replies.read() == b"a"
        assert await refused(replies.read()) == ("NOT_FOUND", "gone")

    run(case)
    assert ends(probe) == [(7, REJECT), (8, REJECT), (9, REJECT), (3, REJECT), (3, REJECT), (5, REJECT)]
    assert not caplog.records, "to be refused is no error of the server's"


def test_a_handler_that_catches_everything_does_not_undo_a_rejection(
    carried: Carried, probe: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Catches(ReadersAndWriters):
        async def chat(self, requests: Any, context: Any) -> None:  # type: ignore[override]
            try:
                await super().chat(requests, context)
            except Exception:
                await context.write(b"all is well")

    async def case(stub: Stub) -> None:
        replies = stub.chat(iter([b"a", b"q0 reject 5 gone", b"c"]))
        assert await replies.read() == b"a"
        assert await refused(replies.read()) == ("NOT_FOUND", "gone")

    asyncio.run(served(Catches(), carried, case))
    assert ends(probe) == [(5, REJECT)]
    assert not caplog.records


def test_answers_of_the_chain(run: Any, probe: Any) -> None:
    async def case(stub: Stub) -> None:
        assert await stub.say(b"q1 respond hello") == b"hello"
        assert await stub.collect(iter([b"a", b"q0 respond enough", b"c"])) == b"enough"

    run(case)
    assert ends(probe) == [OK] * 2


def test_who_is_refused_or_answered_behind_a_delay_waits_for_it(run: Any, probe: Any) -> None:
    no, back = b"q0 after 30\nq1 reject 7 no", b"p1 after 30\np0 reject 7 no"

    async def case(stub: Stub) -> None:
        for refusal in (
            lambda: stub.say(no),
            lambda: stub.say(back),
            lambda: all_of(stub.chat(iter([no]))),
            lambda: all_of(stub.chat(iter([back]))),
        ):
            began = time.monotonic()
            assert await refused(refusal()) == ("PERMISSION_DENIED", "no")
            assert 0.03 <= time.monotonic() - began < 1.0
        began = time.monotonic()
        assert await stub.say(b"q0 after 30\nq1 respond x") == b"x"
        assert 0.03 <= time.monotonic() - began < 1.0

    run(case)
    assert ends(probe) == [(7, REJECT)] * 4 + [OK]


def test_delays(run: Any, probe: Any) -> None:
    async def case(stub: Stub) -> None:
        for call in (
            lambda: stub.say(b"q0 after 50"),
            lambda: stub.say(b"p0 after 50"),
            lambda: all_of(stub.chat(iter([b"q0 after 50"]))),
        ):
            began = time.monotonic()
            await call()
            assert 0.05 <= time.monotonic() - began < 1.0
        assert (await refused(stub.say(b"q0 after 9000", timeout=0.05)))[0] == "DEADLINE_EXCEEDED"
        await asyncio.sleep(0.05)

    run(case)
    assert ends(probe) == [OK] * 3 + [(4, DEADLINE)]


class FailingCoroutines(Coroutines):
    async def say(self, request: bytes, context: Any) -> bytes:
        if request == b"abort":
            await context.abort(grpc.StatusCode.DATA_LOSS, "lost")
        if request == b"code":
            context.set_code(grpc.StatusCode.DATA_LOSS)
            return b"secret"
        raise ValueError("oops")


class FailingFunctions(Plain):
    def say(self, request: bytes, context: Any) -> bytes:
        if request == b"abort":
            context.abort(grpc.StatusCode.DATA_LOSS, "lost")
        if request == b"code":
            context.set_code(grpc.StatusCode.DATA_LOSS)
            return b"secret"
        raise ValueError("oops")


@pytest.mark.parametrize("failing", [FailingCoroutines, FailingFunctions])
def test_a_handlers_own_status_runs_no_response(failing: Any, carried: Carried, probe: Any) -> None:
    async def case(stub: Stub) -> None:
        assert (await refused(stub.say(b"abort"))) == ("DATA_LOSS", "lost")
        assert (await refused(stub.say(b"code")))[0] == "DATA_LOSS"
        assert (await refused(stub.say(b"crash")))[0] == "UNKNOWN"

    asyncio.run(served(failing(), carried, case))
    assert ends(probe) == [(15, REPLY), (15, REPLY), (2, REPLY)]
    assert not any(t.responses for t in diary(probe))


def test_a_plain_generator_may_abort(carried: Carried, probe: Any) -> None:
    class Aborting(Plain):
        def many(self, request: bytes, context: Any) -> Iterator[bytes]:
            yield request
            context.abort(grpc.StatusCode.DATA_LOSS, "lost", (("x-why", "y"),))

    async def case(stub: Stub) -> None:
        call = stub.many(b"x")
        assert await call.read() == b"x"
        assert await refused(call.read()) == ("DATA_LOSS", "lost")
        assert dict(await call.trailing_metadata())["x-why"] == "y"

    asyncio.run(served(Aborting(), carried, case))
    assert ends(probe) == [(15, REPLY)]


def test_an_abort_ends_an_rpc_before_its_client_can_break_off(carried: Carried, probe: Any) -> None:
    """The client has heard the status; until the server's thread has raised, it may be stopped."""

    class Dawdling(Plain):
        def many(self, request: bytes, context: Any) -> Iterator[bytes]:
            yield request
            try:
                context.abort(grpc.StatusCode.DATA_LOSS, "lost")
            finally:
                time.sleep(0.2)

        def say(self, request: bytes, context: Any) -> bytes:
            try:
                context.abort(grpc.StatusCode.DATA_LOSS, "lost")
            finally:
                time.sleep(0.2)
            return request

    async def case(stub: Stub) -> None:
        call = stub.many(b"x")
        assert await call.read() == b"x"
        assert await refused(call.read()) == ("DATA_LOSS", "lost")
        assert await refused(stub.say(b"x")) == ("DATA_LOSS", "lost")

    asyncio.run(served(Dawdling(), carried, case))
    assert ends(probe) == [(15, REPLY)] * 2


def test_a_client_that_cancels_or_is_late(carried: Carried, probe: Any) -> None:
    class Slow(Coroutines):
        async def say(self, request: bytes, context: Any) -> bytes:
            await asyncio.sleep(0.5)
            return request

        async def many(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
            while True:
                yield request
                await asyncio.sleep(0.5)

    async def case(stub: Stub) -> None:
        call = stub.say(b"x")
        await asyncio.sleep(0.05)
        call.cancel()
        replies = stub.many(b"x")
        await replies.read()
        replies.cancel()
        assert (await refused(stub.say(b"x", timeout=0.05)))[0] == "DEADLINE_EXCEEDED"
        await asyncio.sleep(0.05)
        assert ends(probe) == [(1, CANCEL), (1, CANCEL), (4, DEADLINE)]

    asyncio.run(served(Slow(), carried, case))


def test_the_chain_changes_headers_and_trailers_of_the_reply(probe: Any) -> None:
    class Says(Coroutines):
        async def say(self, request: bytes, context: Any) -> bytes:
            assert dict(context.invocation_metadata())["x-a"] == "1"
            await context.send_initial_metadata((("x-early", "e"), ("x-gone", "g")))
            context.set_trailing_metadata((("x-late", "l"),))
            return request

    async def case(stub: Stub) -> None:
        call = stub.say(
            b"q0 get q x-a\nq0 set t x-before b\np0 get p x-early\n"
            b"p0 set p x-early mine\np0 remove p x-gone\np0 set t x-more m",
            metadata=(("x-a", "1"),),
        )
        await call
        initial, trailing = dict(await call.initial_metadata()), dict(await call.trailing_metadata())
        assert (initial.get("x-early"), initial.get("x-gone")) == ("mine", None)
        assert (trailing["x-late"], trailing["x-more"], trailing["x-before"]) == ("l", "m", "b")

    asyncio.run(served(Says(), Carried(probe, Touches()), case))
    (told,) = diary(probe)
    assert told.got == ["x-a=1", "x-early=e"]
    assert told.peer == "127.0.0.1"


def test_the_handler_sees_the_headers_that_the_chain_has_set(probe: Any) -> None:
    class Says(Coroutines):
        async def say(self, request: bytes, context: Any) -> bytes:
            return dict(context.invocation_metadata())["x-a"].encode()

    async def case(stub: Stub) -> None:
        assert await stub.say(b"q0 set q x-a new", metadata=(("x-a", "old"),)) == b"new"

    asyncio.run(served(Says(), Carried(probe, Touches(headers=True, replies=False, peer=False)), case))


def test_registered_handlers_are_wrapped_like_generic_ones(probe: Any) -> None:
    async def main() -> None:
        server = Server(aio.server(options=[("grpc.so_reuseport", 0)]), Carried(probe))
        server.add_registered_method_handlers(
            "t.Echo", {"Say": grpc.unary_unary_rpc_method_handler(Coroutines().say)}
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            assert await refused(Stub.of(channel).say(b"q0 reject 7 no")) == ("PERMISSION_DENIED", "no")
        await server.stop(GRACE_S)

    asyncio.run(main())


def test_32_streams_at_once_end_once_each(run: Any, probe: Any) -> None:
    async def chat(stub: Stub, number: int) -> Any:
        requests = [b"%d %d" % (number, i) for i in range(20)]
        if number % 4 == 1:
            requests[10] = b"q1 reject 7 no"
        if number % 4 == 2:
            requests[10] = b"p1 reject 7 no"
        call = stub.chat()
        try:
            # By turns: what gRPC's own client is about to send when its RPC ends makes it say INTERNAL now and then.
            for request in requests:
                await call.write(request)
                assert await call.read() == request
            await call.done_writing()
            return await call.read() is aio.EOF
        except aio.AioRpcError as error:
            return error.code()

    async def case(stub: Stub) -> None:
        results = await asyncio.gather(*(chat(stub, n) for n in range(32)))
        for number, result in enumerate(results):
            assert result is (grpc.StatusCode.PERMISSION_DENIED if number % 4 in (1, 2) else True), number

    run(case)
    assert sorted(ends(probe)) == [OK] * 16 + [(7, REJECT)] * 16


def test_large_messages(run: Any) -> None:
    async def case(stub: Stub) -> None:
        big = bytes(1 << 20)
        assert await stub.say(big) == big
        assert await all_of(stub.chat(iter([big, big]))) == [big, big]

    run(case)
