# SPDX-License-Identifier: Apache-2.0
"""Fair sharing by virtual counters: one policy for CPUs, RPCs, language models and memory reads."""

from transect.lang import Tally, tally
from transect.shapes import Arbiter, Client


class FairShare(Arbiter):
    """Serve whoever has been served least; a newcomer starts level with the others."""

    served: Tally[Client, int] = tally(4096)  # a map whose missing keys read 0
    level: int = 0  # where the last one picked stood

    def arrive(self, client: Client) -> None:
        floor = min((self.served[c] for c in self.waiting), default=self.level)
        self.served[client] = max(self.served[client], floor)

    def pick(self) -> Client:
        chosen = min(self.waiting, key=self.served.get)
        self.level = max(self.level, self.served[chosen])
        return chosen

    def charge(self, client: Client, cost: int) -> None:
        self.served[client] += cost
