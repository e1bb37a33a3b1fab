# SPDX-License-Identifier: Apache-2.0
"""A chain in front of an asyncio channel."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import grpc
import pytest
from grpc import aio

from tests.systems.rpc.grpcio.kit import (
    CANCEL,
    CHAT,
    COLLECT,
    DEADLINE,
    LARGE,
    MANY,
    REJECT,
    REPLY,
    RESET,
    SAY,
    Echo,
    Stub,
    diary,
    ends,
    serving,
)
from transect.rpc.grpcio.aio import Channel
from transect.rpc.grpcio.handle import Carried, Touches

OK = (0, REPLY)
Case = Callable[[Stub], Awaitable[Any]]


@pytest.fixture
def run(echo: Echo, carried: Carried) -> Iterator[Callable[[Case], Any]]:
    """`run(case)`: awaits `case(stub)`; the stub's channel has the probe chain, its server none."""
    with serving(echo) as port:

        async def main(case: Case) -> Any:
            async with aio.insecure_channel(f"127.0.0.1:{port}", options=LARGE) as inner:
                return await case(Stub.of(Channel(inner, carried)))

        yield lambda case: asyncio.run(main(case))


async def all_of(replies: Any) -> list[Any]:
    return [reply async for reply in replies]


async def refused(call: Any) -> tuple[str, str]:
    try:
        result = await call
    except aio.AioRpcError as error:
        return error.code().name, error.details() or ""
    raise AssertionError(f"no error: {result!r}")


def test_messages_of_all_kinds_pass_the_chain_in_both_directions(run: Any, probe: Any) -> None:
    async def case(stub: Stub) -> None:
        assert await stub.say(b"a") == b"a"
        assert await all_of(stub.many(b"b")) == [b"b 0", b"b 1", b"b 2"]
        assert await stub.collect(iter([b"c", b"d"])) == b"a|c|d"
        assert await all_of(stub.chat(iter([b"e", b"f"]))) == [b"e", b"f"]

    run(case)
    assert ends(probe) == [OK] * 4
    assert [(t.requests[0], t.responses[0]) for t in diary(probe)] == [(1, 1), (1, 3), (2, 1), (2, 2)]


def test_streams_are_read_and_written_message_by_message(run: Any, probe: Any) -> None:
    async def case(stub: Stub) -> None:
        chat = stub.chat()
        await chat.write(b"a")
        assert await chat.read() == b"a"
        await chat.write(b"q0 rewrite b")
        assert await chat.read() == b"b"
        await chat.done_writing()
        assert await chat.read() is aio.EOF
        assert await chat.code() is grpc.StatusCode.OK
        collect = stub.collect()
        await collect.write(b"c")
        await collect.done_writing()
        assert await collect == b"a|b|c"
        many = stub.many(b"x")
        assert [await many.read() for _ in range(3)] == [b"x 0", b"x 1", b"x 2"]
        assert await many.read() is aio.EOF

    run(case)
    assert ends(probe) == [OK] * 3


def test_rejections(run: Any, probe: Any, echo: Echo) -> None:
    async def case(stub: Stub) -> None:
        assert await refused(stub.say(b"q1 reject 7 no")) == ("PERMISSION_DENIED", "no")
        assert await refused(all_of(stub.many(b"q0 reject 8 full"))) == ("RESOURCE_EXHAUSTED", "full")
        assert echo.metadata == []
        assert await refused(stub.say(b"p1 reject 9 no")) == ("FAILED_PRECONDITION", "no")
        requests = [b"a", b"q0 reject 3 bad", b"c"]
        assert await refused(stub.collect(iter(requests))) == ("INVALID_ARGUMENT", "bad")
        assert await refused(all_of(stub.chat(iter(requests)))) == ("INVALID_ARGUMENT", "bad")
        replies = stub.chat(iter([b"a", b"p0 reject 5 gone", b"c"]))
        assert await replies.read() == b"a"
        assert await refused(replies.read()) == ("NOT_FOUND", "gone")
        assert await replies.code() is grpc.StatusCode.NOT_FOUND
        assert await replies.details() == "gone"

    run(case)
    assert ends(probe) == [(7, REJECT), (8, REJECT), (9, REJECT), (3, REJECT), (3, REJECT), (5, REJECT)]


def test_a_written_request_is_refused_where_it_is_written(run: Any, probe: Any) -> None:
    async def case(stub: Stub) -> None:
        chat = stub.chat()
        await chat.write(b"a")
        assert await refused(chat.write(b"q1 reject 7 no")) == ("PERMISSION_DENIED", "no")
        assert await refused(chat.read()) == ("PERMISSION_DENIED", "no")
        assert await chat.code() is grpc.StatusCode.PERMISSION_DENIED
        collect = stub.collect()
        assert await refused(collect.write(b"q1 reject 7 no")) == ("PERMISSION_DENIED", "no")
        assert await refused(collect) == ("PERMISSION_DENIED", "no")

    run(case)
    assert ends(probe) == [(7, REJECT)] * 2


def test_the_call_of_a_refused_rpc_answers_questions(run: Any, request: pytest.FixtureRequest) -> None:
    set_in_finish = {} if "bare" in request.node.name else {"x-finished": "yes"}

    async def case(stub: Stub) -> None:
        call = stub.say(b"q1 reject 7 no")
        assert await call.code() is grpc.StatusCode.PERMISSION_DENIED
        assert await call.details() == "no"
        assert "PERMISSION_DENIED" in await call.debug_error_string()
        assert len(await call.initial_metadata()) == 0
        assert dict(await call.trailing_metadata()) == set_in_finish
        assert (call.done(), call.cancelled(), call.cancel(), call.time_remaining()) == (
            True,
            False,
            False,
            None,
        )
        call = stub.many(b"q1 reject 7 no")
        assert await call.code() is grpc.StatusCode.PERMISSION_DENIED
        assert call.done()

    run(case)


def test_an_answer_of_the_chain_needs_no_server(probe: Any) -> None:
    async def main() -> None:
        async with aio.insecure_channel("127.0.0.1:1") as inner:
            stub = Stub.of(Channel(inner, Carried(probe)))
            call = stub.say(b"q1 respond hello")
            assert await call == b"hello"
            assert await call == b"hello"
            assert await call.code() is grpc.StatusCode.OK
            assert call.done()

    asyncio.run(main())
    assert ends(probe) == [OK]


def test_an_answer_in_midstream_cancels_what_was_sent(run: Any, probe: Any) -> None:
    async def case(stub: Stub) -> None:
        call = stub.collect(iter([b"a", b"q0 respond enough", b"c"]))
        assert await call == b"enough"
        assert await call.code() is grpc.StatusCode.OK

    run(case)
    assert ends(probe) == [OK]


def test_delays_never_block_the_loop(run: Any, probe: Any) -> None:
    async def case(stub: Stub) -> None:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.005)
                ticks += 1

        ticking = asyncio.get_running_loop().create_task(tick())
        for call in (
            lambda: stub.say(b"q0 after 100"),
            lambda: stub.say(b"p0 after 100"),
            lambda: all_of(stub.many(b"q0 after 100")),
            lambda: all_of(stub.chat(iter([b"q0 after 100"]))),
            lambda: all_of(stub.chat(iter([b"p0 after 100"]))),
            lambda: stub.collect(iter([b"q0 after 100"])),
        ):
            ticks, began = 0, time.monotonic()
            await call()
            assert 0.1 <= time.monotonic() - began < 5.0
            assert ticks >= 5, "somebody else's work must go on meanwhile"
        ticking.cancel()

    run(case)
    assert ends(probe) == [OK] * 6


def test_who_is_refused_or_answered_behind_a_delay_waits_for_it(run: Any, probe: Any) -> None:
    no, back, answer = (
        b"q0 after 30\nq1 reject 7 no",
        b"p1 after 30\np0 reject 7 no",
        b"q0 after 30\nq1 respond x",
    )

    async def case(stub: Stub) -> None:
        for refusal in (
            lambda: stub.say(no),
            lambda: stub.say(back),
            lambda: all_of(stub.many(no)),
            lambda: all_of(stub.many(back)),
            lambda: all_of(stub.chat(iter([no]))),
            lambda: stub.collect(iter([no])),
        ):
            began = time.monotonic()
            assert await refused(refusal()) == ("PERMISSION_DENIED", "no")
            assert 0.03 <= time.monotonic() - began < 1.0
        for call, asked in ((stub.say, answer), (stub.collect, iter([answer]))):
            began = time.monotonic()
            assert await call(asked) == b"x"
            assert 0.03 <= time.monotonic() - began < 1.0
        late = b"q0 after 9000\nq1 reject 7 no"
        assert (await refused(all_of(stub.many(late, timeout=0.05))))[0] == "DEADLINE_EXCEEDED"

    run(case)
    assert ends(probe) == [(7, REJECT)] * 6 + [OK] * 2 + [(4, DEADLINE)]


def test_a_delay_beyond_the_deadline_ends_at_the_deadline(run: Any, probe: Any) -> None:
    async def case(stub: Stub) -> None:
        began = time.monotonic()
        assert (await refused(stub.say(b"q0 after 9000", timeout=0.05)))[0] == "DEADLINE_EXCEEDED"
        assert (await refused(all_of(stub.many(b"q0 after 9000", timeout=0.05))))[0] == "DEADLINE_EXCEEDED"
        assert time.monotonic() - began < 2

    run(case)
    assert ends(probe) == [(4, DEADLINE)] * 2


def test_of_a_deadline_that_has_passed_no_call_is_answered(run: Any, probe: Any) -> None:
    async def case(stub: Stub) -> None:
        for timeout in (0, 1e-9, -1):
            for message in (b"q0 after 1", b"q0 rewrite y"):
                late = timeout if message == b"q0 after 1" else -1
                for _ in range(10):
                    assert (await refused(stub.say(message, timeout=late)))[0] == "DEADLINE_EXCEEDED"
                    assert (await refused(all_of(stub.many(message, timeout=late))))[0] == "DEADLINE_EXCEEDED"

    run(case)
    assert set(ends(probe)) == {(4, DEADLINE)}


def test_a_deadline_of_the_peers_making(run: Any, probe: Any, echo: Echo) -> None:
    async def case(stub: Stub) -> None:
        assert (await refused(stub.say(b"x", timeout=0.05)))[0] == "DEADLINE_EXCEEDED"
        assert (await refused(all_of(stub.many(b"x", timeout=0.05))))[0] == "DEADLINE_EXCEEDED"

    echo.do = {SAY: lambda r, c: time.sleep(0.3), MANY: lambda r, c: time.sleep(0.3)}
    run(case)
    assert ends(probe) == [(4, DEADLINE)] * 2


def test_retries(run: Any, probe: Any, echo: Echo) -> None:
    tried: list[bytes] = []

    def flaky(request: bytes, context: Any) -> bytes:
        tried.append(request)
        if len(tried) % 3:
            context.abort(grpc.StatusCode.UNAVAILABLE, "later")
        return b"well"

    async def case(stub: Stub) -> None:
        assert await stub.say(b"q0 retry 5") == b"well"

    echo.do[SAY] = flaky
    run(case)
    assert ends(probe) == [(14, REPLY), (14, REPLY), OK]


def test_a_status_of_the_server_runs_no_response(run: Any, probe: Any, echo: Echo) -> None:
    def abort(request: Any, context: Any) -> Any:
        list(request)  # a status that overtakes a request is INTERNAL to grpc.aio
        context.abort(grpc.StatusCode.DATA_LOSS, "lost")

    async def case(stub: Stub) -> None:
        assert await refused(stub.say(b"x")) == ("DATA_LOSS", "lost")
        assert await refused(all_of(stub.many(b"x"))) == ("DATA_LOSS", "lost")
        assert await refused(stub.collect(iter([b"x"]))) == ("DATA_LOSS", "lost")
        assert await refused(all_of(stub.chat(iter([b"x"])))) == ("DATA_LOSS", "lost")
        assert await refused(stub.many(b"x").read()) == ("DATA_LOSS", "lost")

    echo.do = {SAY: abort, MANY: abort, COLLECT: abort, CHAT: abort}
    run(case)
    assert set(ends(probe)) == {(15, REPLY)}
    assert not any(t.responses for t in diary(probe))


def test_cancelled_by_the_application(run: Any, probe: Any, echo: Echo) -> None:
    async def case(stub: Stub) -> None:
        call = stub.say(b"x")
        await asyncio.sleep(0.05)
        assert call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert (call.cancelled(), call.done()) == (True, True)
        assert await call.code() is grpc.StatusCode.CANCELLED

        waiting = asyncio.ensure_future(stub.say(b"y"))
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await asyncio.sleep(0.01)

        replies = stub.many(b"z")
        await replies.read()
        assert replies.cancel()
        with pytest.raises(asyncio.CancelledError):
            await replies.read()

        delayed = stub.many(b"q0 after 9000")
        await asyncio.sleep(0.01)
        assert delayed.cancel()
        assert await delayed.code() is grpc.StatusCode.CANCELLED

    echo.do[SAY] = lambda request, context: time.sleep(0.3)
    run(case)
    assert ends(probe) == [(1, CANCEL)] * 4


def test_a_stream_that_is_dropped_is_finished(run: Any, probe: Any) -> None:
    async def case(stub: Stub) -> None:
        replies = stub.many(b"x")
        await replies.read()
        del replies
        async for _ in stub.chat(iter([b"a", b"b"])):
            break
        await asyncio.sleep(0.05)

    run(case)
    assert ends(probe) == [(1, CANCEL)] * 2


def test_a_peer_that_is_not_there(probe: Any) -> None:
    async def main() -> None:
        async with aio.insecure_channel("127.0.0.1:1") as inner:
            stub = Stub.of(Channel(inner, Carried(probe)))
            assert (await refused(stub.say(b"x")))[0] == "UNAVAILABLE"
            assert (await refused(all_of(stub.many(b"x"))))[0] == "UNAVAILABLE"

    asyncio.run(main())
    assert ends(probe) == [(14, RESET)] * 2


def test_asynchronous_request_iterators(run: Any, probe: Any) -> None:
    async def requests() -> AsyncIterator[bytes]:
        for request in (b"a", b"q1 rewrite B", b"c"):
            await asyncio.sleep(0)
            yield request

    async def case(stub: Stub) -> None:
        assert await stub.collect(requests()) == b"a|B|c"
        assert await all_of(stub.chat(requests())) == [b"a", b"B", b"c"]

    run(case)
    assert ends(probe) == [OK] * 2


def test_several_may_wait_for_one_call(run: Any, probe: Any) -> None:
    async def case(stub: Stub) -> None:
        call = stub.say(b"p0 rewrite x")
        found = await asyncio.gather(call, call, call.code(), call.details())
        assert list(found) == [b"x", b"x", grpc.StatusCode.OK, ""]
        call = stub.say(b"p0 reject 9 no")
        assert await call.code() is grpc.StatusCode.FAILED_PRECONDITION, "asked before the reply is"
        assert await refused(call) == await refused(call) == ("FAILED_PRECONDITION", "no")
        done: list[Any] = []
        call = stub.say(b"y")
        call.add_done_callback(done.append)
        await call.wait_for_connection()
        await call
        await asyncio.sleep(0)
        assert done == [call]

    run(case)
    assert ends(probe) == [OK, (9, REJECT), OK]


def test_a_call_that_nobody_awaits_is_finished(run: Any, probe: Any) -> None:
    async def case(stub: Stub) -> None:
        call = stub.say(b"x")
        await asyncio.sleep(0.02)
        del call
        await asyncio.sleep(0.02)

    run(case)
    assert len(ends(probe)) == 1


def test_headers(probe: Any, echo: Echo) -> None:
    def say(request: bytes, context: Any) -> bytes:
        context.send_initial_metadata((("x-early", "e"),))
        context.set_trailing_metadata((("x-late", "l"),))
        return request

    async def main(port: int) -> None:
        async with aio.insecure_channel(f"127.0.0.1:{port}") as inner:
            stub = Stub.of(Channel(inner, Carried(probe, Touches())))
            request = b"q0 get q x-a\nq0 set q x-a new\n"
            request += b"p0 get p x-early\np0 get t x-late\np0 set p x-more m\np1 set t x-last t"
            call = stub.say(request, metadata=aio.Metadata(("x-a", "old")))
            assert await call == request
            assert dict(await call.initial_metadata())["x-more"] == "m"
            assert dict(await call.trailing_metadata())["x-last"] == "t"

    echo.do[SAY] = say
    with serving(echo) as port:
        asyncio.run(main(port))
    assert diary(probe)[0].got == ["x-a=old", "x-early=e", "x-late=l"]
    assert [v for n, v in echo.metadata[0] if n == "x-a"] == ["new"]


def test_32_streams_at_once_end_once_each(run: Any, probe: Any) -> None:
    async def chat(stub: Stub, number: int) -> Any:
        requests = [b"%d %d" % (number, i) for i in range(20)]
        if number % 4 == 1:
            requests[10] = b"q1 reject 7 no"
        if number % 4 == 2:
            requests[10] = b"p1 reject 7 no"
        try:
            return await all_of(stub.chat(iter(requests))) == requests
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
