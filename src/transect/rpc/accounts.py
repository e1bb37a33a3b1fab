# SPDX-License-Identifier: Apache-2.0
"""How much service each client of a queue got, and how long it waited: for operators.  Policies never see this.

Invariant: whichever accounts are dropped, the service of all clients adds up to what the queue served.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from transect.control.answers import OTHERS, Share
from transect.control.readings import shown

NS = 1e-9
KEPT = 100  # clients; when there are twice as many, those that need no account of their own are looked for


@dataclass(slots=True)
class Account:
    """The account of one client.  Times in ns."""

    waiting: int = 0  # RPCs
    serving: int = 0  # RPCs
    served_by: int = (
        0  # the sum of the times at which its RPCs ended, minus the sum of those at which they began
    )
    waited: int = 0  # in earlier stretches of waiting
    since: int = 0  # when the current stretch of waiting began
    late: int = 0  # RPCs

    def served(self, now: int) -> int:
        return self.served_by + self.serving * now

    def backlogged(self, now: int) -> int:
        return self.waited + (now - self.since if self.waiting else 0)

    @property
    def idle(self) -> bool:
        return not self.waiting and not self.serving


class Accounts:
    """The accounts of all clients.  Among idle clients, only those served most have their own; the others share one."""

    def __init__(self, kept: int = KEPT, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._kept = kept
        self._clock = clock
        self._others = Account()
        self._of = {OTHERS: self._others}

    def joins(self, client: str) -> None:
        """An RPC of the client begins to wait."""
        account = self._of.get(client)
        if account is None:
            self._make_room()
            account = self._of[client] = Account()
        if not account.waiting:
            account.since = self._clock()
        account.waiting += 1

    def leaves(self, client: str) -> None:
        """An RPC of the client no longer waits."""
        account = self._of[client]
        account.waiting -= 1
        if not account.waiting:
            account.waited += self._clock() - account.since

    def begins(self, client: str) -> None:
        """The service of one of the client's RPCs begins."""
        account = self._of[client]
        account.serving += 1
        account.served_by -= self._clock()

    def ends(self, client: str) -> None:
        """The service of one of the client's RPCs ends."""
        account = self._of[client]
        account.serving -= 1
        account.served_by += self._clock()

    def late(self, client: str) -> None:
        """The deadline of one of the client's RPCs has passed, in service or while it waited."""
        self._of[client].late += 1

    def _make_room(self) -> None:
        """Drop accounts once there are twice as many as are kept: so, on average, a new client costs the same however
        many clients there are.
        """
        if len(self._of) < 2 * self._kept:
            return
        idle = sorted(
            (c for c, a in self._of.items() if a.idle and c != OTHERS), key=lambda c: self._of[c].served_by
        )
        for client in idle[: len(self._of) - self._kept]:
            gone = self._of.pop(client)
            self._others.served_by += gone.served_by
            self._others.waited += gone.waited
            self._others.late += gone.late

    def shares(self, weight: Callable[[str], int]) -> list[Share]:
        """The shares of all clients, those served most first."""
        now = self._clock()
        rows = sorted(self._of.items(), key=lambda row: -row[1].served(now))
        return [
            {
                "tenant": shown(client),
                "unit": "seconds",
                "served": account.served(now) * NS,
                "backlogged": account.backlogged(now) * NS,
                "waiting": account.waiting,
                "running": account.serving,
                "weight": weight(client),
                "late": account.late,
            }
            for client, account in rows
            if account != Account()
        ]
