# SPDX-License-Identifier: Apache-2.0
"""The forecast of `foresight` under the measured, quadratic cost of `vtc_profiled`."""

from transect.llm import Request

from .foresight import Foresight
from .vtc_profiled import ONCE, PER_INPUT, output_cost


class ProfiledForesight(Foresight):
    """Charge what the expected output will cost after this prompt."""

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
