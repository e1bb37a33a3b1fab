# SPDX-License-Identifier: Apache-2.0
"""CPU time in proportion to weight, by virtual time."""

from transect.cpu import Scheduler, Task, Timelines
from transect.lang import given


class WeightedFair(Scheduler):
    """Whoever has the smallest virtual time runs next; a sleeper comes back one slice behind at most."""

    ready: Timelines = given()
    level: int = 0  # where the furthest of those that began to run stands

    def _charge(self, task: Task) -> None:
        task.set_time(task.time() + task.used() * 100 // task.weight)

    def enter(self, task: Task) -> None:
        task.set_time(self.level)

    def enqueue(self, task: Task) -> None:
        self.ready.on(task.cpu).put(task, max(task.time(), self.level - 20_000_000))

    def dispatch(self, cpu: int) -> None:
        if not self.ready.on(cpu).take():
            self.ready.steal(cpu)

    def keep(self, task: Task, cpu: int) -> bool:
        self._charge(task)
        return task.time() < self.ready.on(cpu).first(task.time() + 1)

    def running(self, task: Task) -> None:
        self.level = max(self.level, task.time())

    def stopping(self, task: Task, runnable: bool) -> None:
        self._charge(task)
