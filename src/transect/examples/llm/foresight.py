# SPDX-License-Identifier: Apache-2.0
"""VTC that charges in advance what a client's running requests are expected to produce, by those that have ended.

A forecast for one request errs by as much as outputs vary, whoever makes it.  The forecasts for all running requests of
a client err less together: a request that goes on for longer uses up what another one did not.  So what is paid in
advance belongs to the client: tokens are paid from it first; it is filled up when the client is chosen, which is when
its counter is the least; and what is too much goes back when a request ends.
"""

from typing import Final

from transect.lang import Tally, tally
from transect.llm import Client, Request

from .vtc import INPUT, OUTPUT, Vtc

SLOW: Final = 256  # requests that it takes to move the forecast: those that end first are the short ones
MARGIN: Final = 1150  # thousandths of the mean: who has paid too much is soon the least, and chosen


class Foresight(Vtc):
    """Expect the mean output; for a running request, half of what it has produced less."""

    ahead: Tally[Client, int] = tally(16384)  # micro-tokens that are paid and not produced yet
    running: Tally[Client, int] = tally(16384)  # requests
    made: Tally[Client, int] = tally(16384)  # micro-tokens that these have produced
    mean: int = 300_000  # output of requests that have ended, with the margin; thousandths of a token

    def _due(self, request: Request) -> int:
        each = OUTPUT * min(self.mean // 1000, request.reserved)
        return max(0, self.running[request.client] * each - self.made[request.client] // 2)

    def admit(self, request: Request) -> None:
        self.running[request.client] += 1
        more = min(self._due(request) - self.ahead[request.client], OUTPUT * request.reserved)
        self.ahead[request.client] += max(0, more)
        self.served[request.client] += max(0, more)

    def charge(self, request: Request, prompt: int, output: int) -> None:
        paid = min(OUTPUT * output, self.ahead[request.client])
        self.ahead[request.client] -= paid
        self.made[request.client] += OUTPUT * output
        self.served[request.client] += INPUT * prompt + OUTPUT * output - paid

    def retract(self, request: Request) -> None:
        self._ends(request)

    def finish(self, request: Request) -> None:
        self._ends(request)
        self.mean += (MARGIN * request.produced - self.mean) // SLOW

    def _ends(self, request: Request) -> None:
        self.running[request.client] = max(0, self.running[request.client] - 1)
        self.made[request.client] = max(0, self.made[request.client] - OUTPUT * request.produced)
        back = max(0, self.ahead[request.client] - self._due(request))
        self.ahead[request.client] -= back
        self.served[request.client] -= back
