# SPDX-License-Identifier: Apache-2.0
"""The virtual token counter of "Fairness in Serving Large Language Models" (OSDI'24), algorithm 2, to the letter."""

from typing import Final

from transect.lang import Tally, tally
from transect.llm import Admission, Client, Request

INPUT: Final = 1_000_000  # w_p = 1, in micro-tokens
OUTPUT: Final = 2_000_000  # w_q = 2


class Vtc(Admission):
    """Serve whoever has used the fewest tokens; who comes back from idleness is lifted level with those who wait."""

    served: Tally[Client, int] = tally(16384)  # weighted micro-tokens
    last: Client | None = None  # who left the queue last

    def arrive(self, request: Request) -> None:
        client = request.client
        if client in self.waiting:
            return
        level = min((self.served[c] for c in self.waiting), default=self._left())
        self.served[client] = max(self.served[client], level)

    def _left(self) -> int:
        return 0 if self.last is None else self.served[self.last]

    def pick(self) -> Client:
        return min(self.waiting, key=self.served.get)

    def charge(self, request: Request, prompt: int, output: int) -> None:
        self.served[request.client] += INPUT * prompt + OUTPUT * output

    def leave(self, client: Client) -> None:
        self.last = client
