# SPDX-License-Identifier: Apache-2.0
"""Any `Arbiter` as the queue in front of a server which serves a limited number of RPCs at once; `grpcio/turns.py` puts
it there.

A client is charged for its time in service: the nanoseconds from an RPC's turn to its end, × 100 / weight.  When the
RPC begins, the usual duration of recent RPCs is charged; when it ends, the difference to its real duration.  So a
client with many waiting RPCs does not get all places before its first RPC has been paid for.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from transect.base.request_id import NAMELESS, Named
from transect.base.weights import ORDINARY
from transect.control.answers import Reading, Share
from transect.control.readings import readings
from transect.core.effects import Facts
from transect.core.frontend.source import text_now
from transect.core.ir import Program
from transect.core.passes.ordered_pick import heaps, ordered_pick
from transect.emit.py.image import image
from transect.replay.log import Header, Trailer
from transect.replay.queues import EPOCH, KIND, QueueRecording, Recorded, epoch
from transect.replay.writer import Writer
from transect.rpc.accounts import Accounts

Weight = Callable[[str], int]
"""A client's weight, in percent of an ordinary share."""

LOOK_AT = 64  # known clients; when there are more, those that need not be known are forgotten
SHARE = 8  # the weight of a new duration in the usual one: 1 / SHARE


class Turn:
    """One RPC that waits, or is in service."""

    def __init__(self, client: str, number: int, named: Named) -> None:
        self.client = client
        self.number = number  # among all RPCs of its queue
        self.named = named
        self.came = threading.Event()
        self.began = 0  # when its turn came, in ns
        self.charged = 0  # what its client was charged for it, in ns


class Queue:
    """The waiting RPCs of each client, and the policy that chooses among the clients."""

    def __init__(
        self,
        policy: Any,
        program: Program,
        at_once: int,
        most: int,
        weight: Weight = lambda _: ORDINARY,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        asked, charge = heaps(ordered_pick(program)), program.handler("charge")
        charged = Facts(program).of(charge).written_fields if charge is not None else frozenset()
        self._counter = next((name for name in asked if name in charged), None)
        self.policy, self.program = policy, program
        self._deciding = policy  # the policy, recorded while there is a recording
        self._recording: QueueRecording | None = None
        self._numbers: dict[str, int] = {}  # the numbers by which the policy knows clients
        self._names: dict[int, str] = {}
        self._clients, self._turns = count(), count()
        self.at_once, self.most_waiting = at_once, most
        self._free, self._weight = at_once, weight
        self._clock = clock
        self._lock = threading.Lock()
        self._accounts = Accounts(clock=clock)
        self._waiting: dict[str, deque[Turn]] = {}
        self._serving: Counter[str] = Counter()
        self._usual = 0  # the usual duration of recent RPCs, in ns
        self._known: dict[str, None] = {}  # clients about which the policy may hold something
        self._look_at = LOOK_AT

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def join(self, client: str, named: Named = NAMELESS) -> Turn | None:
        """An RPC waits for its turn, which may come at once; None if too many wait.  `named`: the ids in
        its headers.
        """
        with self._lock:
            if not self._free and len(self) >= self.most_waiting:
                return None
            turn = Turn(client, next(self._turns), named)
            if self._recording is not None:
                self._recording.came(turn)
            if client not in self._waiting:
                number = self._number(client)
                self._about(turn, self._deciding.arrive, number)
                self._deciding.waiting.append(number)
                self._waiting[client] = deque()
            self._waiting[client].append(turn)
            self._accounts.joins(client)
            self._next()
            return turn

    def _next(self) -> None:
        while self._free and self._waiting:
            client = self._names[self._deciding.pick()]
            turn = self._waiting[client][0]
            self._taken(turn)
            self._free -= 1
            self._serving[client] += 1
            self._accounts.begins(client)
            turn.began = self._clock()
            self._charge(turn, self._usual)
            turn.came.set()

    def _taken(self, turn: Turn) -> None:
        queue = self._waiting[turn.client]
        queue.remove(turn)
        self._accounts.leaves(turn.client)
        if not queue:
            del self._waiting[turn.client]
            number = self._numbers[turn.client]
            self._deciding.waiting.remove(number)
            self._about(turn, self._deciding.leave, number)

    def _charge(self, turn: Turn, cost: int) -> None:
        turn.charged += cost
        weighted = cost * ORDINARY // self._weight(turn.client)
        self._about(turn, self._deciding.charge, self._numbers[turn.client], weighted)

    def _about(self, turn: Turn, hook: Callable[..., object], *args: object) -> None:
        """Call a hook on behalf of an RPC."""
        if self._recording is None:
            hook(*args)
        else:
            self._recording.about(turn, hook, *args)

    def _number(self, client: str) -> int:
        number = self._numbers.get(client)
        if number is None:
            number = self._numbers[client] = next(self._clients)
            self._names[number] = client
        return number

    def end(self, turn: Turn, late: bool = False) -> None:
        """The RPC has ended, in service or while it waited.  `late`: after its deadline."""
        with self._lock:
            if late:
                self._accounts.late(turn.client)
            if not turn.came.is_set():
                self._taken(turn)
                return
            took = self._clock() - turn.began
            self._charge(turn, took - turn.charged)
            self._usual += (took - self._usual) // SHARE
            self._free += 1
            self._accounts.ends(turn.client)
            self._serving[turn.client] -= 1
            if not self._serving[turn.client]:
                del self._serving[turn.client]
            self._next()
            self._known[turn.client] = None
            if len(self._known) > self._look_at:
                self._forget()

    def shares(self) -> list[Share]:
        """The share of each client."""
        with self._lock:
            return self._accounts.shares(self._weight)

    # ---------------------------------------------------------------- what operators ask for

    def state(self) -> list[Reading]:
        """The content of the policy's state."""
        with self._lock:
            return readings([self.program], [image(self.policy)], self.name_of)

    def name_of(self, number: int) -> str:
        """The name of a client."""
        return self._names.get(number, str(number))

    def record(self, path: Path, name: str) -> None:
        """Write every call of the policy into a new log.  Raises FileExistsError, OSError."""
        writer = Writer(path, Header("rpc", name, True, {KIND: "queue", EPOCH: epoch()}))
        with self._lock:
            assert self._recording is None, "it records already"
            recording = QueueRecording(writer, (), self.name_of)
            waiting = list(self.policy.waiting)
            recording.policy(
                self.program, image(self.policy), waiting, {self.program.path: text_now(self.program.path)}
            )
            for turn in (turn for queue in self._waiting.values() for turn in queue):
                recording.came(turn)
            self._recording, self._deciding = recording, Recorded(self.policy, self.program, recording)

    def end_record(self) -> Trailer:
        """Close the log.  Raises OSError when the disk did not take all of it."""
        with self._lock:
            recording, self._recording, self._deciding = self._recording, None, self.policy
            assert recording is not None, "nothing is recorded"
            final = image(self.policy)
        return recording.close(final)

    def _forget(self) -> None:
        """Forget idle clients that lose nothing by it: names that strangers make up must not accumulate."""
        if (
            self._counter is not None and self._waiting and self._recording is None
        ):  # a recording would not show it
            counter, number = getattr(self.policy, self._counter), self._numbers
            floor = min(counter[number[client]] for client in self._waiting)
            idle = (c for c in self._known if c not in self._serving and c not in self._waiting)
            for client in [c for c in idle if counter[number[c]] <= floor]:
                del self._known[client]
                self.policy.forget(number[client])
                del self._names[number.pop(client)]
        self._look_at = max(LOOK_AT, 2 * len(self._known))
