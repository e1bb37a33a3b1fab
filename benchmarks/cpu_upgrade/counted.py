# SPDX-License-Identifier: Apache-2.0
"""Weighted fair sharing that counts what it sees, twice: a swap that loses a count shows."""

from transect.cpu import Task
from transect.examples.cpu.weighted_fair import WeightedFair
from transect.lang import Array, array


class Counted(WeightedFair):
    begun: int = 0
    on: Array[int] = array(8)

    def running(self, task: Task) -> None:
        super().running(task)
        self.begun += 1
        self.on[task.cpu & 7] += 1
