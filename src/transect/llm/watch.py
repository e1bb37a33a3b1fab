# SPDX-License-Identifier: Apache-2.0
"""The bound, watched: at every step, how far the counters of the waiting clients lie apart, against U.

`docs/fairness.md` derives U.  `enforce` raises at the first step beyond it (tests, simulations), `observe` counts
(production), and both keep the largest gap that was seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from transect.llm.adapter import MICRO
from transect.llm.queue import TenantQueues


class Mode(StrEnum):
    ENFORCE = "enforce"
    OBSERVE = "observe"


class BoundBroken(AssertionError):
    """Two waiting clients lie further apart than the policy's bound allows."""


@dataclass(slots=True)
class Watcher:
    """Looks at the counters of one queue.  Gaps and bound in weighted micro-tokens."""

    bound: int
    mode: Mode = Mode.OBSERVE
    looks: int = 0
    beyond: int = 0  # looks that found a gap beyond the bound
    gap: int = 0  # the gap at the last look
    worst: int = 0  # the largest gap ever seen

    def look(self, queues: TenantQueues) -> int:
        """The gap now.  Raises `BoundBroken` in `enforce` when it is beyond the bound."""
        return self.take(queues.chooser.gap(queues.clients()))

    def take(self, gap: int) -> int:
        """Take note of a gap that was found."""
        self.looks += 1
        self.gap = gap
        self.worst = max(self.worst, gap)
        if gap > self.bound:
            self.beyond += 1
            if self.mode is Mode.ENFORCE:
                apart, bound = gap / MICRO, self.bound / MICRO
                raise BoundBroken(
                    f"waiting clients are {apart:,.0f} weighted tokens apart; the bound is {bound:,.0f}"
                )
        return gap

    @property
    def ratio(self) -> float:
        """The largest gap as a share of the bound."""
        return self.worst / self.bound if self.bound else 0.0
