# SPDX-License-Identifier: Apache-2.0
"""So many requests per client and minute; any more are turned away, even while the engine is idle."""

from transect.lang import Instant, Map, Param, Tally, lru, now, param, seconds, tally
from transect.llm import Client, Queue, Refuse, Request, Verdict

from .fcfs import Fcfs


class Rpm(Fcfs):
    """First come, first served, for requests within the limit."""

    limit: Param[int] = param(20)  # requests per client in any 60 seconds
    taken: Tally[Client, int] = tally(16384)
    times: Map[tuple[Client, int], Instant] = lru(
        262144
    )  # of each client's last requests, by number modulo `limit`

    def accept(self, request: Request) -> Verdict:
        client = request.client
        place = (client, self.taken[client] % self.limit)
        before = self.times.get(place)
        if before is not None and now() - before <= seconds(60):
            return Refuse("too many requests in this minute")
        self.times[place] = now()
        self.taken[client] += 1
        return Queue()
