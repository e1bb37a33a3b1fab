# SPDX-License-Identifier: Apache-2.0
"""A chain in front of a synchronous server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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
from transect.rpc.grpcio import server
from transect.rpc.grpcio.handle import Carried, Touches

OK = (0, REPLY)


@pytest.fixture
def stub(echo: Echo, carried: Carried) -> Iterator[Stub]:
    """A client without a chain; its server has the probe chain."""
    with serving(echo, carried) as port, calling(port) as made:
        yield made


def test_messages_of_all_kinds_pass_the_chain_in_both_directions(stub: Stub, probe: Any) -> None:
    assert stub.say(b"a") == b"a"
    assert list(stub.many(b"b")) == [b"b 0", b"b 1", b"b 2"]
    assert stub.collect(iter([b"c", b"d"])) == b"a|c|d"
    assert list(stub.chat(iter([b"e", b"f"]))) == [b"e", b"f"]
    assert eventually(lambda: ends(probe)) == [OK] * 4
    counts = [(t.requests[0], t.responses[0]) for t in diary(probe)]
    assert counts == [(1, 1), (1, 3), (2, 1), (2, 2)]


def test_a_refused_request_never_reaches_the_handler(stub: Stub, probe: Any, echo: Echo) -> None:
    assert refused(lambda: stub.say(b"q1 reject 7 no")) == ("PERMISSION_DENIED", "no")
    assert refused(lambda: list(stub.many(b"q0 reject 8 full"))) == ("RESOURCE_EXHAUSTED", "full")
    assert echo.seen == []
    assert eventually(lambda: ends(probe)) == [(7, REJECT), (8, REJECT)]


def test_a_refused_reply_does_not_reach_the_client(stub: Stub, probe: Any, echo: Echo) -> None:
    assert refused(lambda: stub.say(b"p1 reject 9 no")) == ("FAILED_PRECONDITION", "no")
    assert refused(lambda: list(stub.many(b"p1 reject 9 no"))) == ("FAILED_PRECONDITION", "no")
    echo.seen.clear()
    assert refused(lambda: stub.collect(iter([b"p1 reject 9 no"]))) == ("FAILED_PRECONDITION", "no")
    assert eventually(lambda: ends(probe)) == [(9, REJECT)] * 3


def test_a_request_refused_in_midstream_ends_the_rpc(stub: Stub, probe: Any, echo: Echo) -> None:
    requests = [b"a", b"q0 reject 3 bad", b"c"]
    assert refused(lambda: stub.collect(iter(requests))) == ("INVALID_ARGUMENT", "bad")
    assert refused(lambda: list(stub.chat(iter(requests)))) == ("INVALID_ARGUMENT", "bad")
    assert eventually(lambda: ends(probe)) == [(3, REJECT)] * 2
    assert b"c" not in echo.seen


def test_a_handler_cannot_swallow_a_rejection(stub: Stub, probe: Any, echo: Echo) -> None:
    def collect(requests: Iterator[bytes], context: Any) -> bytes:
        try:
            return b"".join(requests)
        except Exception:
            return b"never mind"

    def chat(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        try:
            yield from requests
        except Exception:
            yield b"never mind"

    echo.do = {COLLECT: collect, CHAT: chat}
    assert refused(lambda: stub.collect(iter([b"q0 reject 3 bad"]))) == ("INVALID_ARGUMENT", "bad")
    replies = stub.chat(iter([b"a", b"q0 reject 3 bad"]))
    assert next(replies) == b"a"
    assert refused(lambda: next(replies)) == ("INVALID_ARGUMENT", "bad")


def test_an_answer_of_the_chain_needs_no_handler(stub: Stub, probe: Any, echo: Echo) -> None:
    assert stub.say(b"q1 respond hello") == b"hello"
    assert stub.collect(iter([b"a", b"q0 respond enough", b"c"])) == b"enough"
    assert b"c" not in echo.seen
    assert eventually(lambda: ends(probe)) == [OK] * 2


def test_rewritten_messages_are_what_passes_on(stub: Stub, echo: Echo) -> None:
    assert stub.say(b"q0 rewrite new") == b"new"
    assert echo.seen == [b"new"]
    assert stub.say(b"p0 rewrite new") == b"new"
    assert list(stub.chat(iter([b"q1 rewrite", b"p1 rewrite x"]))) == [b"", b"x"]


def test_a_delay_is_waited_but_not_beyond_the_deadline(stub: Stub, probe: Any, echo: Echo) -> None:
    for call in (
        lambda: stub.say(b"q0 after 30"),
        lambda: stub.say(b"p0 after 30"),
        lambda: list(stub.chat(iter([b"q0 after 30"]))),
    ):
        began = time.monotonic()
        call()
        assert 0.03 <= time.monotonic() - began < 1.0
    echo.seen.clear()
    assert refused(lambda: stub.say(b"q0 after 9000", timeout=0.05))[0] == "DEADLINE_EXCEEDED"
    assert eventually(lambda: ends(probe))[3] == (4, DEADLINE)
    assert echo.seen == []


def test_who_is_refused_or_answered_behind_a_delay_waits_for_it(stub: Stub, probe: Any) -> None:
    no, back = b"q0 after 30\nq1 reject 7 no", b"p1 after 30\np0 reject 7 no"
    for refusal in (
        lambda: stub.say(no),
        lambda: stub.say(back),
        lambda: list(stub.chat(iter([no]))),
        lambda: list(stub.chat(iter([back]))),
    ):
        began = time.monotonic()
        assert refused(refusal) == ("PERMISSION_DENIED", "no")
        assert 0.03 <= time.monotonic() - began < 1.0
    began = time.monotonic()
    assert stub.say(b"q0 after 30\nq1 respond x") == b"x"
    assert 0.03 <= time.monotonic() - began < 1.0
    assert refused(lambda: stub.say(b"q0 after 9000\nq1 reject 7 no", timeout=0.05))[0] == "DEADLINE_EXCEEDED"
    assert eventually(lambda: ends(probe))[:6] == [(7, REJECT)] * 4 + [OK, (4, DEADLINE)]


def test_a_handlers_own_status_runs_no_response(stub: Stub, probe: Any, echo: Echo, caplog: Any) -> None:
    def abort(request: Any, context: Any) -> Any:
        context.abort(grpc.StatusCode.DATA_LOSS, "lost")

    def set_code(request: Any, context: Any) -> bytes:
        context.set_code(grpc.StatusCode.DATA_LOSS)
        context.set_details("lost")
        return b"secret"

    def crash(request: Any, context: Any) -> Any:
        raise ValueError("oops")

    for do, code, wanted in ((abort, 15, "DATA_LOSS"), (set_code, 15, "DATA_LOSS"), (crash, 2, "UNKNOWN")):
        echo.do = {SAY: do, COLLECT: do} | ({} if do is set_code else {MANY: do, CHAT: do})
        before = len(diary(probe))
        assert refused(lambda: stub.say(b"x"))[0] == wanted
        if do is not set_code:
            assert refused(lambda: list(stub.many(b"x")))[0] == wanted
        assert refused(lambda: stub.collect(iter([b"x"])))[0] == wanted
        assert set(eventually(lambda: ends(probe))[before:]) == {(code, REPLY)}
    assert not any(t.responses for t in diary(probe))


def test_a_client_that_cancels(stub: Stub, probe: Any, echo: Echo) -> None:
    inside, release = threading.Event(), threading.Event()

    def say(request: bytes, context: Any) -> bytes:
        inside.set()
        release.wait(5)
        return request

    echo.do[SAY] = say
    future = stub.say.future(b"x")
    assert inside.wait(5)
    future.cancel()
    assert eventually(lambda: ends(probe)) == [(1, CANCEL)], "finish comes while the handler is still busy"
    release.set()
    time.sleep(0.05)
    assert [t.responses for t in diary(probe)] == [{}], "what the handler returns afterwards passes no hook"


def test_a_client_that_cancels_a_stream(stub: Stub, probe: Any, echo: Echo) -> None:
    def many(request: bytes, context: Any) -> Iterator[bytes]:
        while True:
            time.sleep(0.005)
            yield request

    echo.do[MANY] = many
    replies = stub.many(b"x")
    next(replies)
    replies.cancel()
    assert eventually(lambda: ends(probe)) == [(1, CANCEL)]


def test_a_deadline_that_passes(stub: Stub, probe: Any, echo: Echo) -> None:
    echo.do[SAY] = lambda request, context: (time.sleep(0.3), request)[1]
    assert refused(lambda: stub.say(b"x", timeout=0.05))[0] == "DEADLINE_EXCEEDED"
    assert eventually(lambda: ends(probe)) == [(4, DEADLINE)]


def test_serialisers_that_fail_end_the_rpc_in_grpcs_own_words(probe: Any, caplog: Any) -> None:
    def broken(_: Any) -> Any:
        raise ValueError("no")

    class Handlers(grpc.GenericRpcHandler):
        def service(self, handler_call_details: Any) -> Any:
            taking = handler_call_details.method == SAY
            return grpc.unary_unary_rpc_method_handler(
                lambda request, context: request, broken if taking else None, None if taking else broken
            )

    with serving(Handlers(), Carried(probe)) as port, calling(port) as stub:  # type: ignore[arg-type]
        assert refused(lambda: stub.say(b"x")) == ("INTERNAL", "Exception deserializing request!")
        assert refused(lambda: list(stub.many(b"x"))) == ("INTERNAL", "Failed to serialize response!")
        assert eventually(lambda: ends(probe)) == [(13, REPLY)] * 2
    assert "ValueError: no" in caplog.text


# ---------------------------------------------------------------- headers, peer


@pytest.fixture
def touching(probe: Any, echo: Echo) -> Iterator[Stub]:
    with serving(echo, Carried(probe, Touches())) as port, calling(port) as made:
        yield made


def test_the_chain_sees_who_calls_and_with_which_headers(touching: Stub, probe: Any) -> None:
    touching.say(
        b"q0 get q x-a\nq0 get q x-b-bin", metadata=(("x-a", "1"), ("x-a", "2"), ("x-b-bin", b"\x00\xff"))
    )
    (told,) = diary(probe)
    assert told.got == ["x-a=1,2", "x-b-bin=AP8"]
    assert told.peer == "127.0.0.1"


def test_the_handler_sees_the_headers_that_the_chain_has_set(touching: Stub, echo: Echo) -> None:
    seen: list[Any] = []

    def say(request: bytes, context: Any) -> bytes:
        seen.append({pair.key: pair.value for pair in context.invocation_metadata()})
        return request

    def chat(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        for request in requests:
            seen.append({pair.key: pair.value for pair in context.invocation_metadata()})
            yield request

    echo.do = {SAY: say, CHAT: chat}
    touching.say(b"q0 set q x-a new\nq1 remove q x-b", metadata=(("x-a", "old"), ("x-b", "b")))
    list(touching.chat(iter([b"x", b"q0 set q x-a 1", b"q0 set q x-c 2"]), metadata=(("x-a", "old"),)))
    ours = [{k: v for k, v in metadata.items() if k.startswith("x-")} for metadata in seen]
    assert ours == [{"x-a": "new"}, {"x-a": "old"}, {"x-a": "1"}, {"x-a": "1", "x-c": "2"}]


def test_the_chain_changes_headers_and_trailers_of_the_reply(touching: Stub, probe: Any, echo: Echo) -> None:
    def say(request: bytes, context: Any) -> bytes:
        context.send_initial_metadata((("x-early", "e"), ("x-gone", "g")))
        context.set_trailing_metadata((("x-late", "l"),))
        return request

    echo.do[SAY] = say
    _, call = touching.say.with_call(
        b"q0 set t x-before b\np0 get p x-early\np0 get t x-late\n"
        b"p0 set p x-early mine\np0 remove p x-gone\np0 set t x-more m"
    )
    initial, trailing = dict(call.initial_metadata()), dict(call.trailing_metadata())
    assert diary(probe)[0].got == ["x-early=e", "x-late=l"]
    assert (initial.get("x-early"), initial.get("x-gone")) == ("mine", None)
    assert (trailing["x-late"], trailing["x-more"], trailing["x-before"]) == ("l", "m", "b")


def test_held_back_headers_are_sent_without_a_reply_too(touching: Stub, echo: Echo) -> None:
    def collect(requests: Iterator[bytes], context: Any) -> bytes:
        context.send_initial_metadata((("x-early", "e"),))
        context.abort(grpc.StatusCode.ABORTED, "no")
        raise AssertionError

    def chat(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        context.send_initial_metadata((("x-early", "e"),))
        with pytest.raises(ValueError, match="no longer allowed"):
            context.send_initial_metadata((("x-early", "e"),))
        return
        yield

    echo.do = {COLLECT: collect, CHAT: chat}
    with pytest.raises(grpc.RpcError) as caught:
        touching.collect(iter([b"x"]))
    error: Any = caught.value
    assert dict(error.initial_metadata())["x-early"] == "e"
    call = touching.chat(iter([b"x"]))
    assert list(call) == []
    assert dict(call.initial_metadata())["x-early"] == "e"


def test_the_handlers_context_is_whole(touching: Stub, echo: Echo) -> None:
    seen: dict[str, Any] = {}

    def say(request: bytes, context: Any) -> bytes:
        seen.update(
            active=context.is_active(),
            left=context.time_remaining() > 1,
            peer=context.peer(),
            identities=context.peer_identities(),
            key=context.peer_identity_key(),
            auth=context.auth_context(),
            metadata=dict(context.invocation_metadata())["x-a"],
            code=context.code(),
            details=context.details(),
            trailing=context.trailing_metadata(),
        )
        context.set_compression(grpc.Compression.NoCompression)
        context.disable_next_message_compression()
        return request

    echo.do[SAY] = say
    touching.say(b"x", timeout=10, metadata=(("x-a", "1"),))
    assert seen.pop("peer").startswith("ipv4:")
    assert seen == {
        "active": True, "left": True, "identities": None, "key": None, "auth": seen["auth"], "metadata": "1",
        "code": None, "details": None, "trailing": None,
    }  # fmt: skip


# ---------------------------------------------------------------- registration and load


def test_registered_handlers_are_wrapped_like_generic_ones(probe: Any) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = server.Server(grpc.server(pool, options=[("grpc.so_reuseport", 0)]), Carried(probe))
        handler: Any = grpc.unary_unary_rpc_method_handler(lambda request, context: request)
        made.add_registered_method_handlers("t.Echo", {"Say": handler})
        port = made.add_insecure_port("127.0.0.1:0")
        made.start()
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            assert refused(lambda: Stub.of(channel).say(b"q0 reject 7 no")) == ("PERMISSION_DENIED", "no")
        made.stop(0).wait()
        assert made.wait_for_termination(5) is False


def test_a_handler_that_gives_its_replies_to_a_callback_is_behind_the_chain(
    echo: Echo, carried: Carried
) -> None:
    """As gRPC's own health service does: from another thread, until the client goes."""
    watched = threading.Event()
    over = threading.Event()

    def many(request: bytes, context: Any, send: Any) -> None:
        context.add_callback(over.set)

        def later() -> None:
            send(request)
            send(request)
            if request != b"on":
                send(None)
            watched.set()

        threading.Thread(target=later).start()

    many.experimental_non_blocking = True  # type: ignore[attr-defined]
    echo.do[MANY] = many
    with serving(echo, carried) as port, calling(port) as stub:
        assert list(stub.many(b"two")) == [b"two", b"two"]
        assert refused(lambda: list(stub.many(b"q0 reject 7 no"))) == ("PERMISSION_DENIED", "no")
        assert refused(lambda: list(stub.many(b"p0 reject 7 no"))) == ("PERMISSION_DENIED", "no")
        watching = stub.many(b"on")
        assert [next(watching), next(watching)] == [b"on", b"on"]
        over.clear()
        watching.cancel()
        assert over.wait(5), "the handler hears of it"
        expected = [OK, (7, REJECT), (7, REJECT), (1, CANCEL)]
        assert eventually(lambda: ends(carried.handle)) == expected


def test_large_messages(stub: Stub, probe: Any) -> None:
    big = bytes(1 << 20)
    assert stub.say(big) == big
    assert list(stub.chat(iter([big, big]))) == [big, big]


def test_32_streams_at_once_end_once_each(stub: Stub, probe: Any) -> None:
    def chat(number: int) -> Any:
        requests = [b"%d %d" % (number, i) for i in range(20)]
        if number % 4 == 1:
            requests[10] = b"q1 reject 7 no"
        if number % 4 == 2:
            requests[10] = b"p1 reject 7 no"
        try:
            return list(stub.chat(iter(requests))) == requests
        except grpc.RpcError as error:
            return error.code()

    with ThreadPoolExecutor(32) as pool:
        results = list(pool.map(chat, range(32)))
    for number, result in enumerate(results):
        assert result is (grpc.StatusCode.PERMISSION_DENIED if number % 4 in (1, 2) else True), number
    assert sorted(eventually(lambda: ends(probe))) == [OK] * 16 + [(7, REJECT)] * 16


def test_methods_which_the_chain_does_not_cover_are_untouched(probe: Any, echo: Echo) -> None:
    with serving(echo, Carried(probe, methods=frozenset({CHAT}))) as port, calling(port) as stub:
        assert stub.say(b"q0 reject 7 no") == b"q0 reject 7 no"
        assert refused(lambda: list(stub.chat(iter([b"q0 reject 7 no"]))))[0] == "PERMISSION_DENIED"
