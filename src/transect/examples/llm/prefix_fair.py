# SPDX-License-Identifier: Apache-2.0
"""Fair and cache-aware (after deficit longest prefix match): among clients with credit, the longest cached prefix."""

from transect.lang import Tally, tally
from transect.llm import Client, Request

from .deficit import DeficitRoundRobin


class PrefixFair(DeficitRoundRobin):
    """Credit bounds how far the cache may bend fairness: a client without credit waits, whatever it has cached."""

    cached: Tally[Client, int] = tally(16384)  # tokens of each client's oldest request that the cache holds

    def head(self, request: Request) -> None:
        self.cached[request.client] = request.cached

    def _choose(self, first: Client) -> Client:
        return max((c for c in self.waiting if self.credit[c] > 0), key=self.cached.get, default=first)
