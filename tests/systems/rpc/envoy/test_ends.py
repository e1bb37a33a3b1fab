# SPDX-License-Identifier: Apache-2.0
"""`finish` comes exactly once, for just the elements that were entered, however an RPC ends; and no reply is lost."""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.systems.rpc.envoy import http2
from tests.systems.rpc.envoy.http2 import connect, message
from tests.systems.rpc.envoy.kit import (
    CANCEL,
    DEADLINE,
    ECHO,
    REJECTED,
    REPLY,
    RESET,
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

SLOW = "/t.Echo/Slow"


@pytest.fixture
def slow(probe: Path, tmp_path: Path) -> Iterator[Proxy]:
    """A proxy before a method that never answers until its client is gone."""

    def wait(request: bytes, context: grpc.ServicerContext) -> bytes:
        while context.is_active():
            time.sleep(0.005)
        return request

    handler = Echo()
    handler.extra[SLOW] = wait
    with serving(handler) as port, proxy(probe, tmp_path, port) as it:
        yield it


def finished_once(running: Proxy, rpcs: int) -> dict[int, tuple[int, int]]:
    """All RPCs have ended, and `finish` ran once for just the elements whose `request` ran."""
    ends = running.ends(rpcs)
    assert len(ends) == rpcs
    entered, finished = running.entered_and_finished()
    assert finished == entered
    return ends


def test_the_server_ends_it_with_an_error(probe: Path, tmp_path: Path) -> None:
    def fail(request: bytes, context: grpc.ServicerContext) -> bytes:
        context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")
        return b""

    handler = Echo()
    handler.extra["/t.Echo/Fail"] = fail
    with serving(handler) as port, proxy(probe, tmp_path, port) as p, channel(p.port) as c:
        assert outcome(c.unary_unary("/t.Echo/Fail"), b"x")[:2] == (
            grpc.StatusCode.NOT_FOUND,
            "no such thing",
        )
        assert outcome(c.unary_unary("/t.Echo/Missing"), b"x")[0] is grpc.StatusCode.UNIMPLEMENTED
        assert finished_once(p, 2) == {1: (5, REPLY), 2: (12, REPLY)}
        assert not [line for line in p.diary() if line[0] == "p"], (
            "a status without a message runs no `response`"
        )


def test_the_client_cancels(slow: Proxy) -> None:
    with channel(slow.port) as c:
        call = c.unary_unary(SLOW).future(b"x")
        while not slow.diary():
            time.sleep(0.005)
        call.cancel()
        assert finished_once(slow, 1) == {1: (1, CANCEL)}


def test_the_deadline_passes(slow: Proxy) -> None:
    """The client gives up by its own clock.  Where that started over 5 ms earlier, on a busy machine, it cancels."""
    seen: list[tuple[int, int]] = []
    with channel(slow.port) as c:
        while seen.count((4, DEADLINE)) < 2 and len(seen) < 8:
            code = outcome(c.unary_unary(SLOW), b"x", timeout=0.1 + len(seen) / 20)[0]
            assert code is grpc.StatusCode.DEADLINE_EXCEEDED
            seen = list(finished_once(slow, len(seen) + 1).values())
    assert set(seen) <= {(4, DEADLINE), (1, CANCEL)}
    assert seen.count((4, DEADLINE)) == 2


def test_a_deadline_of_a_second_is_told_from_a_cancellation(slow: Proxy) -> None:
    """gRPC's core writes 1 s as 1010m, and so the client gives up a hundredth before that.  Where its clock started
    over 50 ms before Envoy's, on a busy machine, it cancels; then all three are asked again."""
    with channel(slow.port) as c:
        ended = 0
        for _ in range(4):
            calls = [c.unary_unary(SLOW).future(b"x", timeout=seconds) for seconds in (1.0, 1.0, 1.5)]
            assert {call.code() for call in calls} == {grpc.StatusCode.DEADLINE_EXCEEDED}
            ended += len(calls)
            latest = [end for rpc, end in finished_once(slow, ended).items() if rpc > ended - len(calls)]
            assert set(latest) <= {(4, DEADLINE), (1, CANCEL)}
            if set(latest) == {(4, DEADLINE)}:
                break
        assert set(latest) == {(4, DEADLINE)}
        call = c.unary_unary(SLOW).future(b"x", timeout=1.0)
        time.sleep(0.3)
        call.cancel()
        assert finished_once(slow, ended + 1)[ended + 1] == (1, CANCEL)


def test_who_gives_up_a_hundredth_before_the_deadline_has_not_cancelled(slow: Proxy) -> None:
    """As the one above, with a clock that starts when Envoy's has: no busy machine makes this client early."""
    raw = connect(slow.port)
    for n, timeout, waits in ((1, "1010m", 0.99), (3, "1010m", 0.3)):
        raw.request(n, SLOW, ("grpc-timeout", timeout))
        raw.data(n, message(b"x"))
        while not [line for line in slow.diary() if line[:2] == ["q", str(n // 2 + 1)]]:
            time.sleep(0.005)
        time.sleep(waits)
        raw.send(http2.frame(http2.RST_STREAM, 0, n, struct.pack(">I", http2.CANCEL)))
        finished_once(slow, n // 2 + 1)
    raw.close()
    assert slow.ends(2) == {1: (4, DEADLINE), 2: (1, CANCEL)}


MALFORMED = ("0Q", "m", "1", "-1S", "1.5S", "123456789S", "1S,2S")


def test_a_malformed_timeout_ends_nobody_elses_calls(running: Proxy, client: Client) -> None:
    """gRPC's server answers one with an end of the connection, and Envoy's to it is everybody's."""
    raw = connect(running.port)
    numbers = range(1, 2 * len(MALFORMED) + 3, 2)
    for n, timeout in zip(numbers, MALFORMED, strict=False):
        raw.request(n, ECHO, ("grpc-timeout", timeout))
        raw.data(n, message(b"x"))
    raw.request(numbers[-1], ECHO, ("grpc-timeout", "9S"), ("grpc-timeout", "9S"))
    raw.data(numbers[-1], message(b"x"))
    over = raw.until_over(*numbers)
    assert {t: s.status for t, s in zip((*MALFORMED, "twice"), over, strict=True) if s.status != 3} == {}
    raw.close()
    assert [client.unary_unary(ECHO)(b"y", timeout=9.0) for _ in range(20)] == [b"y"] * 20
    assert len(running.ends(20)) == 20, "no element saw the others"


def test_a_deadline_passes_during_a_delay(slow: Proxy) -> None:
    with channel(slow.port) as c:
        code, _, _ = outcome(c.unary_unary(ECHO), b"q0 after 60000", timeout=0.1)
        assert code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert finished_once(slow, 1) == {1: (4, DEADLINE)}
        assert c.unary_unary(ECHO)(b"next") == b"next"


def test_a_delay_past_the_deadline_ends_with_it_though_the_client_says_nothing(running: Proxy) -> None:
    raw = connect(running.port)
    for n, words in ((1, b"q0 after 60000"), (3, b"p1 after 60000"), (5, b"q0 after 60000\nq1 reject 7 no")):
        raw.request(n, ECHO, ("grpc-timeout", "300m"))
        raw.data(n, message(words))
    began = time.monotonic()
    assert [s.status for s in raw.until_over(1, 3, 5)] == [4, 4, 4]
    assert 0.2 < time.monotonic() - began < 5
    raw.close()
    assert set(running.ends(3).values()) == {(4, DEADLINE)}


def test_no_text_of_a_status_begins_or_ends_with_a_blank_on_the_wire(running: Proxy) -> None:
    raw = connect(running.port)
    raw.request(1, ECHO)
    raw.data(1, message(b"q0 reject 7  two before, one behind "))
    (came,) = raw.until_over(1)
    raw.close()
    assert came.headers[-1]["grpc-message"] == "%20two before, one behind%20"


def test_nobody_serves(probe: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
    with proxy(probe, tmp_path, port) as p, channel(p.port) as c:
        assert outcome(c.unary_unary(ECHO), b"x")[0] is grpc.StatusCode.UNAVAILABLE
        assert finished_once(p, 1) == {1: (14, RESET)}


@contextmanager
def breaking(how: str) -> Iterator[int]:
    """A server that answers headers and a message, then breaks off."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                s, _ = listener.accept()
            except OSError:
                return
            c = http2.Connection(s, client=False)
            while not (n := c.read()) or not c.streams[n].ended:
                if c.gone:
                    break
            else:
                if "at once" not in how:
                    head = http2.encode_headers([(":status", "200"), ("content-type", "application/grpc")])
                    c.send(http2.frame(http2.HEADERS, http2.END_HEADERS, n, head))
                    c.data(n, message(b"first"), end=False)
                    time.sleep(0.05)
                if how == "closes":
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                else:
                    code = http2.CANCEL if how.startswith("cancels") else http2.INTERNAL_ERROR
                    c.send(http2.frame(http2.RST_STREAM, 0, n, struct.pack(">I", code)))
                    time.sleep(0.05)
            s.close()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


@pytest.mark.parametrize("how", ["at once", "resets", "closes"])
def test_the_server_breaks_off(probe: Path, tmp_path: Path, how: str) -> None:
    with breaking(how) as port, proxy(probe, tmp_path, port) as p, channel(p.port) as c:
        got, call = [], c.unary_stream("/t.Echo/Count")(b"x", timeout=5)
        with pytest.raises(grpc.RpcError):
            got.extend(call)
        assert finished_once(p, 1)[1][1] == RESET


@pytest.mark.parametrize(
    ("how", "code"),
    [("cancels at once", grpc.StatusCode.UNAVAILABLE), ("cancels", grpc.StatusCode.INTERNAL)],
)
def test_a_server_that_cancels_without_a_status_is_envoys_to_report(
    probe: Path, tmp_path: Path, how: str, code: grpc.StatusCode
) -> None:
    """Envoy writes the end itself, by the headers that have gone; docs/rpc.md says what.  Directly it is CANCELLED."""
    with breaking(how) as port, proxy(probe, tmp_path, port) as p, channel(p.port) as c:
        call = c.unary_stream("/t.Echo/Count")(b"x", timeout=5)
        with pytest.raises(grpc.RpcError):
            list(call)
        assert call.code() is code
        assert finished_once(p, 1)[1] == (grpc.StatusCode.UNAVAILABLE.value[0], RESET)


@pytest.mark.parametrize("what", ["x-envoy-retry-grpc-on", "x-envoy-retry-on"])
def test_no_header_of_a_clients_makes_envoy_send_a_request_again(
    probe: Path, tmp_path: Path, what: str
) -> None:
    """What is sent again passes no policy: limits would count it once."""
    asked = []

    def fail(request: bytes, context: grpc.ServicerContext) -> bytes:
        asked.append(dict(context.invocation_metadata()))
        context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        return b""

    handler = Echo()
    handler.extra["/t.Echo/Fail"] = fail
    metadata = ((what, "unavailable,5xx,reset"), ("x-envoy-max-retries", "5"))
    with serving(handler) as port, proxy(probe, tmp_path, port) as p, channel(p.port) as c:
        code = outcome(c.unary_unary("/t.Echo/Fail"), b"x", metadata=metadata, timeout=5)[0]
    assert (code, len(asked)) == (grpc.StatusCode.UNAVAILABLE, 1)
    assert not {what, "x-envoy-max-retries"} & asked[0].keys()


def test_the_client_resets_in_the_middle(running: Proxy) -> None:
    """After headers; within a message; between messages; during a delay of a request, of a reply."""
    c = connect(running.port)
    cases: list[tuple[bytes, ...]] = [
        (),
        (message(b"x" * 50)[:20],),
        (message(b"a"), message(b"b")[:3]),
        (message(b"a"), message(b"b")),
        (message(b"q1 after 50"), message(b"b")),
        (message(b"p1 after 50"), message(b"b")),
    ]
    for i, parts in enumerate(cases):
        for n, path in ((4 * i + 1, STREAM), (4 * i + 3, ECHO)):
            if path == ECHO and i > 1:
                continue  # the server answers a whole message, although the stream goes on
            c.request(n, path)
            for part in parts:
                c.data(n, part, end=False)
            time.sleep(0.02)
            c.send(http2.frame(http2.RST_STREAM, 0, n, struct.pack(">I", http2.CANCEL)))
    time.sleep(0.15)
    c.close()
    assert list(finished_once(running, 4).values()) == [(1, CANCEL)] * 4
    with channel(running.port) as g:
        assert g.unary_unary(ECHO)(b"x") == b"x"


def test_the_connection_breaks_off(running: Proxy) -> None:
    c = connect(running.port)
    for n in (1, 3, 5):
        c.request(n, STREAM)
        c.data(n, message(b"q0 after 5000" if n == 3 else b"a"), end=False)
    while len(running.diary()) < 9:
        time.sleep(0.005)
    c.close()
    assert [cause for _, cause in finished_once(running, 3).values()] == [CANCEL] * 3


def test_a_server_may_speak_first(running: Proxy, probe: Path, tmp_path: Path) -> None:
    """Headers of a streaming method pass at once: a client that waits for them before it speaks is not left waiting."""
    began = threading.Event()

    def greet(requests: Any, context: grpc.ServicerContext) -> Iterator[bytes]:
        context.send_initial_metadata((("x-hello", "1"),))
        began.set()
        yield b"welcome"
        yield from requests

    class Greeter(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
            return grpc.stream_stream_rpc_method_handler(greet)

    ready = threading.Event()

    def later() -> Iterator[bytes]:
        assert ready.wait(5)
        yield b"me too"

    with serving(Greeter()) as port, proxy(probe, tmp_path / "g", port) as p, channel(p.port) as c:
        call = c.stream_stream(STREAM)(later(), timeout=10)
        assert dict(call.initial_metadata())["x-hello"] == "1"
        assert next(call) == b"welcome"
        ready.set()
        assert list(call) == [b"me too"]
        finished_once(p, 1)


# --- many at once ---------------------------------------------------------------------------------------------------


def test_32_streams_at_once_on_two_workers(probe: Path, echo: tuple[int, Echo], tmp_path: Path) -> None:
    """Each client does all sorts of things at random and checks every answer; afterwards the books must balance."""
    wrong: list[str] = []
    rpcs = threading.Semaphore(0)
    count = [0]

    def one(number: int, port: int) -> None:
        r = random.Random(number)
        with channel(port, **{"grpc.use_local_subchannel_pool": 1}) as c:
            for i in range(25):
                text = f"{number}.{i}".encode()
                kind = r.randrange(8)
                try:
                    match kind:
                        case 0 | 1:
                            body = text + b"x" * r.choice([0, 100, 40000])
                            assert c.unary_unary(ECHO)(body, timeout=20) == body
                        case 2:
                            got = outcome(c.unary_unary(ECHO), b"q1 reject 7 " + text, timeout=20)
                            assert got[:2] == (grpc.StatusCode.PERMISSION_DENIED, text.decode()), got
                        case 3:
                            assert c.unary_unary(ECHO)(b"q0 respond " + text, timeout=20) == text
                        case 4:
                            assert c.unary_unary(ECHO)(b"q0 after 2\np1 rewrite " + text, timeout=20) == text
                        case 5:
                            said = [text, b"p0 rewrite z" + text, b"y" * 20000, b"q1 after 1"]
                            got_all = list(c.stream_stream(STREAM)(iter(said), timeout=20))
                            assert got_all == [text, b"z" + text, b"y" * 20000, b"q1 after 1"]
                        case 6:
                            call = c.stream_stream(STREAM)(iter([text, b"p1 reject 9 no"]), timeout=20)
                            with suppress(grpc.RpcError):
                                list(call)
                            assert (call.code(), call.details()) == (
                                grpc.StatusCode.FAILED_PRECONDITION,
                                "no",
                            )
                        case _:
                            assert c.unary_unary(ECHO)(b"p0 after 1\n", timeout=20) == b"p0 after 1\n"
                    count[0] += 1
                except Exception as error:
                    wrong.append(f"{number}.{i} kind {kind}: {error!r}")
        rpcs.release()

    with proxy(probe, tmp_path, echo[0], workers=2) as p:
        threads = [threading.Thread(target=one, args=(n, p.port)) for n in range(32)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert wrong == []
        ends = finished_once(p, 32 * 25)
        assert {cause for _, cause in ends.values()} == {REPLY, REJECTED}
        status = p.control.status()
        assert status["finishes"] == status["rpcs"] == 800
        assert sum(status["causes"]) == 800


def test_unix_sockets_on_both_sides(probe: Path, tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    handler, path = Echo(), tmp_path / "service.sock"
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((handler,))
    server.add_insecure_port(f"unix:{path}")
    server.start()
    with proxy(probe, tmp_path / "p", Endpoint.parse(f"unix:{path}")) as p, channel(p.port) as c:
        assert c.unary_unary(ECHO)(b"x") == b"x"
    server.stop(0).wait()


@pytest.mark.parametrize(
    "words", [b"p1 set t x-kept yes\np1 after 20", b"p1 set t x-kept yes\np1 after 20\np1 reject 9 no"]
)
def test_trailers_that_an_element_set_come_with_an_end_that_waits_for_the_servers(
    running: Proxy, client: Client, words: bytes
) -> None:
    """A later reply of a stream is rejected, or waits, when the server's trailers are here."""
    call = client.stream_stream(STREAM)(iter([b"first", words]), timeout=5)
    with suppress(grpc.RpcError):
        list(call)
    assert call.code() is (grpc.StatusCode.FAILED_PRECONDITION if b"reject" in words else grpc.StatusCode.OK)
    assert dict(call.trailing_metadata()).get("x-kept") == "yes"
