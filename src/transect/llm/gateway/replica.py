# SPDX-License-Identifier: Apache-2.0
"""One engine behind the gateway: how many tokens it may have in flight, whether it answers, and what its metrics say.
The window trades fairness against throughput: too small a window leaves the engine idle, too large a one moves the
queue into the engine, which serves first come, first served.  So it shrinks while the engine itself has a queue, and
grows while our tenants wait though the engine has memory to spare.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite

from transect.base.unavailable import Unavailable
from transect.llm.gateway.calls import Counting
from transect.llm.gateway.connections import Connections
from transect.llm.gateway.settings import Limits, Upstream, name_of

logger = logging.getLogger("transect.gateway")

FIRST = 16_384  # tokens, until the engine says what it has
LEAST, MOST = 1_024, 1 << 24
LARGEST = 1 << 40  # tokens; no engine has so many
SHRINK, GROW = 0.85, 1.10  # by one look at the engine's metrics
ROOMY = 0.90  # share of the engine's memory in use, up to which the window grows
PAUSES_S = (0.5, 1.0, 2.0, 5.0)  # after so many failures in a row


@dataclass(frozen=True, slots=True)
class Said:
    """The figures from an engine's metrics."""

    waiting: int  # requests in its own queue
    used: float  # share of its KV cache
    capacity: int | None  # tokens of its KV cache


def understand(text: str) -> Said | None:
    """From Prometheus text, of vLLM or SGLang; None if it is from neither."""
    waiting = _sum(text, ("vllm:num_requests_waiting", "sglang:num_queue_reqs"))
    used = _sum(text, ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc", "sglang:token_usage"))
    if waiting is None or used is None:
        return None
    return Said(int(waiting), used, _capacity(text))


def _sum(text: str, names: Iterable[str]) -> float | None:
    """The sum of a metric over its labels, under the first name that is there; None where it is no number."""
    for name in names:
        values = re.findall(rf"^{re.escape(name)}(?:\{{[^}}]*\}})? (\S+)$", text, re.M)
        if values:
            try:
                total = sum(map(float, values))
            except ValueError:
                return None
            return total if isfinite(total) else None
    return None


def _capacity(text: str) -> int | None:
    """The tokens of the KV cache; None if missing, or impossibly large."""
    config = re.search(r"^vllm:cache_config_info\{([^}]*)\}", text, re.M)
    if config:
        labels = dict(re.findall(r'(\w+)="([0-9]{1,15})"', config[1]))
        total: float | None = int(labels.get("num_gpu_blocks", 0)) * int(labels.get("block_size", 0))
    else:
        total = _sum(text, ("sglang:max_total_num_tokens",))
    return int(total) if total is not None and 0 < total < LARGEST else None


def pause_s(failures: int) -> float:
    """How long to wait after so many failures in a row, one or more."""
    return PAUSES_S[min(failures, len(PAUSES_S)) - 1]


class Replica:
    """What the gateway knows of one upstream.  Sizes in tokens."""

    def __init__(self, upstream: Upstream, limits: Limits, connections: int) -> None:
        """`connections`: to it at the same time, at most.  Raises `Unavailable` without its key."""
        self.upstream = upstream
        self.name = name_of(upstream)
        self.connections = connections
        self.http = Connections(
            upstream.url, _headers(upstream), silence_s=limits.silence_s, answer_s=limits.answer_s
        )
        self.window = FIRST if upstream.window == "auto" else upstream.window
        self.in_flight = 0
        self.running = 0  # requests
        self.capacity: int | None = None
        self.counting = Counting.CONTINUOUS  # what its streams are asked to say of the tokens that they used
        self.counting_known = False  # a stream has begun that was asked so
        self.odd_usage = 0  # answers whose usage was impossible
        self.failures = 0  # failures in a row
        self._absent_until = 0.0  # monotonic; it could not be reached, and is not asked until then
        self._full_until = 0.0  # monotonic; it was busy, and is not asked until then
        self._doubted_until = 0.0  # monotonic; it failed a request, and others are preferred until then
        self._limited = False  # a request found no room since the last look

    # ---------------------------------------------------------------- room

    @property
    def reachable(self) -> bool:
        return time.monotonic() >= self._absent_until

    @property
    def askable(self) -> bool:
        """Whether it may be asked if no other is healthy."""
        return time.monotonic() >= max(self._absent_until, self._full_until)

    @property
    def healthy(self) -> bool:
        """Whether nothing speaks against it."""
        return self.askable and time.monotonic() >= self._doubted_until

    def fits(self, tokens: int) -> bool:
        """Whether that many more tokens may be in flight.  A request larger than the window runs alone."""
        return self.in_flight == 0 or self.in_flight + tokens <= self.window

    @property
    def free(self) -> int:
        return self.window - self.in_flight

    def limited(self) -> None:
        """Note that a request waits for room here."""
        self._limited = True

    def take(self, tokens: int) -> None:
        self.in_flight += tokens
        self.running += 1

    def give_back(self, tokens: int) -> None:
        self.in_flight -= tokens
        self.running -= 1
        assert self.in_flight >= 0 and self.running >= 0, f"{self.name} gave back what it never took"

    # ---------------------------------------------------------------- health

    def absent(self) -> None:
        """Note that no connection could be made; it is not asked for a while."""
        self._absent_until = time.monotonic() + self._pause()

    def failed(self) -> None:
        """Note that it broke off, by its own fault or the request's."""
        self._doubted_until = time.monotonic() + self._pause()

    def _pause(self) -> float:
        self.failures += 1
        return pause_s(self.failures)

    def busy(self) -> None:
        """Note that it turned a request away: its window is too large, unless it was empty."""
        if self.running > 1:
            self._full_until = time.monotonic() + PAUSES_S[0]
        self._doubted_until = time.monotonic() + PAUSES_S[0]
        if self.upstream.window == "auto":
            self.window = max(self.least, int(self.window * SHRINK))

    def answered(self) -> None:
        self.failures = 0

    def counts(self, counting: Counting) -> None:
        """Note that a stream with this form of counting has begun; all others use it, too."""
        if not self.counting_known and counting is not Counting.CONTINUOUS:
            logger.warning(
                "%s refuses streams that are asked for usage with every event: it is asked for it %s",
                self.name,
                counting.value,
            )
        self.counting, self.counting_known = counting, True

    def used(self, output: int | None, limit: int, odd: bool) -> None:
        """Check the usage that an answer reported.  `limit`: tokens that were asked for; `odd`: some of it was no
        count.
        """
        if not odd and (output is None or output <= limit):
            return
        if not self.odd_usage:
            what = "no number of tokens" if odd else f"{output} tokens where {limit} were asked for"
            logger.warning("%s says as its usage: %s; how often it does is in its metrics", self.name, what)
        self.odd_usage += 1

    # ---------------------------------------------------------------- the window

    def learn(self, said: Said) -> None:
        """Tune the window by what the engine says of itself."""
        first = self.capacity is None
        self.capacity = said.capacity or self.capacity
        if self.upstream.window != "auto":
            return
        if first and self.capacity:
            self.window = self.capacity
        elif said.waiting > 0:
            self.window = max(self.least, int(self.window * SHRINK))
        elif self._limited and said.used < ROOMY:
            self.window = min(self.most, int(self.window * GROW) + 1)
        self._limited = False

    @property
    def least(self) -> int:
        """A window below a sixteenth of the engine's memory leaves it idle."""
        return self.capacity // 16 if self.capacity else LEAST

    @property
    def most(self) -> int:
        """A window beyond twice the engine's memory only lengthens its queue."""
        return 2 * self.capacity if self.capacity else MOST


def _headers(upstream: Upstream) -> dict[str, str]:
    """Headers of every request to it; none is the client's, whose key must not reach engines."""
    headers = {"content-type": "application/json"}
    if upstream.key_env is not None:
        key = os.environ.get(upstream.key_env, "").strip()
        if not key.isprintable() or not key:
            why = f"the environment variable {upstream.key_env} holds none"
            raise Unavailable(f"the key of {name_of(upstream)}", why, f"export {upstream.key_env}=…")
        headers["authorization"] = f"Bearer {key}"
    return headers
