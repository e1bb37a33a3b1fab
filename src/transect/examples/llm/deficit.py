# SPDX-License-Identifier: Apache-2.0
"""Deficit round robin, adapted to costs that are known only afterwards (OSDI'24, appendix C.1)."""

from typing import Final

from transect.lang import Param, Tally, param, tally
from transect.llm import Admission, Client, Request

INPUT: Final = 1_000_000  # micro-tokens
OUTPUT: Final = 2_000_000


class DeficitRoundRobin(Admission):
    """Clients take turns; each is served while it has credit, which a round gives it and its tokens use up."""

    quantum: Param[int] = param(64_000_000)  # credit of a round, in micro-tokens
    credit: Tally[Client, int] = tally(16384)
    turn: Tally[Client, int] = tally(16384)  # when the client's last turn began
    turns: int = 0

    def pick(self) -> Client:
        most = max(self.credit[c] for c in self.waiting)
        if most <= 0:  # as many rounds as it takes until somebody has credit
            rounds = -most // self.quantum + 1
            for c in self.waiting:
                self.credit[c] = min(self.quantum, self.credit[c] + rounds * self.quantum)
        return self._choose(min(self.waiting, key=self.turn.get))

    def _choose(self, first: Client) -> Client:
        return min((c for c in self.waiting if self.credit[c] > 0), key=self.turn.get, default=first)

    def admit(self, request: Request) -> None:
        if self.credit[request.client] <= 0 or self.turn[request.client] == 0:
            self.turns += 1
            self.turn[request.client] = self.turns

    def charge(self, request: Request, prompt: int, output: int) -> None:
        self.credit[request.client] -= INPUT * prompt + OUTPUT * output

    def leave(self, client: Client) -> None:
        self.credit[client] = min(self.credit[client], 0)
