# SPDX-License-Identifier: Apache-2.0
"""First come, first served."""

from transect.cpu import Fifo, Scheduler, Task
from transect.lang import given


class FirstCome(Scheduler):
    """Whoever has waited longest runs next, on any CPU."""

    ready: Fifo = given()

    def enqueue(self, task: Task) -> None:
        self.ready.put(task)

    def dispatch(self, cpu: int) -> None:
        self.ready.take()
