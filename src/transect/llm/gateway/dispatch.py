# SPDX-License-Identifier: Apache-2.0
"""The waiting requests, the replicas with room, and the choice of the next request.  The policy chooses late: a request
gets a replica only when one has room for it.  While the chosen request fits nowhere, no other is dispatched (VTC's stop
rule), so small requests do not starve a large one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf

from transect.base.counted import counted
from transect.base.request_id import NAMELESS, Named
from transect.llm.gateway.calls import Call
from transect.llm.gateway.replica import Replica
from transect.llm.gateway.settings import Limits
from transect.llm.request import Held
from transect.llm.service import Service
from transect.llm.tenants import Client

LEARN = 5  # an expectation moves by one part in so many with each answer (the paper's predictor)
LATE = "its deadline, as the layer before says it, passed before its turn came"
FLOOR = 64  # tokens of output that are reserved at least


class TurnedAway(Exception):
    """A request that is not served: HTTP status, and why."""

    def __init__(self, status: int, why: str, retry_s: float | None = None) -> None:
        super().__init__(why)
        self.status = status
        self.why = why
        self.retry_s = retry_s


@dataclass(slots=True)
class Place:
    """What the gateway keeps with a request that is there."""

    call: Call
    since: float  # monotonic: when it came
    deadline: float = inf  # monotonic: when its client no longer waits
    replica: Replica | None = None  # only while it runs
    need: int = 0  # tokens taken of the replica's window
    turn: asyncio.Future[None] | None = None  # completed when its turn has come, if it has to wait
    tries: int = 0  # that engines broke off
    refusals: int = 0  # of engines that said that they were busy


class Dispatcher:
    """Gives waiting requests to replicas.  Lives in one event loop."""

    def __init__(
        self,
        service: Service,
        replicas: Sequence[Replica],
        limits: Limits,
        expectation: Expectation | None = None,
    ) -> None:
        self.service = service
        self.replicas = replicas
        self.limits = limits
        self.expected = expectation or Expectation()
        self.running: dict[Held, None] = {}
        self.waits: Callable[[float], None] = lambda seconds: None  # called with each waiting time

    # ---------------------------------------------------------------- one request

    def enter(
        self, client: Client, call: Call, deadline: float | None = None, named: Named = NAMELESS
    ) -> Held:
        """Let a request join the queue of its tenant.  Raises `TurnedAway`.  `deadline`: monotonic; None: it has
        none.
        """
        queues = self.service.queues
        if deadline is not None and deadline <= time.monotonic():
            with self.service.lock:
                queues.account(client.number).late += 1
            raise TurnedAway(504, LATE)
        if queues.waiting_of(client.number) >= self.limits.waiting_each:
            raise TurnedAway(
                429, f"{client.name} has {counted(self.limits.waiting_each, 'request')} waiting already", 1.0
            )
        if len(queues) >= self.limits.waiting:
            raise TurnedAway(503, f"{self.limits.waiting} requests are waiting already", 1.0)
        expected = self.expected.of(client.number)
        held = Held(
            client.number,
            input=call.prompt,
            limit=call.limit,
            reserved=min(call.limit, max(FLOOR, 2 * expected)),
            hint=min(call.limit, expected),
            weight=client.weight,
            lane=client.lane,
            group=client.group,
            named=named,
            own=Place(call, time.monotonic(), inf if deadline is None else deadline),
        )
        with self.service.lock:
            refused = queues.add(held)
        if refused is not None:
            raise TurnedAway(429, refused.message or "the policy turns it away", 1.0)
        return held

    async def replica_for(self, held: Held) -> Replica:
        """Wait for the request's turn.  Raises `TurnedAway` when that takes too long."""
        place: Place = held.own
        if place.replica is None:
            self.pump()
        if place.replica is None:
            left = min(place.since + self.limits.wait_s, place.deadline) - time.monotonic()
            place.turn = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(left):
                    await place.turn
            except TimeoutError:
                if place.replica is None and time.monotonic() >= place.deadline:
                    raise TurnedAway(504, LATE) from None
                if place.replica is None:
                    raise TurnedAway(503, f"it has waited for {self.limits.wait_s:g} s", 5.0) from None
        assert place.replica is not None, "its turn has come"
        return place.replica

    def pump(self) -> None:
        """Dispatch the next requests, as long as there is room."""
        if len(self.service.queues):
            with self.service.lock:
                self._dispatch()

    def _dispatch(self) -> None:
        """The same, under the lock."""
        queues = self.service.queues
        while (held := queues.peek()) is not None:
            place: Place = held.own
            need = held.input + held.reserved
            replica = self._with_room(need)
            if replica is None:
                break
            queues.pop()
            replica.take(need)
            place.replica, place.need = replica, need
            self.running[held] = None
            self.waits(time.monotonic() - place.since)
            if place.turn is not None and not place.turn.done():
                place.turn.set_result(None)
        self.service.watch()

    def _with_room(self, tokens: int) -> Replica | None:
        """The replica with the most room, if it is enough."""
        best: Replica | None = None
        asked = [replica for replica in self.replicas if replica.healthy]
        for replica in asked or [replica for replica in self.replicas if replica.askable]:
            if replica.running >= replica.connections:
                continue
            if best is None or replica.free > best.free:
                best = replica
        if best is None or best.fits(tokens):
            return best
        for replica in self.replicas:
            if replica.healthy:
                replica.limited()
        return None

    def rest(self, held: Held) -> None:
        """Let a request wait for its next try outside the queue: its room is free for others, and none waits behind
        it.
        """
        with self.service.lock:
            self._leave_replica(held)
        self.pump()

    def again(self, held: Held) -> None:
        """Put a request that its replica did not take back into the queue, before the others of its tenant and without
        a charge.
        """
        with self.service.lock:
            self._give_back(held)
            self.service.queues.undo(held)

    def leave(self, held: Held) -> None:
        """Remove a request that has ended, wherever it is.  A second call does nothing."""
        queues = self.service.queues
        place: Place = held.own
        with self.service.lock:
            here = held in self.running or held in queues
            if here and time.monotonic() >= place.deadline:
                queues.account(held.client).late += 1
            if held in self.running:
                self._give_back(held)
                queues.finish(held)
            elif here:
                queues.cancel(held)
            if len(queues):
                self._dispatch()

    def turn_away_all(self, why: str) -> None:
        """Turn away all waiting requests."""
        with self.service.lock:
            for held in list(self.service.queues):
                turn: asyncio.Future[None] | None = held.own.turn
                if turn is not None and not turn.done():
                    turn.set_exception(TurnedAway(503, why, 5.0))

    def _give_back(self, held: Held) -> None:
        self._leave_replica(held)
        del self.running[held]

    def _leave_replica(self, held: Held) -> None:
        place: Place = held.own
        if place.replica is not None:  # else it waits for another try
            place.replica.give_back(place.need)
            place.replica = None

    # ---------------------------------------------------------------- what it used

    def produced(self, held: Held, tokens: int) -> None:
        """Charge that many more output tokens."""
        if tokens:
            with self.service.lock:
                self.service.queues.produced(held, tokens)

    def settle(self, held: Held, prompt: int | None, output: int | None) -> None:
        """Replace the estimates that were charged by what the request really used, as far as the engine said."""
        with self.service.lock:
            if prompt is not None:
                self.service.queues.correct_prompt(held, prompt)
            if output is not None and output != held.produced:
                self.service.queues.produced(held, output - held.produced)
        self.expected.learn(held.client, held.produced)

    def settle_nothing(self, held: Held) -> None:
        """Take back all charges of a request that was not served."""
        with self.service.lock:
            self.service.queues.correct_prompt(held, 0)
            if held.produced:
                self.service.queues.produced(held, -held.produced)


@dataclass(slots=True)
class Expectation:
    """The expected length of each tenant's answers: the moving average of VTC's predictor (OSDI'24)."""

    first: int = 256  # tokens, for a tenant without an answer yet
    most: int = 16_384  # tenants; beyond them, those without an answer for the longest time are forgotten
    known: dict[object, int] = field(default_factory=dict)

    def of(self, client: object) -> int:
        return self.known.get(client, self.first)

    def learn(self, client: object, output: int) -> None:
        before = self.known.pop(client, None)
        if before is None and len(self.known) >= self.most:
            del self.known[next(iter(self.known))]
        self.known[client] = output if before is None else (before * (LEARN - 1) + output) // LEARN
