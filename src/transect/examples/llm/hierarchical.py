# SPDX-License-Identifier: Apache-2.0
"""Fair among organisations, and within each one among its users: many accounts do not make a larger share."""

from typing import Final

from transect.lang import Map, Tally, table, tally
from transect.llm import Admission, Client, Group, Request

INPUT: Final = 1_000_000  # micro-tokens
OUTPUT: Final = 2_000_000


class Hierarchical(Admission):
    """VTC twice: the organisation with the least counter (weighted), then its user with the least."""

    home: Map[Client, Group] = table(16384)
    used: Tally[Group, int] = tally(16384)  # of an organisation, in weighted micro-tokens
    served: Tally[Client, int] = tally(16384)  # of a user
    level: int = 0  # where the organisation that was picked last stood
    inner: Tally[Group, int] = tally(16384)  # where the user that was picked last in it stood

    def arrive(self, request: Request) -> None:
        client, group = request.client, request.group
        if client in self.waiting:
            return
        if all(not self._lives(c, group) for c in self.waiting):
            self.used[group] = max(
                self.used[group], min((self._used(c) for c in self.waiting), default=self.level)
            )
        least = min(
            (self.served[c] for c in self.waiting if self._lives(c, group)), default=self.inner[group]
        )
        self.served[client] = max(self.served[client], least)
        self.home[client] = group

    def _lives(self, client: Client, group: Group) -> bool:
        return self.home[client] == group if client in self.home else False

    def _used(self, client: Client) -> int:
        return self.used[self.home[client]] if client in self.home else 0

    def pick(self) -> Client:
        chosen = min(self.waiting, key=lambda c: (self._used(c), self.served[c]))
        self.level = max(self.level, self._used(chosen))
        if chosen in self.home:
            self.inner[self.home[chosen]] = max(self.inner[self.home[chosen]], self.served[chosen])
        return chosen

    def charge(self, request: Request, prompt: int, output: int) -> None:
        self.served[request.client] += INPUT * prompt + OUTPUT * output
        self.used[request.group] += (INPUT * 100 // request.weight) * prompt + (
            OUTPUT * 100 // request.weight
        ) * output
