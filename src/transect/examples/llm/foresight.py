# SPDX-License-Identifier: Apache-2.0
"""VTC with a better forecast than a client's moving average, from requests that have ended and from nothing else.

Outputs vary far more from one request of a client to its next than from client to client, so a client's last few say
little: what requests with prompts of that length produced, over all clients, says more.  It is a mean, since what
matters is that the errors of the requests in flight cancel out; and a little more than the mean, since a client that
was charged too much is soon the least again and picked, while one that was charged too little stays ahead.
"""

from typing import Final

from transect.lang import Param, Tally, helper, param, tally
from transect.llm import Client, Request

from .vtc_hint import HintedVtc

# How many requests count as much as what is thought without them.  At first, those that have ended are the short
# ones, so it takes many of them to move the forecast.
ALL: Final = 256
SOME: Final = 64  # of a class of prompts, or of a client


@helper
def length_class(tokens: int) -> int:
    """1 for prompts of 2 and 3 tokens, 2 up to 7, 3 up to 15, 4 for longer ones."""
    found = 0
    for bits in range(1, 5):
        if tokens >> bits > 0:
            found = bits
    return found


class Foresight(HintedVtc):
    """Expect the mean output after prompts of that length, with a little of what the client itself has shown."""

    first: Param[int] = param(256)  # tokens; before anything has ended
    margin: Param[int] = param(115)  # percent of the mean; see above
    tokens: Tally[int, int] = tally(8)  # output of requests that have ended, by class of their prompt; 7: all
    ended: Tally[int, int] = tally(8)
    client_tokens: Tally[Client, int] = tally(16384)
    client_ended: Tally[Client, int] = tally(16384)

    def _expect(self, request: Request) -> int:
        kind, client = length_class(request.input), request.client
        everybody = (self.tokens[7] + ALL * self.first) // (self.ended[7] + ALL)
        alike = (self.tokens[kind] + SOME * everybody) // (self.ended[kind] + SOME)
        mean = (self.client_tokens[client] + SOME * alike) // (self.client_ended[client] + SOME)
        return mean * self.margin // 100

    def finish(self, request: Request) -> None:
        self._settle(request)
        for kind in range(8):
            if kind == 7 or kind == length_class(request.input):
                self.tokens[kind] += request.produced
                self.ended[kind] += 1
        self.client_tokens[request.client] += request.produced
        self.client_ended[request.client] += 1
