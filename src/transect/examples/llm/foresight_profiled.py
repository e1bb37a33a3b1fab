# SPDX-License-Identifier: Apache-2.0
"""The measured, quadratic cost of `vtc_profiled`, charged in advance for the output expected after such a prompt."""

from typing import Final

from transect.lang import Param, Tally, helper, param, tally
from transect.llm import Request

from .vtc_hint import HintedVtc
from .vtc_profiled import ONCE, PER_INPUT, output_cost

# How many ended requests it takes to count as much as the forecast without them.  Those that end first are the short
# ones, so it takes many of them to move the forecast.
ALL: Final = 256
SOME: Final = 64  # of a class of prompts


@helper
def length_class(tokens: int) -> int:
    """1 for prompts of 2 and 3 tokens, 2 up to 7, 3 up to 15, 4 for longer ones."""
    found = 0
    for bits in range(1, 5):
        if tokens >> bits > 0:
            found = bits
    return found


class ProfiledForesight(HintedVtc):
    """Expect the mean output after prompts of that length, over all clients, and charge what it will cost."""

    first: Param[int] = param(256)  # tokens; before anything has ended
    margin: Param[int] = param(
        115
    )  # percent of the mean: who has paid too much is soon the least, and chosen
    tokens: Tally[int, int] = tally(8)  # output of requests that have ended, by class of their prompt; 7: all
    ended: Tally[int, int] = tally(8)

    def _expect(self, request: Request) -> int:
        kind = length_class(request.input)
        everybody = (self.tokens[7] + ALL * self.first) // (self.ended[7] + ALL)
        return (self.tokens[kind] + SOME * everybody) * self.margin // (100 * (self.ended[kind] + SOME))

    def _price(self, request: Request, output: int) -> int:
        return output_cost(request.input, output)

    def _prompt(self, tokens: int) -> int:
        return PER_INPUT * tokens

    def retract(self, request: Request) -> None:
        self.served[request.client] -= ONCE
        self._settle(request)

    def admit(self, request: Request) -> None:
        self.ahead = max(0, min(self._expect(request), request.reserved))
        self.served[request.client] += ONCE + self._price(request, self.ahead)

    def finish(self, request: Request) -> None:
        self._settle(request)
        for kind in range(8):
            if kind == 7 or kind == length_class(request.input):
                self.tokens[kind] += request.produced
                self.ended[kind] += 1
