# SPDX-License-Identifier: Apache-2.0
"""What stands in front of several engines: a gateway which sends on what fits into a window, or a queue at each engine
with counters that the engines share.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from enum import StrEnum

from transect.llm.adapter import Chooser
from transect.llm.queue import TenantQueues
from transect.llm.request import Held
from transect.llm.simulator.job import Job

Route = Callable[[Job], Sequence[int]]  # the engines to which a request may go


def anywhere(engines: int) -> Route:
    everyone = range(engines)
    return lambda job: everyone


def modulo(engines: int, bucket: int = 1000) -> Route:
    """A rule of a public router: a client's tokens so far, cut into buckets, modulo the number of engines."""
    tokens: dict[Hashable, int] = {}

    def route(job: Job) -> Sequence[int]:
        tokens[job.client] = tokens.get(job.client, 0) + job.input + 128
        return (tokens[job.client] // bucket % engines,)

    return route


class Account(StrEnum):
    """When a gateway charges output tokens."""

    STREAM = "stream"  # as they come
    END = "end"  # all of them at the end
    FIXED = "fixed"  # so many at the beginning, and never what they really were


class Fifo:
    """The queue inside an engine behind a gateway: first come, first served."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._jobs: deque[Job] = deque()
        self.in_flight = (
            0  # tokens: prompt and expected output of the requests that were sent here and have not ended
        )

    def __len__(self) -> int:
        return len(self._jobs)

    def send(self, job: Job) -> None:
        self._jobs.append(job)

    def peek(self) -> Job | None:
        return self._jobs[0] if self._jobs else None

    def pop(self) -> Job:
        return self._jobs.popleft()

    def put_back(self, request: Job) -> None:
        self._jobs.appendleft(request)

    def produced(self, request: Job, tokens: int) -> None:
        self._gateway.produced(request, tokens)

    def finish(self, request: Job) -> None:
        self._gateway.finish(request, self)


class Gateway:
    """A queue for each client here; the policy's choice goes to the engine with most room in its window, as soon as
    there is one with room (late binding).  The engines know nothing of clients.
    """

    def __init__(
        self,
        chooser: Chooser,
        engines: int,
        window: int,
        *,
        account: Account = Account.STREAM,
        estimate: int = 128,
        expected: int = 256,
    ) -> None:
        """`window`: tokens in flight at each engine at most.  `estimate`: output tokens that `FIXED` charges.
        `expected`: output tokens that the window counts for a request."""
        self.queues = TenantQueues(chooser)
        self.engines = [Fifo(self) for _ in range(engines)]
        self.window = window
        self.account = account
        self.estimate = estimate
        self.expected = expected

    def arrive(self, job: Job, now: float) -> None:
        job.refused = self.queues.add(job) is not None
        self._dispatch()

    def _dispatch(self) -> None:
        while (held := self.queues.peek()) is not None:
            engine = min(self.engines, key=lambda e: e.in_flight)
            if engine.in_flight and engine.in_flight + held.input + self.expected > self.window:
                return
            assert isinstance(held, Job), "the gateway was given something else"
            self.queues.pop()
            engine.in_flight += held.input + self.expected
            if self.account is Account.FIXED:
                self._charge(held, self.estimate)
            engine.send(held)

    def _charge(self, job: Job, tokens: int) -> None:
        charge = self.queues.chooser.charge
        if charge is not None:
            charge(job, 0, tokens)

    def produced(self, job: Job, tokens: int) -> None:
        """Take note of tokens that the engine streams."""
        job.produced += tokens
        if self.account is Account.STREAM:
            self._charge(job, tokens)

    def finish(self, job: Job, engine: Fifo) -> None:
        engine.in_flight -= job.input + self.expected
        if self.account is Account.END:
            self._charge(job, job.produced)
        self.queues.finish(job)
        self._dispatch()


class Shared(TenantQueues):
    """The queue of one engine, which tells the others every so often what it has charged.

    Charges are applied at each as sums.  A lift is local, but starts from counters that include the others' charges.
    """

    def __init__(self, chooser: Chooser, period: int, now: Callable[[], int]) -> None:
        """`period`: ns between two tellings.  `now`: in ns."""
        super().__init__(chooser)
        self.others: list[Shared] = []
        self._period = period
        self._now = now
        self._next = period
        self._untold: dict[
            Held, tuple[int, int]
        ] = {}  # prompt and output tokens since the others were last told

    def _charge(self, request: Held, prompt: int, output: int) -> None:
        super()._charge(request, prompt, output)
        if self.others:
            told = self._untold.get(request, (0, 0))
            self._untold[request] = told[0] + prompt, told[1] + output
            self._tell()

    def _tell(self) -> None:
        now = self._now()
        if now < self._next:
            return
        self._next = now + self._period
        for other in self.others:
            other.hear(self._untold)
        self._untold.clear()

    def hear(self, charges: Mapping[Held, tuple[int, int]]) -> None:
        """Apply what another engine has charged."""
        self._chosen = None
        charge = self.chooser.charge
        if charge is not None:
            for request, (prompt, output) in charges.items():
                charge(request, prompt, output)


class Replicas:
    """A queue at each engine.  Each client's requests go to the engines where they may go, in turns."""

    def __init__(
        self, choosers: Sequence[Chooser], route: Route, now: Callable[[], int], *, period: int | None
    ) -> None:
        """`period`: ns between two tellings; None: each engine keeps its counters to itself."""
        self.engines = [Shared(chooser, period or 0, now) for chooser in choosers]
        if period is not None:
            for engine in self.engines:
                engine.others = [other for other in self.engines if other is not engine]
        self._route = route
        self._sent: dict[Hashable, list[int]] = {}

    def arrive(self, job: Job, now: float) -> None:
        """A new request."""
        allowed = self._route(job)
        sent = self._sent.setdefault(job.client, [0] * len(self.engines))
        chosen = min(allowed, key=lambda i: sent[i])
        sent[chosen] += 1
        job.refused = self.engines[chosen].add(job) is not None
