# SPDX-License-Identifier: Apache-2.0
"""A threaded grpcio server with a limited number of RPCs in service at once; an Arbiter says whose turn is next.

    server = transect.rpc.take_turns(grpc.server(pool), FairShare(), at_once=4, by="x-tenant")

A client is the authenticated peer (else its address), or the value of a metadata key.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc

from transect.base.request_id import named
from transect.base.weights import ORDINARY, NoWeights, Weights
from transect.control.server import Server as Control
from transect.identity import current
from transect.rpc.arbiter import Queue, Turn
from transect.rpc.grpcio.attach import program_of
from transect.rpc.grpcio.listening import reachable
from transect.rpc.grpcio.peer import identity
from transect.rpc.grpcio.server import Server, kind_of, rebuilt
from transect.rpc.grpcio.turns_host import TurnsHost

LOOK_S = 0.05  # between two checks whether the client of a waiting RPC has gone


class Turns(Server):
    """`inner`, whose handlers take turns."""

    def __init__(self, inner: grpc.Server, queue: Queue, by: str) -> None:
        self._inner = inner
        self.queue = queue
        self._by = by
        self.operated: Control | None = None  # makes the queue reachable for operators

    def stop(self, grace: float | None) -> Any:
        if self.operated is not None:
            self.operated.close()
        return super().stop(grace)

    def _wrap(self, method: str, handler: Any) -> Any:
        kind = kind_of(handler)
        behavior = getattr(handler, kind)
        run = self._many if handler.response_streaming else self._one
        made = rebuilt(kind, lambda request, context: run(behavior, request, context), behavior)
        return made._replace(
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _client(self, context: Any) -> str:
        if self._by == "peer":
            return identity(context)
        found = [value for key, value in context.invocation_metadata() if key == self._by]
        return ",".join(map(str, found))

    def _admitted(self, context: Any) -> Turn:
        """Wait for a turn.  Aborts the RPC when too many wait, its deadline passes, or its client has gone."""
        turn = self.queue.join(self._client(context), named(context.invocation_metadata()))
        if turn is None:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many RPCs wait for their turn")
            raise AssertionError("abort raises")
        while not turn.came.wait(LOOK_S):
            if not context.is_active():
                self.queue.end(turn, is_late(context))
                context.abort(grpc.StatusCode.CANCELLED, "the client has gone while it waited")
        return turn

    def _one(self, behavior: Callable[[Any, Any], Any], request: Any, context: Any) -> Any:
        turn = self._admitted(context)
        try:
            return behavior(request, context)
        finally:
            self.queue.end(turn, is_late(context))

    def _many(
        self, behavior: Callable[[Any, Any], Iterator[Any]], request: Any, context: Any
    ) -> Iterator[Any]:
        turn = self._admitted(context)
        try:
            yield from behavior(request, context)
        finally:
            self.queue.end(turn, is_late(context))


def take_turns(
    server: grpc.Server,
    policy: Any,
    *,
    at_once: int,
    by: str = "peer",
    most_waiting: int = 1000,
    tenants: str | os.PathLike[str] | None = None,
    name: str | None = None,
) -> Turns:
    """The server, with at most `at_once` RPCs in service; `policy`, an `Arbiter`, chooses whose RPC is next.

    `by`: "peer", or the metadata key which names the client; all RPCs without that key count as one client.  `tenants`:
    a TOML file of clients' weights, in percent under `[tenants]`; changes to the file take effect.  Each waiting RPC
    holds a thread of the server's pool.  `name`: the name by which `transect rpc status` finds the queue; a program of
    a stack gives the value of the environment variable `TRANSECT_NAME`, and then `transect top` finds the queue too.

    Add services to the result.  In `take_turns(attach(…), …)` the chain sees an RPC before it waits; in
    `attach(take_turns(…), …)`, after.

    Raises `transect.base.weights.NoWeights` where the file says none, and TypeError or ValueError for what is no such
    server, Arbiter, number or name.
    """
    if isinstance(server, grpc.aio.Server):
        raise TypeError(
            "take_turns wants a server with threads, `grpc.server(pool)`, and not one of grpc.aio"
        )
    program = program_of(policy)
    if program.base != "Arbiter":
        raise TypeError(
            f"take_turns wants an Arbiter, such as FairShare(), and {program.name} is of `{program.base}`; "
            f"elements go into `attach(server, [{program.name}()], …)`"
        )
    if at_once < 1 or most_waiting < 0:
        raise ValueError(f"at_once={at_once}, most_waiting={most_waiting}: nobody would ever be served")
    if not by:
        raise ValueError('by="" names no metadata: "peer", or the key which names the client')
    queue = Queue(policy, program, at_once, most_waiting, _weights(tenants))
    turns = Turns(server, queue, by.lower())  # as keys of metadata are
    if name is not None:
        turns.operated = reachable("queue", name, TurnsHost(turns.queue))
    return turns


def _weights(tenants: str | os.PathLike[str] | None) -> Callable[[str], int]:
    if tenants is None:
        return lambda _: ORDINARY
    try:
        return Weights(Path(tenants)).of
    except NoWeights as wrong:
        raise NoWeights(f"{os.fspath(tenants)} {wrong}") from wrong


def is_late(context: Any) -> bool:
    """Whether the RPC's deadline, from the client or the layer before, has passed: nobody waits for it any more."""
    left, deadline = context.time_remaining(), current().deadline
    return (left is not None and left <= 0) or (deadline is not None and time.monotonic() >= deadline)
