# SPDX-License-Identifier: Apache-2.0
"""Least counter first: VTC without its lift.  Who was idle long enough then has the engine to itself."""

from typing import Final

from transect.lang import Tally, tally
from transect.llm import Admission, Client, Request

INPUT: Final = 1_000_000  # micro-tokens
OUTPUT: Final = 2_000_000


class Lcf(Admission):
    """Serve whoever has used the fewest tokens ever."""

    served: Tally[Client, int] = tally(16384)  # weighted micro-tokens

    def pick(self) -> Client:
        return min(self.waiting, key=self.served.get)

    def charge(self, request: Request, prompt: int, output: int) -> None:
        self.served[request.client] += INPUT * prompt + OUTPUT * output
