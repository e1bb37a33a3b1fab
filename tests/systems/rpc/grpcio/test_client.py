# SPDX-License-Identifier: Apache-2.0
"""A chain in front of a synchronous channel."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import grpc
import pytest

from tests.systems.rpc.grpcio.kit import (
    CANCEL,
    CHAT,
    COLLECT,
    DEADLINE,
    MANY,
    REJECT,
    REPLY,
    RESET,
    SAY,
    Echo,
    Stub,
    calling,
    diary,
    ends,
    eventually,
    refused,
    serving,
)
from transect.rpc.grpcio import client
from transect.rpc.grpcio.handle import Carried, Touches

OK = (0, REPLY)


def test_messages_of_all_kinds_pass_the_chain_in_both_directions(stub: Stub, probe: Any) -> None:
    assert stub.say(b"a") == b"a"
    assert list(stub.many(b"b")) == [b"b 0", b"b 1", b"b 2"]
    assert stub.collect(iter([b"c", b"d"])) == b"a|c|d"
    assert list(stub.chat(iter([b"e", b"f"]))) == [b"e", b"f"]
    assert ends(probe) == [OK] * 4
    counts = [(t.requests[0], t.responses[0]) for t in diary(probe)]
    assert counts == [(1, 1), (1, 3), (2, 1), (2, 2)]


# ---------------------------------------------------------------- rejections


def test_a_refused_request_never_reaches_the_server(stub: Stub, probe: Any, echo: Echo) -> None:
    assert refused(lambda: stub.say(b"q1 reject 7 no")) == ("PERMISSION_DENIED", "no")
    assert refused(lambda: list(stub.many(b"q0 reject 8 full"))) == ("RESOURCE_EXHAUSTED", "full")
    assert echo.metadata == []
    assert [t.entered for t in diary(probe)] == [[0, 1], [0]]
    assert ends(probe) == [(7, REJECT), (8, REJECT)]


def test_a_refused_reply_does_not_reach_the_application(stub: Stub, probe: Any) -> None:
    assert refused(lambda: stub.say(b"p1 reject 9 no")) == ("FAILED_PRECONDITION", "no")
    assert ends(probe) == [(9, REJECT)]


def not_waiting(waiting: list[bool]) -> bool:
    assert not waiting
    return True


def test_a_request_refused_in_midstream_ends_the_rpc(stub: Stub, probe: Any, echo: Echo) -> None:
    waiting: list[bool] = []

    def collect(requests: Iterator[bytes], context: Any) -> bytes:
        waiting.append(True)
        try:
            return b"".join(requests)
        finally:
            waiting.pop()

    echo.do[COLLECT] = collect
    requests = [b"a", b"q0 reject 3 bad", b"c"]
    assert refused(lambda: stub.collect(iter(requests))) == ("INVALID_ARGUMENT", "bad")
    assert eventually(lambda: not_waiting(waiting)), "the server was left waiting"
    assert refused(lambda: list(stub.chat(iter(requests)))) == ("INVALID_ARGUMENT", "bad")
    assert ends(probe) == [(3, REJECT)] * 2
    assert b"c" not in echo.seen


def test_a_reply_refused_in_midstream_ends_the_rpc(stub: Stub, probe: Any) -> None:
    replies = stub.chat(iter([b"a", b"p0 reject 5 gone", b"c"]))
    assert next(replies) == b"a"
    assert refused(lambda: next(replies)) == ("NOT_FOUND", "gone")
    assert refused(lambda: next(replies)) == ("NOT_FOUND", "gone")
    assert replies.code() is grpc.StatusCode.NOT_FOUND
    assert replies.details() == "gone"
    assert ends(probe) == [(5, REJECT)]


def test_a_rejection_with_ok_is_no_success(stub: Stub, probe: Any) -> None:
    assert refused(lambda: stub.say(b"q0 reject 0 odd")) == ("UNKNOWN", "odd")
    assert refused(lambda: stub.say(b"q0 reject 77 odd")) == ("UNKNOWN", "odd")


def test_our_error_has_the_interface_of_grpcs_own(stub: Stub, request: pytest.FixtureRequest) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.say(b"q0 reject 7 no")
    error: Any = caught.value
    assert isinstance(error, grpc.Call)
    assert isinstance(error, grpc.Future)
    set_in_finish = () if "bare" in request.node.name else (("x-finished", "yes"),)
    assert (error.initial_metadata(), error.trailing_metadata()) == ((), set_in_finish)
    assert (error.done(), error.running(), error.cancelled(), error.cancel()) == (True, False, False, False)
    assert error.exception() is error
    assert error.traceback() is not None
    assert "PERMISSION_DENIED" in repr(error)


# ---------------------------------------------------------------- answers and rewriting


def test_an_answer_of_the_chain_needs_no_server(probe: Any) -> None:
    with calling(1, Carried(probe)) as stub:  # nobody listens on port 1
        assert stub.say(b"q1 respond hello") == b"hello"
        reply, call = stub.say.with_call(b"q0 respond hello")
        assert (reply, call.code(), call.trailing_metadata()) == (b"hello", grpc.StatusCode.OK, ())
        assert stub.say.future(b"q0 respond hello").result(5) == b"hello"
        assert stub.collect(iter([b"q0 respond early", b"x"])) == b"early"
    assert ends(probe) == [OK] * 4


def test_an_answer_in_midstream_cancels_what_was_sent(stub: Stub, probe: Any) -> None:
    assert stub.collect(iter([b"a", b"q0 respond enough", b"c"])) == b"enough"
    assert ends(probe) == [OK]


def test_rewritten_messages_are_what_passes_on(stub: Stub, echo: Echo) -> None:
    assert stub.say(b"q0 rewrite new") == b"new"
    assert echo.seen == [b"new"]
    assert stub.say(b"p0 rewrite new") == b"new"
    assert echo.seen[1] == b"p0 rewrite new"
    assert list(stub.chat(iter([b"q1 rewrite", b"p1 rewrite x"]))) == [b"", b"x"]


# ---------------------------------------------------------------- delays, deadlines, retries


def test_a_delay_is_waited(stub: Stub) -> None:
    for call in (
        lambda: stub.say(b"q0 after 30"),
        lambda: stub.say(b"p0 after 30"),
        lambda: stub.say.future(b"q0 after 30").result(5),
        lambda: list(stub.many(b"q0 after 30")),
        lambda: list(stub.chat(iter([b"q0 after 30"]))),
        lambda: list(stub.chat(iter([b"p0 after 30"]))),
        lambda: stub.collect(iter([b"q0 after 30"])),
    ):
        began = time.monotonic()
        call()
        assert 0.03 <= time.monotonic() - began < 1.0


def test_who_is_refused_or_answered_behind_a_delay_waits_for_it(stub: Stub, probe: Any, echo: Echo) -> None:
    no, back, answer = (
        b"q0 after 30\nq1 reject 7 no",
        b"p1 after 30\np0 reject 7 no",
        b"q0 after 30\nq1 respond x",
    )
    for refusal in (
        lambda: stub.say(no),
        lambda: stub.say(back),
        lambda: stub.say.future(no).result(5),
        lambda: list(stub.many(no)),
        lambda: list(stub.many(back)),
        lambda: list(stub.chat(iter([no]))),
        lambda: stub.collect(iter([no])),
    ):
        began = time.monotonic()
        assert refused(refusal) == ("PERMISSION_DENIED", "no")
        assert 0.03 <= time.monotonic() - began < 1.0
    for call, asked in ((stub.say, answer), (stub.collect, iter([answer]))):
        began = time.monotonic()
        assert call(asked) == b"x"
        assert 0.03 <= time.monotonic() - began < 1.0
    assert set(echo.seen) == {back}
    late = b"q0 after 9000\nq1 reject 7 no"
    assert refused(lambda: stub.say(late, timeout=0.05))[0] == "DEADLINE_EXCEEDED"
    assert refused(lambda: list(stub.many(late, timeout=0.05)))[0] == "DEADLINE_EXCEEDED"
    assert ends(probe) == [(7, REJECT)] * 7 + [OK] * 2 + [(4, DEADLINE)] * 2


def test_a_delay_beyond_the_deadline_ends_at_the_deadline(stub: Stub, probe: Any, echo: Echo) -> None:
    began = time.monotonic()
    assert refused(lambda: stub.say(b"q0 after 9000", timeout=0.05))[0] == "DEADLINE_EXCEEDED"
    assert refused(lambda: list(stub.many(b"q0 after 9000", timeout=0.05)))[0] == "DEADLINE_EXCEEDED"
    assert (
        refused(lambda: stub.say.future(b"q0 after 9000", timeout=0.05).result(5))[0] == "DEADLINE_EXCEEDED"
    )
    assert refused(lambda: stub.say(b"p0 after 9000", timeout=0.05))[0] == "DEADLINE_EXCEEDED"
    assert time.monotonic() - began < 2
    assert ends(probe) == [(4, DEADLINE)] * 4
    assert echo.seen == [b"p0 after 9000"]


@pytest.mark.parametrize("timeout", [0, 1e-9, -1])
def test_of_a_deadline_that_has_passed_no_call_is_answered(stub: Stub, probe: Any, timeout: float) -> None:
    """gRPC itself answers most calls with a timeout of 0 or of some nanoseconds, and none with a negative one."""
    for call in (
        lambda: stub.say.with_call(b"x", timeout=timeout),
        lambda: stub.say.future(b"x", timeout=timeout).result(5),
        lambda: stub.say(b"q0 rewrite y", timeout=min(timeout, -1)),
        lambda: list(stub.many(b"q0 rewrite y", timeout=min(timeout, -1))),
        lambda: stub.collect(iter([b"x"]), timeout=timeout),
        lambda: stub.collect.future(iter([b"x"]), timeout=timeout).result(5),
    ):
        for _ in range(10):
            assert refused(call)[0] == "DEADLINE_EXCEEDED"
    assert set(ends(probe)) == {(4, DEADLINE)}


def test_a_deadline_of_the_peers_making(stub: Stub, probe: Any, echo: Echo) -> None:
    echo.do[SAY] = lambda request, context: time.sleep(0.4)
    echo.do[MANY] = lambda request, context: time.sleep(0.4)
    assert refused(lambda: stub.say(b"x", timeout=0.05))[0] == "DEADLINE_EXCEEDED"
    assert refused(lambda: list(stub.many(b"x", timeout=0.05)))[0] == "DEADLINE_EXCEEDED"
    assert ends(probe) == [(4, DEADLINE)] * 2


@pytest.mark.parametrize("call", ["plain", "with_call", "future"])
def test_a_retry_sends_the_same_request_again_until_it_succeeds(
    stub: Stub, probe: Any, echo: Echo, call: str
) -> None:
    tried: list[bytes] = []

    def flaky(request: bytes, context: Any) -> bytes:
        tried.append(request)
        if len(tried) < 3:
            context.abort(grpc.StatusCode.UNAVAILABLE, "later")
        return b"well"

    echo.do[SAY] = flaky
    calls = {
        "plain": lambda: stub.say(b"q0 retry 5"),
        "with_call": lambda: stub.say.with_call(b"q0 retry 5")[0],
        "future": lambda: stub.say.future(b"q0 retry 5").result(5),
    }
    assert calls[call]() == b"well"
    assert tried == [b"q0 retry 5"] * 3
    assert ends(probe) == [(14, REPLY), (14, REPLY), OK]


def test_attempts_are_bounded(stub: Stub, probe: Any, echo: Echo) -> None:
    echo.do[SAY] = lambda request, context: context.abort(grpc.StatusCode.UNAVAILABLE, "never")
    assert refused(lambda: stub.say(b"q0 retry 1")) == ("UNAVAILABLE", "never")
    assert len(ends(probe)) == 3  # the fixture's `attempts`
    assert refused(lambda: stub.say(b"q0 retry 900", timeout=0.3)) == ("UNAVAILABLE", "never")
    assert len(ends(probe)) == 4, "an attempt that cannot begin before the deadline is not waited for"


# ---------------------------------------------------------------- how RPCs end


def test_a_status_of_the_server_runs_no_response(stub: Stub, probe: Any, echo: Echo) -> None:
    def abort(request: Any, context: Any) -> Any:
        context.abort(grpc.StatusCode.DATA_LOSS, "lost")

    echo.do = {SAY: abort, MANY: abort, COLLECT: abort, CHAT: abort}
    for call in (
        lambda: stub.say(b"x"),
        lambda: stub.say.with_call(b"x"),
        lambda: stub.say.future(b"x").result(5),
        lambda: list(stub.many(b"x")),
        lambda: stub.collect(iter([b"x"])),
        lambda: list(stub.chat(iter([b"x"]))),
    ):
        assert refused(call) == ("DATA_LOSS", "lost")
    # The streams' first request may be overtaken by the status; then nothing was entered.
    assert set(ends(probe)) == {(15, REPLY)}
    assert not any(t.responses for t in diary(probe))


def test_cancelled_by_the_application(stub: Stub, probe: Any, echo: Echo) -> None:
    release = threading.Event()
    echo.do[SAY] = lambda request, context: release.wait(5)
    future = stub.say.future(b"x")
    time.sleep(0.05)
    assert future.cancel()
    with pytest.raises(grpc.FutureCancelledError):
        future.result(5)
    assert (future.cancelled(), future.code()) == (True, grpc.StatusCode.CANCELLED)
    replies = stub.many(b"y")
    next(replies)
    assert replies.cancel()
    with pytest.raises(grpc.RpcError):
        next(replies)
    release.set()
    assert ends(probe) == [(1, CANCEL)] * 2


def test_a_future_is_cancelled_while_the_chain_delays_it(stub: Stub, probe: Any, echo: Echo) -> None:
    future = stub.say.future(b"q0 after 9000")
    assert not future.done()
    assert future.cancel()
    with pytest.raises(grpc.FutureCancelledError):
        future.result(5)
    assert ends(probe) == [(1, CANCEL)]
    assert future.code() is grpc.StatusCode.CANCELLED
    assert echo.metadata == []


def test_a_stream_that_is_dropped_is_finished(stub: Stub, probe: Any) -> None:
    replies = stub.many(b"x")
    next(replies)
    del replies
    chat = stub.chat(iter([b"a", b"b"]))
    next(chat)
    del chat
    assert eventually(lambda: ends(probe)) == [(1, CANCEL)] * 2


def test_a_peer_that_is_not_there(probe: Any) -> None:
    with calling(1, Carried(probe)) as stub:
        assert refused(lambda: stub.say(b"x"))[0] == "UNAVAILABLE"
        assert refused(lambda: list(stub.many(b"x")))[0] == "UNAVAILABLE"
    assert ends(probe) == [(14, RESET)] * 2


def test_a_server_that_stops_in_the_middle(probe: Any, echo: Echo) -> None:
    began = threading.Event()

    def wait(request: bytes, context: Any) -> bytes:
        began.set()
        time.sleep(0.3)
        return request

    echo.do[SAY] = wait
    with ExitStack() as server:
        port = server.enter_context(serving(echo))
        with calling(port, Carried(probe)) as stub:
            future = stub.say.future(b"x")
            assert began.wait(5)
            server.close()
            assert refused(lambda: future.result(5))[0] in ("UNAVAILABLE", "CANCELLED")
    assert ends(probe)[0][1] is RESET


def test_closing_the_channel_cancels(probe: Any, echo: Echo) -> None:
    release = threading.Event()
    echo.do[SAY] = lambda request, context: release.wait(5)
    with serving(echo) as port:
        with calling(port, Carried(probe)) as stub:
            future = stub.say.future(b"x")
            time.sleep(0.05)
        assert refused(lambda: future.result(5)) == ("CANCELLED", "Channel closed!")
        release.set()
    assert ends(probe) == [(1, CANCEL)]


def test_an_rpc_without_a_message_is_refused_and_enters_nobody(stub: Stub, probe: Any, caplog: Any) -> None:
    caplog.set_level(logging.CRITICAL)
    empty = ("INVALID_ARGUMENT", "a request without a message: the chain has nothing to decide")
    assert refused(lambda: stub.collect(iter([]))) == empty
    assert refused(lambda: list(stub.chat(iter([])))) == empty
    assert diary(probe) == [] or all(not t.entered for t in diary(probe))


def test_interrupted_by_an_exception_of_the_request_iterator(stub: Stub, probe: Any, caplog: Any) -> None:
    def requests() -> Iterator[bytes]:
        yield b"a"
        raise ValueError("mine")

    caplog.set_level(logging.CRITICAL)
    assert refused(lambda: stub.collect(requests()))[0] == "UNKNOWN"
    assert refused(lambda: list(stub.chat(requests())))[0] == "UNKNOWN"
    assert len(ends(probe)) == 2


# ---------------------------------------------------------------- serialisers


def called(kind: str, method: Any) -> Any:
    result = method(iter([b"x"]) if kind.startswith("stream") else b"x")
    return list(result) if kind.endswith("stream") else result


def test_serialisers_that_fail_end_the_rpc_in_grpcs_own_words(probe: Any, echo: Echo, caplog: Any) -> None:
    def broken(_: Any) -> Any:
        raise ValueError("no")

    with serving(echo) as port, grpc.insecure_channel(f"127.0.0.1:{port}") as inner:
        channel = client.Channel(inner, Carried(probe))
        for kind, path in (
            ("unary_unary", SAY),
            ("unary_stream", MANY),
            ("stream_unary", COLLECT),
            ("stream_stream", CHAT),
        ):
            sending = getattr(channel, kind)(path, request_serializer=broken)
            assert refused(partial(called, kind, sending)) == ("INTERNAL", "Exception serializing request!")
            taking = getattr(channel, kind)(path, response_deserializer=broken)
            assert refused(partial(called, kind, taking)) == ("INTERNAL", "Exception deserializing response!")
    assert "ValueError: no" in caplog.text
    assert all(t.ends for t in diary(probe))


# ---------------------------------------------------------------- headers


@pytest.fixture
def touching(probe: Any, echo: Echo) -> Iterator[Stub]:
    with serving(echo) as port, calling(port, Carried(probe, Touches())) as made:
        yield made


def test_the_chain_reads_sets_and_removes_request_headers(touching: Stub, probe: Any, echo: Echo) -> None:
    say = b"q0 get q x-a\nq0 set q x-a new\nq1 get q x-a\nq1 remove q x-b\nq1 get q x-b"
    touching.say(say, metadata=(("x-a", "first"), ("x-a", "last"), ("x-b", "b"), ("x-c", "c")))
    assert diary(probe)[0].got == ["x-a=first,last", "x-a=new", "x-b"]
    sent = {name: value for name, value in echo.metadata[0] if name.startswith("x-")}
    assert sent == {"x-a": "new", "x-c": "c"}
    list(touching.many(b"q0 set q x-a new", metadata=[("x-a", "old")]))
    assert [value for name, value in echo.metadata[1] if name == "x-a"] == ["new"]


def test_the_chain_reads_and_changes_what_the_server_answered(touching: Stub, probe: Any, echo: Echo) -> None:
    def say(request: bytes, context: Any) -> bytes:
        context.send_initial_metadata((("x-early", "e"), ("x-gone", "g")))
        context.set_trailing_metadata((("x-late", "l"),))
        return request

    echo.do[SAY] = say
    request = (
        b"p0 get p x-early\np0 get t x-late\np0 set p x-early mine\np0 remove p x-gone\np0 set t x-more m"
    )
    reply, call = touching.say.with_call(request)
    assert reply == request
    assert diary(probe)[0].got == ["x-early=e", "x-late=l"]
    initial, trailing = dict(call.initial_metadata()), dict(call.trailing_metadata())
    assert (initial.get("x-early"), initial.get("x-gone")) == ("mine", None)
    assert (trailing["x-late"], trailing["x-more"]) == ("l", "m")


def test_a_stream_shows_the_chain_its_headers(touching: Stub, probe: Any, echo: Echo) -> None:
    def many(request: bytes, context: Any) -> Iterator[bytes]:
        context.send_initial_metadata((("x-early", "e"),))
        yield request

    echo.do[MANY] = many
    replies = touching.many(b"p0 get p x-early\np0 set p x-early mine")
    assert len(list(replies)) == 1
    assert diary(probe)[0].got == ["x-early=e"]
    assert dict(replies.initial_metadata())["x-early"] == "mine"


def test_binary_headers_are_base64_to_the_chain(touching: Stub, probe: Any, echo: Echo) -> None:
    twice = (("x-a-bin", b"\x00\xff"), ("x-a-bin", b"\x01"), ("x-a-bin", b""))
    touching.say(b"q0 get q x-a-bin\nq0 set q x-b-bin AAE", metadata=twice)
    assert diary(probe)[0].got == ["x-a-bin=AP8,AQ,"]
    assert dict(echo.metadata[0])["x-b-bin"] == b"\x00\x01"


def test_a_bad_header_is_left_out(touching: Stub, echo: Echo) -> None:
    assert touching.say("q0 set q x-a süß\nq0 set q X-B b\nq0 set q x-c c".encode())
    assert [n for n, _ in echo.metadata[0] if n.lower().startswith("x-")] == ["x-c"]


# ---------------------------------------------------------------- load


def test_large_messages(stub: Stub, probe: Any) -> None:
    big = bytes(1 << 20)
    assert stub.say(big) == big
    assert list(stub.chat(iter([big, big]))) == [big, big]
    assert ends(probe) == [OK] * 2


def test_32_streams_at_once_end_once_each(stub: Stub, probe: Any) -> None:
    results: list[Any] = [None] * 32

    def chat(number: int) -> None:
        requests = [b"%d %d" % (number, i) for i in range(20)]
        if number % 4 == 1:
            requests[10] = b"q1 reject 7 no"
        if number % 4 == 2:
            requests[10] = b"p1 reject 7 no"
        try:
            results[number] = list(stub.chat(iter(requests))) == requests
        except grpc.RpcError as error:
            results[number] = error.code()

    threads = [threading.Thread(target=chat, args=(n,)) for n in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for number, result in enumerate(results):
        assert result is (grpc.StatusCode.PERMISSION_DENIED if number % 4 in (1, 2) else True), number
    assert sorted(ends(probe)) == [OK] * 16 + [(7, REJECT)] * 16


def test_methods_which_the_chain_does_not_cover_are_untouched(probe: Any, echo: Echo) -> None:
    with serving(echo) as port, calling(port, Carried(probe, methods=frozenset({CHAT}))) as stub:
        assert stub.say(b"q0 reject 7 no") == b"q0 reject 7 no"
        assert refused(lambda: list(stub.chat(iter([b"q0 reject 7 no"]))))[0] == "PERMISSION_DENIED"
