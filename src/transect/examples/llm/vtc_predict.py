# SPDX-License-Identifier: Apache-2.0
"""VTC with the paper's prediction (OSDI'24, section 4.4): a moving average of each client's output lengths."""

from transect.lang import Tally, tally
from transect.llm import Client, Request

from .vtc_hint import HintedVtc


class PredictiveVtc(HintedVtc):
    """Expect what the client's last requests produced: p = (4 p + length) / 5, from the first length on."""

    mean: Tally[Client, int] = tally(16384)  # thousandths of a token

    def _expect(self, request: Request) -> int:
        return self.mean[request.client] // 1000

    def finish(self, request: Request) -> None:
        self._settle(request)
        mean, length = self.mean[request.client], 1000 * request.produced
        self.mean[request.client] = length if mean == 0 else (4 * mean + length) // 5
