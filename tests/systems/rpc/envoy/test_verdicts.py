# SPDX-License-Identifier: Apache-2.0
"""What a chain decides happens to real RPCs through a real Envoy: unary and streaming."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.systems.rpc.envoy.kit import (
    COLLECT,
    COUNT,
    ECHO,
    REJECTED,
    REPLY,
    STREAM,
    Client,
    Echo,
    Proxy,
    channel,
    outcome,
    proxy,
    serving,
)
from transect.rpc.envoy import Endpoint

pytestmark = pytest.mark.needs("envoy", "gcc", "grpcio")

DENIED = grpc.StatusCode.PERMISSION_DENIED


def hooks(running: Proxy) -> list[str]:
    """The order of hooks: `q0` is `request` of element 0, `p` response, `f` finish."""
    running.ends(1)
    return [line[0] + line[2] for line in running.diary() if line[0] in "qpf"]


# --- one message --------------------------------------------------------------------------------------------------


def test_hooks_run_in_chain_order_and_in_reverse(running: Proxy, client: Client) -> None:
    assert client.unary_unary(ECHO)(b"hello") == b"hello"
    assert hooks(running) == ["q0", "q1", "p1", "p0", "f1", "f0"]
    assert running.ends() == {1: (0, REPLY)}
    assert running.diary()[0][2:] == [ECHO, "127.0.0.1"]


def test_a_rejection_is_a_status_and_the_server_never_hears_of_it(
    running: Proxy, client: Client, echo: tuple[int, Echo]
) -> None:
    before = len(echo[1].log)
    assert outcome(client.unary_unary(ECHO), b"q1 reject 7 not you") == (DENIED, "not you", None)
    assert len(echo[1].log) == before
    assert hooks(running) == ["q0", "q1", "f1", "f0"]
    assert running.ends() == {1: (7, REJECTED)}


def test_later_elements_are_not_entered(running: Proxy, client: Client) -> None:
    assert outcome(client.unary_unary(ECHO), b"q0 reject 7 no")[0] is DENIED
    assert hooks(running) == ["q0", "f0"]


@pytest.mark.parametrize("text", ["100 % zażółć gęślą", 'a, b; c: "d"', "", "tab\there"])
def test_the_text_of_a_rejection_arrives_as_written(client: Client, text: str) -> None:
    assert outcome(client.unary_unary(ECHO), b"q0 reject 3 " + text.encode())[1] == text


@pytest.mark.parametrize("letter", ["x", "%", "é", "字"])
def test_a_text_made_of_a_message_is_cut_before_it_is_too_large_for_a_header(
    client: Client, letter: str
) -> None:
    """A client, or a proxy before it that others share, would refuse the headers, or end the whole connection."""
    code, text, _ = outcome(client.unary_unary(ECHO), b"q0 reject 7 " + (letter * 20_000).encode())
    assert code is DENIED
    assert set(text) == {letter}, "no letter is cut in two"
    assert 1000 < len(text.encode()) <= 1024


@pytest.mark.parametrize("code", [0, 17, -1])
def test_a_rejection_is_never_a_success(running: Proxy, client: Client, code: int) -> None:
    got = outcome(client.unary_unary(ECHO), f"q0 reject {code} odd".encode())
    assert got == (grpc.StatusCode.UNKNOWN, "odd", None)
    assert running.ends() == {1: (2, REJECTED)}


def test_a_reply_may_be_rejected(running: Proxy, client: Client) -> None:
    assert outcome(client.unary_unary(ECHO), b"p1 reject 9 bad reply") == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "bad reply",
        None,
    )
    assert hooks(running) == ["q0", "q1", "p1", "f1", "f0"]
    assert running.ends() == {1: (9, REJECTED)}


def test_an_element_may_answer_itself(running: Proxy, client: Client, echo: tuple[int, Echo]) -> None:
    before = len(echo[1].log)
    reply, call = client.unary_unary(ECHO).with_call(b"q1 respond from the cache")
    assert (reply, call.code()) == (b"from the cache", grpc.StatusCode.OK)
    assert len(echo[1].log) == before
    assert running.ends() == {1: (0, REPLY)}


def test_requests_and_replies_may_be_rewritten(client: Client) -> None:
    echo = client.unary_unary(ECHO)
    assert echo(b"q0 rewrite short") == b"short"
    assert echo(b"q0 rewrite " + b"long" * 900) == b"long" * 900
    assert echo(b"p0 rewrite other") == b"other"
    assert echo(b"q1 rewrite ") == b""


@pytest.mark.parametrize("hook", ["q1", "p1"])
def test_a_delay_is_kept(client: Client, hook: str) -> None:
    began = time.monotonic()
    assert client.unary_unary(ECHO)(f"{hook} after 60".encode())
    assert 0.06 <= time.monotonic() - began < 0.5


def test_delays_of_elements_add_up(client: Client) -> None:
    began = time.monotonic()
    assert client.unary_unary(ECHO)(b"q0 after 30\nq1 after 30\np0 after 30")
    assert 0.09 <= time.monotonic() - began < 0.5


@pytest.mark.parametrize("ways", [("q0", "q1"), ("p1", "p0")])
def test_who_is_refused_behind_a_delay_waits_for_it(
    running: Proxy, client: Client, echo: tuple[int, Echo], ways: tuple[str, str]
) -> None:
    refusing = f"{ways[0]} after 60\n{ways[1]} reject 7 no".encode()
    before = len(echo[1].log)
    began = time.monotonic()
    assert outcome(client.unary_unary(ECHO), refusing)[:2] == (DENIED, "no")
    assert 0.06 <= time.monotonic() - began < 0.5
    assert len(echo[1].log) == before + (ways[0] == "p1"), "who is refused does not reach the server"
    assert running.ends() == {1: (7, REJECTED)}


@pytest.mark.parametrize("ways", [("q0", "q1"), ("p1", "p0")])
def test_who_is_refused_behind_a_delay_of_a_stream_waits_for_it(
    running: Proxy, client: Client, ways: tuple[str, str]
) -> None:
    refusing = f"{ways[0]} after 60\n{ways[1]} reject 7 no".encode()
    began = time.monotonic()
    got, code, text = talk(client, b"a", refusing, b"d")
    assert (code, text) == (DENIED, "no")
    assert got[:1] in ([b"a"], []) if ways[0] == "q0" else got == [b"a"]
    assert 0.06 <= time.monotonic() - began < 0.5
    assert running.ends() == {1: (7, REJECTED)}


def test_who_is_answered_behind_a_delay_waits_for_it(running: Proxy, client: Client) -> None:
    began = time.monotonic()
    assert client.unary_unary(ECHO)(b"q0 after 60\nq1 respond from the cache") == b"from the cache"
    assert 0.06 <= time.monotonic() - began < 0.5
    assert running.ends() == {1: (0, REPLY)}


def test_a_route_leads_elsewhere_and_no_client_can_choose_it(
    probe: Path, echo: tuple[int, Echo], tmp_path: Path
) -> None:
    other = Echo()
    with serving(other) as port, proxy(probe, tmp_path, echo[0], routes={"canary": Endpoint(port=port)}) as p:
        with channel(p.port) as c:
            assert c.unary_unary(ECHO)(b"q0 to canary")
            assert len(other.log) == 1
            assert c.unary_unary(ECHO)(b"plain", metadata=[("x-transect-route", "canary")])
            assert len(other.log) == 1
            for nobody in (b"q0 to nowhere", b"q0 to "):  # the empty text is a name, too
                code, why, _ = outcome(c.unary_unary(ECHO), nobody)
                assert code is grpc.StatusCode.UNAVAILABLE
                assert why == "the policy names a route that this proxy does not have"


def test_a_later_message_of_a_stream_names_the_route_that_was_taken_and_no_other(
    probe: Path, echo: tuple[int, Echo], tmp_path: Path
) -> None:
    here = Echo()
    with serving(here) as port:
        routes = {"canary": Endpoint(port=port), "other": Endpoint(port=port)}
        with proxy(probe, tmp_path, echo[0], routes=routes, early=()) as p, channel(p.port) as c:
            collect = c.stream_unary(COLLECT)
            told = [b"q0 to canary"] * 3
            assert collect(iter(told), timeout=10) == b"|".join(told)
            assert len(here.log) == 1
            for second in (b"q0 to other", b"q0 to canary"):
                first = b"q0 to canary" if second == b"q0 to other" else b"a"
                code, why, _ = outcome(collect, spoken(first, second), timeout=10)
                assert (code, why) == (
                    grpc.StatusCode.UNAVAILABLE,
                    "the policy names a route after the RPC was sent on",
                )


def spoken(*messages: bytes) -> Iterator[bytes]:
    """One after the other: the first has gone on when the next one is said."""
    for message in messages:
        yield message
        time.sleep(0.3)


# --- headers ------------------------------------------------------------------------------------------------------


def test_elements_read_set_and_remove_headers(running: Proxy, client: Client, echo: tuple[int, Echo]) -> None:
    told = b"q0 get q x-in\nq0 set q x-new 1\nq1 remove q x-in\nq1 set p x-early 2\np0 set p x-late 3\np0 set t x-end 4"
    _, call = client.unary_unary(ECHO).with_call(told, metadata=[("x-in", "a"), ("x-in", "b")])
    seen = echo[1].log[-1]
    assert (seen.get("x-new"), seen.get("x-in")) == ("1", None)
    assert ["get", "1", "x-in=a,b"] in running.diary(), "of several, all"
    initial, final = dict(call.initial_metadata()), dict(call.trailing_metadata())
    assert (initial["x-early"], initial["x-late"]) == ("2", "3")
    assert (final["x-end"], final["x-finished"]) == ("4", "yes")


def test_a_header_set_for_later_is_read_at_once(running: Proxy, client: Client) -> None:
    client.unary_unary(ECHO)(b"q0 get t x-a\nq0 set t x-a 1\nq1 get t x-a\nq1 remove t x-a\nq1 get t x-a")
    got = [line[2:] for line in running.diary() if line[0] == "get"]
    assert got == [["x-a", "absent"], ["x-a=1"], ["x-a", "absent"]]


@pytest.mark.parametrize("count", [90, 200])
def test_as_many_headers_as_grpc_takes_reach_the_service_and_the_chain(
    running: Proxy, client: Client, count: int
) -> None:
    """Beyond 8 KiB of metadata, each with 32 bytes for itself, gRPC's server refuses some of the RPCs by chance."""
    metadata = [(f"x-{i}", "1") for i in range(count)]
    last = f"x-{count - 1}"
    assert client.unary_unary(ECHO)(f"q0 get q {last}".encode(), metadata=metadata, timeout=10)
    assert [line[2:] for line in running.diary() if line[0] == "get"] == [[f"{last}=1"]]


def test_a_header_that_would_break_the_connection_is_not_set(running: Proxy, client: Client) -> None:
    assert client.unary_unary(ECHO)(b"q0 set q X-Upper 1\nq0 set q x-ctl a\rb\nq0 set q :path /other")
    assert running.counted("bad_headers") == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [("x-in", "é"), ("x-in", "a\rb"), ("x-in", "\x7f"), ("x-in-bin", "a,b"), ("x-in-bin", "YQ===")],
)
def test_a_value_that_grpc_refuses_takes_the_header_of_the_client_away(
    running: Proxy, client: Client, echo: tuple[int, Echo], name: str, value: str
) -> None:
    """The policy has set it: the server must not read what the client chose instead."""
    forged: str | bytes = b"root" if name.endswith("-bin") else "root"
    client.unary_unary(ECHO)(f"q0 set q {name} {value}\nq1 get q {name}".encode(), metadata=[(name, forged)])
    assert name not in echo[1].log[-1]
    assert ["get", "1", name, "absent"] in running.diary()


def test_a_value_that_grpc_refuses_takes_a_header_of_the_reply_away(
    client: Client, echo: tuple[int, Echo]
) -> None:
    def sends(request: bytes, context: Any) -> bytes:
        context.send_initial_metadata((("x-server", "1"), ("x-kept", "1")))
        context.set_trailing_metadata((("x-tail", "2"), ("x-early", "3"), ("x-kept-too", "4")))
        return request

    echo[1].extra["/t.Echo/Sends"] = sends
    told = "q0 set t x-early é\np1 set p x-server é\np1 set t x-tail é"
    _, call = client.unary_unary("/t.Echo/Sends").with_call(told.encode())
    seen = {name for name, _ in (*call.initial_metadata(), *call.trailing_metadata())}
    assert {name for name in seen if name.startswith("x-")} >= {"x-kept", "x-kept-too"}
    assert not seen & {"x-server", "x-tail", "x-early"}


def test_of_a_header_set_to_nothing_no_value_of_the_client_is_left(
    client: Client, echo: tuple[int, Echo]
) -> None:
    client.unary_unary(ECHO)(b"q0 set q x-in ", metadata=[("x-in", "root")])
    assert not echo[1].log[-1].get("x-in")


def test_our_own_replies_carry_however_many_headers_elements_set(client: Client) -> None:
    told = "\n".join(f"q0 set t x-{n} {n}" for n in range(60)).encode()
    with pytest.raises(grpc.RpcError) as caught:
        client.unary_unary(ECHO)(told + b"\nq1 reject 7 no")
    error: Any = caught.value
    assert {f"x-{n}" for n in range(60)} <= set(dict(error.trailing_metadata()))


def test_a_binary_header_whose_value_is_no_base64_is_not_set(running: Proxy, client: Client) -> None:
    """A client ends the call over one, where a grpcio server does not send it."""
    told = b"q0 set t x-no-bin a,b\nq0 set t x-yes-bin AP8\nq0 set t x-padded-bin YQ=="
    _, call = client.unary_unary(ECHO).with_call(told)
    found = dict(call.trailing_metadata())
    assert (found.get("x-no-bin"), found["x-yes-bin"], found["x-padded-bin"]) == (None, b"\x00\xff", b"a")
    assert running.counted("bad_headers") == 1


def test_our_own_replies_carry_headers_that_elements_set(client: Client) -> None:
    _, call = client.unary_unary(ECHO).with_call(b"q0 set t x-a 1\nq0 set p x-b 2\nq1 respond hi")
    assert dict(call.trailing_metadata())["x-a"] == "1"
    assert dict(call.initial_metadata())["x-b"] == "2"
    with pytest.raises(grpc.RpcError) as caught:
        client.unary_unary(ECHO)(b"q0 set t x-a 1\nq1 reject 7 no")
    error: Any = caught.value
    assert dict(error.trailing_metadata())["x-a"] == "1"


# --- many messages ------------------------------------------------------------------------------------------------


def talk(client: Client, *messages: bytes) -> tuple[list[bytes], grpc.StatusCode, str]:
    """What came back from the echoing stream, and how it ended."""
    got: list[bytes] = []
    call = client.stream_stream(STREAM)(iter(messages), timeout=10)
    with contextlib.suppress(grpc.RpcError):
        got.extend(call)
    return got, call.code(), call.details()


def test_each_message_of_a_stream_is_decided_as_it_comes(running: Proxy, client: Client) -> None:
    """The client sends the next message only after the reply to the last: nothing waits for the end of the stream."""
    sent: list[bytes] = []

    def speak() -> Iterator[bytes]:
        for i in range(3):
            while len(sent) < i:
                time.sleep(0.001)
            yield f"{i}".encode()

    call = client.stream_stream(STREAM)(speak(), timeout=10)
    for reply in call:
        sent.append(reply)
    assert sent == [b"0", b"1", b"2"]
    running.ends(1)
    assert [line[0] for line in running.diary() if line[0] in "qp"] == ["q", "q", "p", "p"] * 3


def test_a_request_rejected_in_the_middle_ends_the_stream_with_its_status(
    running: Proxy, client: Client
) -> None:
    call = client.stream_stream(STREAM)(iter([b"a", b"b", b"q0 reject 7 enough", b"d"]), timeout=10)
    with pytest.raises(grpc.RpcError):
        list(call)
    assert (call.code(), call.details()) == (DENIED, "enough")
    assert running.ends(1) == {1: (7, REJECTED)}


def test_a_reply_rejected_in_the_middle_loses_none_before_it(running: Proxy, client: Client) -> None:
    got, code, text = talk(client, b"a", b"b", b"p0 reject 7 enough", b"d")
    assert (got, code, text) == ([b"a", b"b"], DENIED, "enough")
    assert running.ends(1) == {1: (7, REJECTED)}


def test_all_kinds_of_methods(running: Proxy, client: Client) -> None:
    assert client.stream_unary(COLLECT)(iter([b"a", b"q0 rewrite b", b"c"])) == b"a|b|c"
    assert list(client.unary_stream(COUNT)(b"p0 rewrite x")) == [b"x"] * 3
    assert talk(client, b"a", b"p1 rewrite B", b"c") == ([b"a", b"B", b"c"], grpc.StatusCode.OK, "")
    rejected = outcome(client.stream_unary(COLLECT), iter([b"a", b"q1 reject 8 full"]))
    assert rejected == (grpc.StatusCode.RESOURCE_EXHAUSTED, "full", None)
    assert running.ends(4) == {1: (0, REPLY), 2: (0, REPLY), 3: (0, REPLY), 4: (8, REJECTED)}


@pytest.mark.parametrize("hook", ["q0", "p0"])
def test_a_delay_in_a_stream_keeps_the_order(client: Client, hook: str) -> None:
    began = time.monotonic()
    messages = (b"a", f"{hook} after 40".encode(), b"c", f"{hook} after 40\n".encode(), b"e")
    assert talk(client, *messages) == (list(messages), grpc.StatusCode.OK, "")
    assert 0.08 <= time.monotonic() - began < 0.6


@pytest.mark.parametrize("hook", ["q0", "p0"])
def test_a_rejection_behind_a_delay(running: Proxy, client: Client, hook: str) -> None:
    got, code, text = talk(client, b"a", f"{hook} after 40".encode(), f"{hook} reject 7 no".encode(), b"d")
    assert (code, text) == (DENIED, "no")
    assert got[:1] in ([b"a"], []) if hook == "q0" else got == [b"a", b"p0 after 40"]
    assert running.ends(1) == {1: (7, REJECTED)}


def test_methods_not_declared_as_streaming_stream_all_the_same(
    probe: Path, echo: tuple[int, Echo], tmp_path: Path
) -> None:
    with proxy(probe, tmp_path, echo[0], streaming=()) as p, channel(p.port) as c:
        assert talk(c, b"a", b"b") == ([b"a", b"b"], grpc.StatusCode.OK, "")
        assert talk(c, b"p0 reject 7 first") == ([], DENIED, "first")
        assert talk(c, b"a", b"p0 reject 7 second") == ([b"a"], DENIED, "second")


def test_headers_of_a_stream_are_read_with_each_of_its_messages(running: Proxy, client: Client) -> None:
    """Also when they have gone on: whoever refuses by a header must not be told that there is none."""
    asks = [b"q0 get q x-in", b"q1 get q x-in\np0 get p content-type", b"p1 get p content-type"]
    call = client.stream_stream(STREAM)(iter(asks), timeout=10, metadata=[("x-in", "a"), ("x-in", "b")])
    assert list(call) == asks
    got = [line[2:] for line in running.diary() if line[0] == "get"]
    assert sorted(got) == [["content-type=application/grpc"]] * 2 + [["x-in=a,b"]] * 2


def test_headers_of_a_reply_are_read_when_the_rpc_ends(running: Proxy, client: Client) -> None:
    assert client.unary_unary(ECHO)(b"q0 later content-type")
    running.ends(1)
    assert ["get", "1", "content-type=application/grpc"] in running.diary()
