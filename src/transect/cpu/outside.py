# SPDX-License-Identifier: Apache-2.0
"""Tasks, queues and the kernel's answers while something is proved of a scheduler."""

from __future__ import annotations

from transect.analysis import fold
from transect.analysis.state import Held
from transect.analysis.terms import Sort, Term, integer
from transect.analysis.world import World
from transect.core.ir import Effect, IntrinsicDecl

CHANGING = frozenset({"take", "steal", "idle_cpu", "used"})
"""Functions that change the outside when called: a task goes to the CPU, a CPU counts as busy, used time starts again.
"""
FIXED = frozenset({"cpus", "nodes", "node_of", "here"})
"""Functions whose answer is the same throughout a call."""
LEAST = {"pid": 0, "weight": 1, "cpu": 0, "movable": 1, "process": 0}
"""Functions that answer with a number of a task."""
HEAVIEST = 10_000


class Kernel(World):
    """One call of a hook of a scheduler, or of two versions of one."""

    def first(self, path: str) -> Held:
        held = super().first(path)
        view, _, name = path.rpartition(".")
        if view and name in LEAST and isinstance(held, Term) and held.sort is Sort.INT:
            self.assume(fold.at_most(integer(LEAST[name]), held))
            if name == "weight":
                self.assume(fold.at_most(held, integer(HEAVIEST)))
        return held

    def changes(self, declared: IntrinsicDecl) -> bool:
        return declared.effect is Effect.OUTSIDE_READ and _name(declared) in CHANGING

    def fixed(self, declared: IntrinsicDecl) -> bool:
        return _name(declared) in FIXED


def _name(declared: IntrinsicDecl) -> str:
    return declared.name.rpartition(".")[2]
