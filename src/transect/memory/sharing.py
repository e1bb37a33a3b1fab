# SPDX-License-Identifier: Apache-2.0
"""Several targets watched in turns: an `Arbiter` policy decides whose probe runs next.

A target waits while a round of one of its probes is due.  It is charged the bytes that the round read, so under
`fair_share` targets get equal shares of what is read, however many probes each has; `budget` limits the sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transect.control.stopping import Stop
from transect.memory.watch import Watch


class Shared:
    """Watches by the name of their targets, and the policy that chooses among them."""

    def __init__(self, watches: Mapping[str, Watch], policy: Any, budget: float | None = None) -> None:
        """`budget`: bytes a second, for all targets together."""
        self.watches, self.policy, self.budget = watches, policy, budget

    def run(self, stop: Stop, rounds: int | None = None) -> None:
        """Run until `stop` is set, or until each probe of each target has had that many rounds."""
        goals = {name: watch.goal(rounds) for name, watch in self.watches.items()}
        while not stop.is_set():
            left = {name: names for name, w in self.watches.items() if (names := w.left(goals[name]))}
            if not left:
                return
            due = {name: self.watches[name].next_of(names) for name, names in left.items()}
            for name, (_, wait) in due.items():
                self._waits(name, wait <= 0)
            for name in [n for n in self.policy.waiting if n not in due]:
                self._waits(name, False)
            if len(self.policy.waiting):
                stop.wait(self._turn(due))
            else:
                stop.wait(min(wait for _, wait in due.values()))

    def _waits(self, name: str, due: bool) -> None:
        waiting = name in self.policy.waiting
        if due and not waiting:
            self.policy.arrive(name)
            self.policy.waiting.append(name)
        elif waiting and not due:
            self.policy.waiting.remove(name)
            self.policy.leave(name)

    def _turn(self, due: Mapping[str, tuple[str, float]]) -> float:
        """Run one round of the target whose turn it is; return the seconds that the budget makes it wait."""
        name = self.policy.pick()
        watch = self.watches[name]
        before = watch.machine.counts.bytes
        watch.round(due[name][0])
        cost = watch.machine.counts.bytes - before
        self.policy.charge(name, cost)
        return cost / self.budget if self.budget else 0.0
