# SPDX-License-Identifier: Apache-2.0
"""The fair-share policy, unchanged, before a server that serves few at once."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.systems.rpc.grpcio.generated import modules
from transect.base.unavailable import Unavailable
from transect.base.weights import NoWeights
from transect.control import Client, Refused
from transect.examples.fair_share import FairShare
from transect.examples.rpc.acl import Acl
from transect.rpc.arbiter import Queue
from transect.rpc.grpcio.attach import program_of
from transect.rpc.grpcio.turns import Turns, take_turns

pytestmark = pytest.mark.needs("grpcio")

BUSY_S = 0.02


@contextmanager
def serving(at_once: int, policy: Any, **more: Any) -> Iterator[tuple[Turns, Any, list[str]]]:
    """A server whose handlers take their time; a stub for it; and whom it has served, in order."""
    pb2, pb2_grpc = modules()
    served: list[str] = []
    inside, most = [0], [0]
    lock = threading.Lock()

    def work(user: str) -> None:
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            served.append(user)
        time.sleep(BUSY_S)
        with lock:
            inside[0] -= 1

    class Echo(pb2_grpc.EchoServicer):  # type: ignore[misc,name-defined]
        def Say(self, request: Any, context: Any) -> Any:
            work(request.user)
            if request.text == "fail":
                raise ValueError("as asked")
            return pb2.Answer(text=request.text)

        def Many(self, request: Any, context: Any) -> Iterator[Any]:
            for _ in range(3):
                work(request.user)
                yield pb2.Answer(text=request.text)

    with ThreadPoolExecutor(64) as pool:
        below = grpc.server(pool, options=[("grpc.so_reuseport", 0)])
        server = take_turns(below, policy, at_once=at_once, by="x-user", **more)
        pb2_grpc.add_EchoServicer_to_server(Echo(), server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                yield server, pb2_grpc.EchoStub(channel), served
                assert most[0] <= at_once
        finally:
            server.stop(0).wait()


def say(stub: Any, user: str, text: str = "hi", **more: Any) -> Any:
    return stub.Say.future(modules()[0].Ask(user=user, text=text), metadata=[("x-user", user)], **more)


def test_a_client_with_few_calls_does_not_wait_behind_one_with_many() -> None:
    with serving(2, FairShare()) as (server, stub, served):
        flood = [say(stub, "greedy") for _ in range(30)]
        while len(served) < 6:
            time.sleep(0.005)
        modest = [say(stub, "modest") for _ in range(4)]
        for call in (*flood, *modest):
            call.result(timeout=20)
        last = max(i for i, user in enumerate(served) if user == "modest")
        assert last < 28, "of 34, had they waited behind the 24 that came before them they would be the last"
        assert len(server.queue) == 0


def test_streams_hold_their_place_and_failures_give_it_back() -> None:
    with serving(1, FairShare()) as (_, stub, served):
        pb2, _ = modules()
        many = stub.Many(pb2.Ask(user="a", text="x"), metadata=[("x-user", "a")])
        while not served:
            time.sleep(0.005)
        other = say(stub, "b")
        assert [r.text for r in many] == ["x"] * 3
        assert other.result(timeout=5).text == "hi"
        assert served == ["a", "a", "a", "b"]
        for _ in range(3):
            with pytest.raises(grpc.RpcError, match="as asked"):
                say(stub, "c", "fail").result(timeout=5)


def test_who_waits_too_long_or_goes_leaves_the_queue() -> None:
    with serving(1, FairShare()) as (server, stub, served):
        pb2, _ = modules()
        long = stub.Many(pb2.Ask(user="a", text="x"), metadata=[("x-user", "a")])
        while not served:
            time.sleep(0.005)
        late = say(stub, "b", timeout=BUSY_S)
        gone = say(stub, "c")
        gone.cancel()
        assert late.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert len(list(long)) == 3
        assert say(stub, "d").result(timeout=5).text == "hi"
        assert "b" not in served[3:] or served[-1] == "d"
        until = time.monotonic() + 5
        while len(server.queue):
            assert time.monotonic() < until
            time.sleep(0.01)


def test_no_more_wait_than_may() -> None:
    with serving(1, FairShare(), most_waiting=2) as (_, stub, _):
        calls = [say(stub, "a") for _ in range(12)]
        codes = [call.code() for call in calls]
        refused = codes.count(grpc.StatusCode.RESOURCE_EXHAUSTED)
        assert refused >= 1 and refused + codes.count(grpc.StatusCode.OK) == 12
        assert say(stub, "a").result(timeout=5).text == "hi"


def test_an_operator_sees_who_waits_who_was_served_and_who_was_late() -> None:
    name = f"turns{os.getpid()}"
    with serving(1, FairShare(), name=name) as (_, stub, served):
        pb2, _ = modules()
        long = stub.Many(pb2.Ask(user="a", text="x"), metadata=[("x-user", "a")])
        while not served:
            time.sleep(0.005)
        late = say(stub, "b", timeout=BUSY_S)
        assert late.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert len(list(long)) == 3
        assert say(stub, "a").result(timeout=5).text == "hi"
        told = Client("rpc", name).status()
        rows = {row["tenant"]: row for row in told["shares"]}
        assert (rows["a"]["late"], rows["b"]["late"]) == (0, 1)
        assert rows["a"]["served"] >= 4 * BUSY_S and rows["b"]["served"] == 0
        assert rows["b"]["backlogged"] >= BUSY_S
        assert told["details"] == {"at_once": 1, "most_waiting": 1000}
        with pytest.raises(Refused, match="stays as long as its server"):
            Client("rpc", name).upgrade(Path("x.py"))
    with pytest.raises(Unavailable):
        Client("rpc", name).status()


def test_names_that_strangers_make_up_are_forgotten() -> None:
    policy = FairShare()
    clock = count(step=1000)
    queue = Queue(policy, program_of(policy), 1, 10_000, clock=lambda: next(clock))
    waiting = [queue.join("steady"), queue.join("steady")]
    for number in range(1000):
        waiting.append(queue.join(f"stranger {number}"))
        while any(turn is not None and turn.client != "steady" for turn in waiting):
            (served,) = [turn for turn in waiting if turn is not None and turn.came.is_set()]
            waiting.remove(served)
            if served.client == "steady":
                waiting.append(queue.join("steady"))
            queue.end(served)
    assert len(policy.served) < 200
    known: dict[Any, int] = dict(policy.served.items())
    assert "steady" in {queue.name_of(number) for number in known}


def test_a_key_is_meant_whatever_its_letters() -> None:
    assert take_turns(grpc.server(ThreadPoolExecutor(1)), FairShare(), at_once=1, by="X-User")._by == "x-user"


@pytest.mark.parametrize(
    ("policy", "more", "kind", "said"),
    [
        (Acl(), {"at_once": 1}, TypeError, "elements go into `attach(server, [Acl()], …)`"),
        (FairShare(), {"at_once": 0}, ValueError, "nobody would ever be served"),
        (FairShare(), {"at_once": 1, "by": ""}, ValueError, "names no metadata"),
        (
            FairShare(),
            {"at_once": 1, "tenants": "/nowhere/t.toml"},
            NoWeights,
            "/nowhere/t.toml cannot be read",
        ),
    ],
)
def test_what_cannot_take_turns_is_refused_at_once(
    policy: Any, more: dict[str, Any], kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind) as wrong:
        take_turns(grpc.server(ThreadPoolExecutor(1)), policy, **more)
    assert said in str(wrong.value)


def test_a_server_without_threads_is_refused() -> None:
    async def made() -> None:
        take_turns(grpc.aio.server(), FairShare(), at_once=1)  # type: ignore[arg-type]

    with pytest.raises(TypeError, match="server with threads"):
        asyncio.run(made())
