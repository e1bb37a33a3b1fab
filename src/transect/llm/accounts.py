# SPDX-License-Identifier: Apache-2.0
"""Queues which also count the service of each tenant, for operators and metrics.  Policies never see it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

from transect.llm.adapter import Chooser
from transect.llm.hooks import Refuse
from transect.llm.queue import TenantQueues
from transect.llm.request import Held


@dataclass(slots=True)
class Account:
    """The account of one tenant since the start.  Tokens are those that it was charged for."""

    prompt: int = 0
    output: int = 0
    admitted: int = 0  # requests
    finished: int = 0  # of those admitted
    refused: int = 0  # by the policy
    cancelled: int = 0  # while waiting
    preempted: int = 0
    late: int = 0  # not ended when their deadline passed

    @property
    def weighted(self) -> int:
        """Tokens, of which one of output counts as two."""
        return self.prompt + 2 * self.output


class AccountedQueues(TenantQueues):
    """`TenantQueues`, with an account for each client."""

    def __init__(self, chooser: Chooser) -> None:
        super().__init__(chooser)
        self.accounts: dict[Hashable, Account] = {}
        self._served: dict[Hashable, int] = {}
        self._waited: dict[Hashable, float] = {}  # seconds of waiting that have ended
        self._since: dict[Hashable, float] = {}  # start of the present waiting

    def account(self, client: Hashable) -> Account:
        found = self.accounts.get(client)
        if found is None:
            found = self.accounts[client] = Account()
        return found

    @property
    def clients_waiting(self) -> int:
        return len(self._queues)

    def heads(self) -> Iterator[Held]:
        """The oldest waiting request of each client."""
        return (queue[0] for queue in self._queues.values())

    def most_served(self) -> list[Hashable]:
        """The clients, by the tokens that they were charged for: an output token counts as two."""
        return sorted(self.accounts, key=lambda c: -self.accounts[c].weighted)

    def served(self, client: Hashable) -> int:
        """What the client was charged for, as `Account.weighted`, but never less than before: after a correction by an
        engine's count, it stays until it is reached again.
        """
        served = self._served[client] = max(self._served.get(client, 0), self.account(client).weighted)
        return served

    def backlogged(self, client: Hashable, now: float) -> float:
        """Seconds in which at least one request of the client waited; `now`: monotonic."""
        return self._waited.get(client, 0.0) + now - self._since.get(client, now)

    def chosen_again(self) -> None:
        """Counters were changed from outside, so `peek` must ask the policy again."""
        self._chosen = None

    def use(self, chooser: Chooser) -> None:
        """Let another policy or version take over; it must know the waiting clients."""
        self._chosen = None
        self._use(chooser)

    def add(self, request: Held) -> Refuse | None:
        refused = super().add(request)
        if refused is not None:
            self.account(request.client).refused += 1
        return refused

    def put_back(self, request: Held) -> None:
        super().put_back(request)
        self.account(request.client).preempted += 1

    def pop(self) -> Held:
        request = super().pop()
        if not request.preemptions:
            self.account(request.client).admitted += 1
        return request

    def _join(self, request: Held, place: Callable[[deque[Held], Held], None]) -> None:
        super()._join(request, place)
        self.account(request.client)  # a waiting client is shown, served or not
        self._since.setdefault(request.client, time.monotonic())

    def _take(self, request: Held) -> None:
        super()._take(request)
        if not self.waiting_of(client := request.client):
            waited = time.monotonic() - self._since.pop(client)
            self._waited[client] = self._waited.get(client, 0.0) + waited

    def undo(self, request: Held) -> None:
        if not request.preemptions:
            self.account(request.client).admitted -= 1
        super().undo(request)

    def finish(self, request: Held) -> None:
        super().finish(request)
        self.account(request.client).finished += 1

    def cancel(self, request: Held) -> None:
        super().cancel(request)
        self.account(request.client).cancelled += 1

    def produced_in_step(self, step: Sequence[tuple[Held, int]]) -> None:
        super().produced_in_step(step)
        accounts = self.accounts  # a client that produces has had one since its prompt was charged
        for request, tokens in step:
            accounts[request.client].output += tokens

    def correct_prompt(self, request: Held, prompt: int) -> None:
        """Correct the charge of a prompt, which was an estimate, to its real number of tokens; 0 for no charge."""
        more = prompt - request.charged
        if more:
            request.charged = prompt
            self._charge(request, more, 0)

    def _charge(self, request: Held, prompt: int, output: int) -> None:
        super()._charge(request, prompt, output)
        account = self.accounts.get(request.client) or self.account(request.client)
        account.prompt += prompt
        account.output += output
