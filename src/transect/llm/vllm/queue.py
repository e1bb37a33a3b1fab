# SPDX-License-Identifier: Apache-2.0
"""The engine's waiting queue, in the order of a policy.

The scheduler peeks, tries to find memory, stops when there is none (VTC's stop rule: it never goes on to another
client's request), and pops.  What it popped and then could not run in this step after all comes back by
`prepend_requests`; what it preempted comes back by `prepend_request`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from vllm.v1.core.sched.request_queue import RequestQueue

from transect.llm.accounts import AccountedQueues
from transect.llm.request import Held

if TYPE_CHECKING:
    from vllm.v1.engine import EngineCoreOutputs
    from vllm.v1.request import Request


class PolicyQueue(RequestQueue):
    """Requests of the engine, each with its `Held`, which is what the policy sees."""

    def __init__(self, queues: AccountedQueues, held_of: Callable[[Request], Held]) -> None:
        self._queues = queues
        self._held_of = held_of
        self._held: dict[str, Held] = {}  # by the request's id: every request that has not ended
        # while the results of a step are told: the requests that end with it
        self._leaving: dict[str, Held] | None = None

    # ---------------------------------------------------------------- the engine's interface

    def add_request(self, request: Request) -> None:
        self.end(request)  # a session that goes on with another input is another request
        held = self._held[request.request_id] = self._held_of(request)
        refused = self._queues.add(held)
        assert refused is None, "policies that turn requests away are refused when the engine starts"

    def peek_request(self) -> Request:
        held = self._queues.peek()
        if held is None:
            raise IndexError("peek from an empty queue")
        return _request(held)

    def pop_request(self) -> Request:
        if not len(self):
            raise IndexError("pop from an empty queue")
        return _request(self._queues.pop())

    def prepend_request(self, request: Request) -> None:
        self._queues.put_back(self._held[request.request_id])

    def prepend_requests(self, requests: Iterable[Request]) -> None:
        for request in requests:
            self._queues.undo(self._held[request.request_id])

    def remove_request(self, request: Request) -> None:
        self.end(request)

    def remove_requests(self, requests: Iterable[Request]) -> None:
        for request in requests:
            self.end(request)

    def __bool__(self) -> bool:
        return len(self._queues) > 0

    def __len__(self) -> int:
        return len(self._queues)

    def __iter__(self) -> Iterator[Request]:
        return map(_request, self._queues)

    # ---------------------------------------------------------------- what the scheduler tells besides

    def held(self, request: Request) -> Held | None:
        """What the policy sees of a request; None when it has ended."""
        return self._held.get(request.request_id)

    def running(self) -> Iterator[Held]:
        """The requests that were admitted and have not ended."""
        return (held for held in self._held.values() if held.admitted)

    def step(self) -> None:
        """The results of a step are about to be told: a request that ends with it is charged first, and then leaves."""
        self._leaving = {}

    def stepped(self, outputs: Iterable[EngineCoreOutputs]) -> None:
        """What the engine tells its clients of the step: new tokens, without those behind a stop."""
        leaving, self._leaving = self._leaving, None
        assert leaving is not None, "no step is told"
        produced: list[tuple[Held, int]] = []
        for of_client in outputs:
            for told in of_client.outputs:
                held = leaving.get(told.request_id) or self._held.get(told.request_id)
                if held is not None and told.new_token_ids:
                    produced.append((held, len(told.new_token_ids)))
        self._queues.produced_in_step(produced)
        for left in leaving.values():
            self._leave(left)

    def end(self, request: Request) -> None:
        """It has ended, wherever it was; calling this twice does no harm."""
        held = self._held.pop(request.request_id, None)
        if held is None:
            return
        if self._leaving is not None:
            self._leaving[request.request_id] = held
        else:
            self._leave(held)

    def _leave(self, held: Held) -> None:
        if held.admitted:
            self._queues.finish(held)
        else:
            self._queues.cancel(held)


def _request(held: Held) -> Request:
    request: Request = held.own
    return request
