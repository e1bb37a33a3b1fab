# SPDX-License-Identifier: Apache-2.0
"""Strict lanes, fair within each: interactive users before batch jobs, and VTC among those of one lane."""

from typing import Final

from transect.lang import Tally, tally
from transect.llm import Admission, Client, Request

INPUT: Final = 1_000_000  # micro-tokens
OUTPUT: Final = 2_000_000


class Lanes(Admission):
    """Serve the lowest lane where anybody waits; there, whoever has used the fewest tokens."""

    lane: Tally[Client, int] = tally(16384)
    served: Tally[Client, int] = tally(16384)  # weighted micro-tokens
    level: Tally[int, int] = tally(64)  # where the last one picked from a lane stood

    def arrive(self, request: Request) -> None:
        client, lane = request.client, request.lane
        if client in self.waiting:
            return
        self.lane[client] = lane
        least = min((self.served[c] for c in self.waiting if self.lane[c] == lane), default=self.level[lane])
        self.served[client] = max(self.served[client], least)

    def pick(self) -> Client:
        chosen = min(self.waiting, key=lambda c: (self.lane[c], self.served[c]))
        lane = self.lane[chosen]
        self.level[lane] = max(self.level[lane], self.served[chosen])
        return chosen

    def charge(self, request: Request, prompt: int, output: int) -> None:
        self.served[request.client] += INPUT * prompt + OUTPUT * output
