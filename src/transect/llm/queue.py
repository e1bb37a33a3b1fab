# SPDX-License-Identifier: Apache-2.0
"""A queue of requests for each client, and the policy that chooses among the clients.

Invariant: the policy's `waiting` holds exactly the clients with a queue that is not empty.  The head of `adapter.py`
says in which order the methods are called.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence

from transect.llm.adapter import Chooser
from transect.llm.hooks import Refuse
from transect.llm.request import Held


class TenantQueues:
    """The waiting requests of one engine or gateway."""

    def __init__(self, chooser: Chooser) -> None:
        self._use(chooser)
        self._queues: dict[Hashable, deque[Held]] = {}
        self._running: dict[
            Hashable, int
        ] = {}  # requests of each client that were admitted and have not ended
        self._chosen: Held | None = None
        self._length = 0
        self.last_to_leave: Hashable = None

    def _use(self, chooser: Chooser) -> None:
        self.chooser = chooser

    # ---------------------------------------------------------------- who waits

    def __len__(self) -> int:
        """Requests that wait."""
        return self._length

    def __iter__(self) -> Iterator[Held]:
        """The waiting requests, client by client, oldest first."""
        return (request for queue in self._queues.values() for request in queue)

    def __contains__(self, request: Held) -> bool:
        return request in self._queues.get(request.client, ())

    def clients(self) -> Iterator[Hashable]:
        """Clients with waiting requests, in the order in which they became waiting."""
        return iter(self._queues)

    def waiting_of(self, client: Hashable) -> int:
        return len(self._queues.get(client, ()))

    def running_of(self, client: Hashable) -> int:
        return self._running.get(client, 0)

    # ---------------------------------------------------------------- arrival

    def add(self, request: Held) -> Refuse | None:
        """Add a new request; if the policy turns it away, return what the policy says."""
        if self.chooser.came is not None:
            self.chooser.came(request)
        if self.chooser.accept is not None:
            verdict = self.chooser.accept(request)
            if isinstance(verdict, Refuse):
                return verdict
        self._join(request, deque.append)
        return None

    def put_back(self, request: Held) -> None:
        """It was preempted: it waits again, ahead of its client's other requests, without a new charge."""
        assert request.admitted, "only what was admitted is preempted"
        request.preemptions += 1
        self._join(request, deque.appendleft)

    def undo(self, request: Held) -> None:
        """The last `pop` was no admission after all."""
        assert request.admitted and (request.preemptions or not request.produced), "it has run"
        if not request.preemptions:
            self._charge(request, -request.charged, 0)
            request.charged = 0
            request.admitted = False
            self._ended(request.client)
            if self.chooser.retract is not None:
                self.chooser.retract(request)
        self._join(request, deque.appendleft)

    def _join(self, request: Held, place: Callable[[deque[Held], Held], None]) -> None:
        self._chosen = None
        chooser, client = self.chooser, request.client
        if chooser.arrive is not None:
            chooser.arrive(request)
        queue = self._queues.get(client)
        if queue is None:
            queue = self._queues[client] = deque()
            chooser.waiting.append(client)
        place(queue, request)
        self._length += 1
        if queue[0] is request and chooser.head is not None:
            chooser.head(request)

    # ---------------------------------------------------------------- admission

    def peek(self) -> Held | None:
        """The request whose turn it is; the same until something changes."""
        if self._chosen is None and self._length:
            client = self.chooser.pick()
            queue = self._queues.get(client)
            assert queue, f"{self.chooser.program.name}.pick returned {client!r}, who does not wait"
            self._chosen = queue[0]
        return self._chosen

    def pop(self) -> Held:
        """The request of `peek` enters the running batch."""
        request = self.peek()
        assert request is not None, "nobody waits"
        self._take(request)
        if not request.admitted:
            request.admitted = True
            self._running[request.client] = self._running.get(request.client, 0) + 1
            if self.chooser.admit is not None:
                self.chooser.admit(request)
            request.charged = request.input
            self._charge(request, request.input, 0)
        return request

    def _take(self, request: Held) -> None:
        """The request leaves its queue, wherever it stands there."""
        self._chosen = None
        client = request.client
        queue = self._queues[client]
        was_head = queue[0] is request
        queue.remove(request)
        self._length -= 1
        if not queue:
            del self._queues[client]
            self.chooser.waiting.remove(client)
            self.last_to_leave = client
            if self.chooser.leave is not None:
                self.chooser.leave(client)
        elif was_head and self.chooser.head is not None:
            self.chooser.head(queue[0])

    # ---------------------------------------------------------------- while it runs, and after

    def produced(self, request: Held, tokens: int) -> None:
        """The request produced that many more output tokens, or (rolled back) fewer."""
        request.produced += tokens
        self._charge(request, 0, tokens)

    def produced_in_step(self, step: Sequence[tuple[Held, int]]) -> None:
        """`produced` for each request of one step of an engine."""
        self._chosen = None
        self.chooser.produced(step)

    def refund(self, request: Held, tokens: int) -> None:
        """That much of the prompt was in the prefix cache, and costs the client nothing."""
        assert 0 <= tokens <= request.charged, f"{tokens} of {request.charged} tokens taken back"
        request.charged -= tokens
        self._charge(request, -tokens, 0)

    def _charge(self, request: Held, prompt: int, output: int) -> None:
        self._chosen = None
        if self.chooser.charge is not None:
            self.chooser.charge(request, prompt, output)

    def finish(self, request: Held) -> None:
        """It ended after it was admitted; what it produced stays charged."""
        assert request.admitted, "what never ran is cancelled"
        if request in self:  # preempted, and ended while it waited
            self._take(request)
        self._chosen = None
        self._ended(request.client)
        if self.chooser.finish is not None:
            self.chooser.finish(request)

    def cancel(self, request: Held) -> None:
        """It ended while it waited for its first admission: it is never charged."""
        assert not request.admitted, "what ran is finished"
        self._take(request)

    def _ended(self, client: Hashable) -> None:
        left = self._running[client] - 1
        if left:
            self._running[client] = left
        else:
            del self._running[client]

    # ---------------------------------------------------------------- clients that go

    def idle(self, client: Hashable) -> bool:
        return client not in self._queues and client not in self._running

    def forget_idle(self, clients: Iterator[Hashable] | list[Hashable]) -> list[Hashable]:
        """Forget those of the clients who lose and gain nothing by it; those that are gone.

        A counter below the least of those who wait would be lifted to it on return, so it need not be kept.  Who left
        the queue last is kept: its counter is where the next one begins when nobody waits.
        """
        if not self._queues:
            return []
        counter = self.chooser.counter
        floor = min(map(counter, self._queues))
        gone = [c for c in clients if self.idle(c) and c != self.last_to_leave and counter(c) <= floor]
        for client in gone:
            self.chooser.forget(client)
        return gone
