# SPDX-License-Identifier: Apache-2.0
"""One connection of a client, without sockets: heads, bodies, what is sent ahead, and how it ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.http_heads import KEY, TURNS, Bench, Wire, chunked, request
from transect.llm.gateway.guard import LINGER_S, Phase, Why
from transect.llm.gateway.http import AHEAD, PIECE, PROGRESS
from transect.llm.gateway.settings import Limits


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def run(go: Callable[[], Awaitable[Any]]) -> Any:
    async def all() -> Any:
        return await go()

    return asyncio.run(all())


def sent(bench: Bench, data: bytes) -> Wire:
    wire: Wire = run(lambda: bench.send(data))
    return wire


def error_of(wire: Wire) -> str:
    return str(json.loads(bytes(wire.sent).rpartition(b"\r\n\r\n")[2])["error"]["message"])


# ---------------------------------------------------------------- heads


def test_a_head_that_is_too_large_is_told_so_and_closed(bench: Bench) -> None:
    for more in ("x: " + "y" * 4000 + "\r\n", "x: y\r\n" * 30, "y" * 4000 + ": x\r\n"):
        wire = sent(bench, request(more=more))
        assert wire.statuses == [431] and "2048 bytes in 20 lines" in error_of(wire)
    assert sent(bench, request(path="/" + "x" * 4000)).statuses == [431]
    assert bench.guard.closed[Why.LARGE] == 4


def test_a_line_that_never_ends_is_not_kept(bench: Bench) -> None:
    async def go() -> Wire:
        made, wire = bench.connect()
        made.data_received(b"GET / HTTP/1.1\r\nx: ")
        for _ in range(40):
            made.data_received(b"y" * 100)
        await bench.settle()
        return wire

    wire = run(go)
    assert wire.statuses == [431] and wire.over


def test_a_head_that_fits_is_read_in_any_pieces(bench: Bench) -> None:
    data = request(more="x: " + "y" * 1500 + "\r\n")
    wire = run(lambda: bench.send(data, range(0, len(data), 7)))
    assert wire.statuses == [200]


def test_many_requests_after_one_another_are_no_large_head(bench: Bench) -> None:
    async def go() -> Wire:
        made, wire = bench.connect()
        for _ in range(40):
            made.data_received(request(more="x: " + "y" * 1000 + "\r\n"))
            await bench.settle()
        return wire

    assert run(go).statuses == [200] * 40


def test_a_trailer_names_no_tenant_and_is_bounded(bench: Bench) -> None:
    body = b'{"prompt": "x"}'
    plain = request(body, key="nobody's", more="transfer-encoding: chunked\r\n", length=False)
    head = plain[: -len(body)]
    trailer = f"0\r\nauthorization: Bearer {KEY}\r\nx-api-key: {KEY}\r\n\r\n".encode()
    without = head.replace(b"authorization: Bearer nobody's\r\n", b"")
    for start in (head, without):
        assert sent(bench, start + chunked(body, 5, trailer)).statuses == [401]
    known = head.replace(b"nobody's", KEY.encode())
    assert sent(bench, known + chunked(body)).statuses == [200]
    many = b"0\r\n" + b"x: y\r\n" * 500 + b"\r\n"
    wire = sent(bench, known + chunked(body, 5, many))
    assert wire.statuses in ([400], [431])


def test_a_chunk_that_is_all_frame_ends_it(bench: Bench) -> None:
    head = request(b"", more="transfer-encoding: chunked\r\n")

    async def go() -> Wire:
        made, wire = bench.connect()
        made.data_received(head + b"1;x=")
        for _ in range(40):
            made.data_received(b"y" * 4096)
            await bench.settle()
        return wire

    wire = run(go)
    assert wire.statuses == [400] and wire.over and bench.app.open == 0


@pytest.mark.parametrize(
    "more",
    [
        "content-length: 5\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
        "content-length: 5\r\ncontent-length: 6\r\n",
        "content-length: +5\r\n",
        "content-length: 5,5\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding : chunked\r\n",
        "content-length: 99999999999999999999999\r\n",
        " folded: x\r\n",
        "x: a\0b\r\n",
    ],
)
def test_a_request_whose_end_is_in_doubt_is_refused(bench: Bench, more: str) -> None:
    smuggled = request(b"", method="GET", path="/v1/models")
    wire = sent(bench, request(b"5\r\nhello\r\n0\r\n\r\n", more=more, length=False) + smuggled)
    assert wire.statuses == [400], wire.sent
    assert not bench.engine.bodies


def test_what_is_compressed_is_not_read(bench: Bench) -> None:
    wire = sent(bench, request(b"\x1f\x8b", more="content-encoding: gzip\r\n"))
    assert wire.statuses == [415] and "compressed" in error_of(wire)
    assert sent(bench, request(more="content-encoding: identity\r\n")).statuses == [200]


def test_who_waits_for_leave_to_send_gets_it_once_its_key_is_known(bench: Bench) -> None:
    assert sent(bench, request(more="expect: 100-continue\r\n")).statuses == [100, 200]
    assert sent(bench, request(more="expect: 100-continue\r\n", key="x")).statuses == [401]


def test_a_body_that_is_said_to_be_too_large_is_refused_before_it_comes(bench: Bench) -> None:
    async def go() -> Wire:
        made, wire = bench.connect()
        made.data_received(request(b"", more="content-length: 5000\r\n"))
        await bench.settle()
        return wire

    assert run(go).statuses == [413]


def test_another_protocol_is_not_changed_to(bench: Bench) -> None:
    wire = sent(bench, request(more="connection: upgrade\r\nupgrade: websocket\r\n") + b"\x81\x85more")
    assert wire.statuses == [400] and "`Upgrade`" in error_of(wire) and wire.over
    models = request(b"", method="GET", path="/v1/models", more="connection: upgrade\r\nupgrade: h2c\r\n")
    assert sent(bench, models).statuses == [200]


@pytest.mark.parametrize(
    ("method", "path"), [("OPTIONS", "*"), ("CONNECT", "x:80"), ("TRACE", "/v1/completions")]
)
def test_other_methods_are_refused(bench: Bench, method: str, path: str) -> None:
    (status,) = sent(bench, request(b"", method=method, path=path)).statuses
    assert status in (400, 404, 405)


def test_an_absolute_address_is_a_path(bench: Bench) -> None:
    assert sent(bench, request(path="http://elsewhere/v1/completions")).statuses == [200]


# ---------------------------------------------------------------- models


def test_one_model_is_found_by_its_name(bench: Bench) -> None:
    for name in ("tiny", "org/large", "org%2Flarge"):
        wire = sent(bench, request(b"", method="GET", path=f"/v1/models/{name}"))
        assert wire.statuses == [200]
        assert json.loads(bytes(wire.sent).partition(b"\r\n\r\n")[2])["id"] in ("tiny", "org/large")
    wire = sent(bench, request(b"", method="GET", path="/v1/models/other"))
    assert wire.statuses == [404] and json.loads(bytes(wire.sent).partition(b"\r\n\r\n")[2])["error"]
    assert sent(bench, request(b"", path="/v1/models/tiny")).statuses == [405]


# ---------------------------------------------------------------- ahead of their answers


def test_requests_that_are_sent_ahead_are_answered_in_order(bench: Bench) -> None:
    first, second = request(), request(b"", method="GET", path="/v1/models")
    wire = sent(bench, first + second + request(b"[]"))
    assert wire.statuses == [200, 200, 400]


@pytest.mark.parametrize("step", [1_000_000, 5_000, 137])
def test_of_many_requests_ahead_each_is_answered(bench: Bench, step: int) -> None:
    odd, even = request(), request(b"", method="GET", path="/v1/models/none")
    data = (odd + even) * 250

    async def go() -> tuple[Wire, int]:
        made, wire = bench.connect()
        most = 0
        for start in range(0, len(data), step):
            made.data_received(data[start : start + step])
            most = max(most, len(made.pipeline))
            for _ in range(100 * TURNS):
                if wire.reading:
                    break
                await asyncio.sleep(0)
        for _ in range(100):
            await bench.settle()
        assert not wire.over
        bench.end(made, wire)
        await bench.settle()
        return wire, most

    wire, most = run(go)
    assert wire.statuses == [200, 404] * 250
    assert most <= AHEAD + 2 * PIECE // len(odd + even)
    assert bench.empty and not bench.guard.closed.total()


def test_who_sends_ahead_is_not_read_while_enough_waits(bench: Bench) -> None:
    async def go() -> None:
        made, wire = bench.connect()
        made.data_received(request() * 1000)
        assert not wire.reading and len(made.pipeline) <= AHEAD + PIECE // len(request())
        for _ in range(50):  # whoever is served reads its body, which lets nothing more in
            await asyncio.sleep(0)
            assert not wire.reading
        bench.end(made, wire)  # the client is gone in the midst of it
        await bench.settle()

    run(go)
    assert bench.empty and not bench.complaints.said


def test_the_rest_of_a_request_behind_many_is_read_when_it_comes(bench: Bench) -> None:
    async def go() -> Wire:
        made, wire = bench.connect()
        made.data_received(request() * 50 + request()[:-20])
        for _ in range(100):
            await bench.settle()
        assert wire.reading and wire.statuses == [200] * 50
        made.data_received(request()[-20:])
        await bench.settle()
        return wire

    assert run(go).statuses == [200] * 51


def test_nonsense_behind_a_request_ends_the_connection_after_its_answer(bench: Bench) -> None:
    wire = sent(bench, request() + b"\x00\x01 nonsense\r\n\r\n" + request())
    assert wire.statuses == [200] and wire.over


def test_nonsense_within_a_body_is_told_so(bench: Bench) -> None:
    head = request(b"", more="transfer-encoding: chunked\r\n")
    wire = sent(bench, head + b"5\r\nhello\r\nzz\r\n")
    assert wire.statuses == [400] and wire.over and not bench.engine.bodies


# ---------------------------------------------------------------- its end


def test_who_has_shown_no_key_keeps_no_connection(bench: Bench) -> None:
    wire = sent(bench, request(key="x") * 2)
    assert wire.statuses == [401] and b"connection: close" in wire.sent and wire.over
    wire = sent(bench, request() * 2)
    assert wire.statuses == [200, 200] and b"connection: close" not in wire.sent


def test_keys_that_disagree_are_refused_in_words_and_counted(bench: Bench) -> None:
    wire = sent(bench, request(more="x-api-key: another\r\n"))
    assert wire.statuses == [401] and wire.over
    assert error_of(wire).startswith("this shows keys that are not of one tenant: send one")
    assert sent(bench, request(more=f"x-api-key: {KEY}\r\n")).statuses == [200]
    bench.serve(bench.admin)
    counted = sent(
        bench, request(b"", method="GET", path="/metrics").replace(b"host: x", b"host: [::1]")
    ).sent
    assert b'transect_llm_unidentified_total{why="keys that disagree"} 1\n' in counted


def test_who_is_answered_before_its_request_has_ended_is_heard_out_for_a_moment(bench: Bench) -> None:
    async def go() -> tuple[Wire, Wire]:
        made, wire = bench.connect()
        made.data_received(request(b"x" * 5, more="content-length: 500\r\n", key="x", length=False))
        await bench.settle()
        assert wire.statuses == [401] and wire.ended and not wire.closing, (
            "a reset would take the answer along"
        )
        assert bench.guard.phase(made) is Phase.LEAVING
        for _ in range(100):
            made.data_received(b"x" * 65_536)
        before = bytes(wire.sent)
        bench.now = LINGER_S
        await bench.guard.look()
        assert wire.closing and bytes(wire.sent) == before
        return wire, wire

    run(go)
    assert bench.guard.closed[Why.LINGERED] == 1


def test_a_client_that_is_gone_before_its_answer_ends_is_no_mistake(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reset(wire: Wire) -> None:
        raise OSError(107, "Transport endpoint is not connected")

    monkeypatch.setattr(Wire, "write_eof", reset)
    wire = sent(bench, request(b"x", more="content-length: 500\r\n", key="x", length=False))
    assert wire.statuses == [401] and wire.closing and bench.empty
    assert not bench.complaints.said


def overdue(bench: Bench, seconds: float, data: bytes) -> tuple[list[int], bool]:
    """What a client was answered, and whether its connection was closed, so long after it sent something."""

    async def go() -> tuple[list[int], bool]:
        made, wire = bench.connect()
        if data:
            made.data_received(data)
        await bench.settle()
        bench.now += seconds
        await bench.guard.look()
        await bench.settle()
        found = wire.statuses, wire.over
        bench.end(made, wire)
        return found

    found: tuple[list[int], bool] = run(go)
    return found


def test_a_head_has_to_come_in_time(bench: Bench) -> None:
    assert overdue(bench, 9.5, b"POST / HTTP/1.1\r\n") == ([], False)
    assert overdue(bench, 10, b"POST / HTTP/1.1\r\n") == ([408], True)
    for silent in (b"", b"\r\n\r\n"):
        assert overdue(bench, 10, silent) == ([], True)
    assert bench.guard.closed[Why.LATE] == 3


def test_a_connection_is_idle_for_so_long_and_a_next_head_is_as_bounded_as_the_first(bench: Bench) -> None:
    assert overdue(bench, 74, request()) == ([200], False)
    assert overdue(bench, 75, request()) == ([200], True)
    assert bench.guard.closed[Why.IDLE] == 1

    async def go() -> None:
        made, wire = bench.connect()
        made.data_received(request())
        await bench.settle()
        bench.now += 50
        made.data_received(b"POST ")
        bench.now += 9
        made.data_received(b"/v1/")
        await bench.guard.look()
        assert not wire.over
        bench.now += 1
        await bench.guard.look()
        await bench.settle()
        assert wire.statuses == [200, 408] and wire.over

    run(go)


def test_who_takes_nothing_of_an_answer_is_cut_off_and_who_takes_some_is_not(bench: Bench) -> None:
    async def go() -> None:
        (slow, taken), (stuck, left) = bench.connect(), bench.connect()
        for made, wire in ((slow, taken), (stuck, left)):
            made.data_received(request())
            await bench.settle()
            wire.unwritten = 10 * PROGRESS
            made.pause_writing()
        bench.now += 60
        taken.unwritten -= PROGRESS
        left.unwritten -= PROGRESS // 2
        await bench.guard.look()
        assert left.closing and not taken.closing
        bench.end(stuck, left)
        bench.now += 60
        taken.unwritten = 0
        await bench.guard.look()
        assert not taken.closing and bench.guard.phase(slow) is Phase.IDLE

    run(go)
    assert bench.guard.closed[Why.UNREAD] == 1


def test_an_answer_that_is_left_unread_is_not_kept_for_ever_by_closing(bench: Bench) -> None:
    async def go() -> None:
        made, wire = bench.connect()
        wire.unwritten = 1000
        made.data_received(request(more="connection: close\r\n"))
        await bench.settle()
        assert wire.closing and bench.guard.phase(made) is Phase.LEAVING
        wire.closing = False  # as the event loop sees it: it is written first
        bench.now += LINGER_S
        await bench.guard.look()
        assert bench.guard.phase(made) is Phase.UNREAD
        bench.now += 60
        await bench.guard.look()
        assert wire.closing

    run(go)


def test_a_body_has_to_come_in_time(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Limits(body_s=0.05))

    async def go() -> Wire:
        made, wire = bench.connect()
        made.data_received(request(b"x", more="content-length: 500\r\n", length=False))
        for _ in range(20):
            made.data_received(b"x")
            await asyncio.sleep(0.01)
        return wire

    wire = run(go)
    bench.close()
    assert wire.statuses == [408] and wire.ended and bench.bodies.total == 0


def test_one_tenant_has_so_many_requests_under_way(tmp_path: Path) -> None:
    bench = Bench(tmp_path)

    async def go() -> list[list[int]]:
        wires = []
        for _ in range(102):
            made, wire = bench.connect()
            made.data_received(request(b"", more="content-length: 500\r\n"))
            wires.append(wire)
        await bench.settle()
        return [wire.statuses for wire in wires]

    found = run(go)
    bench.close()
    assert found == [[]] * 100 + [[429]] * 2


def test_bodies_of_one_tenant_are_bounded_before_they_come(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Limits(held_bytes_each=1000, body_bytes=800))

    async def go() -> list[int]:
        (first, _), (second, wire) = bench.connect(), bench.connect()
        first.data_received(request(b"x" * 600, more="content-length: 700\r\n", length=False))
        await bench.settle()
        second.data_received(request(b"", more="content-length: 500\r\n"))
        await bench.settle()
        return wire.statuses

    assert run(go) == [429]
    bench.close()
