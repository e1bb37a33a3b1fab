# SPDX-License-Identifier: Apache-2.0
"""VTC that charges a forecast of the output ahead (OSDI'24, section 4.4): here the one that comes with the request."""

from transect.lang import Local, local
from transect.llm import Request

from .vtc import INPUT, OUTPUT, Vtc


class HintedVtc(Vtc):
    """Charge the expected output at admission, then only what exceeds it; give back what was not produced.

    A derived policy says what to expect, and what one request teaches for the next.
    """

    ahead: Local[int] = local(0)  # output tokens charged at admission

    def _expect(self, request: Request) -> int:
        return request.hint

    def _price(self, request: Request, output: int) -> int:
        return OUTPUT * output

    def _prompt(self, tokens: int) -> int:
        return INPUT * tokens

    def admit(self, request: Request) -> None:
        self.ahead = max(
            0, min(self._expect(request), request.reserved)
        )  # never more than there is memory for
        self.served[request.client] += self._price(request, self.ahead)

    def charge(self, request: Request, prompt: int, output: int) -> None:
        now, before = max(request.produced, self.ahead), max(request.produced - output, self.ahead)
        grown = self._price(request, now) - self._price(request, before)
        self.served[request.client] += self._prompt(prompt) + grown

    def retract(self, request: Request) -> None:
        self._settle(request)

    def finish(self, request: Request) -> None:
        self._settle(request)

    def _settle(self, request: Request) -> None:
        most = max(request.produced, self.ahead)
        back = self._price(request, most) - self._price(request, request.produced)
        self.served[request.client] -= back
        self.ahead = 0
