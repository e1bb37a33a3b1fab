# SPDX-License-Identifier: Apache-2.0
"""First come, first served: what engines do by themselves."""

from transect.lang import Tally, tally
from transect.llm import Admission, Client, Request


class Fcfs(Admission):
    """Serve the oldest request, whoever sent it."""

    turn: Tally[Client, int] = tally(16384)  # place in the order of arrival of each client's oldest request

    def head(self, request: Request) -> None:
        self.turn[request.client] = request.number

    def pick(self) -> Client:
        return min(self.waiting, key=self.turn.get)
