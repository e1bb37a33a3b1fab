# SPDX-License-Identifier: Apache-2.0
"""CPU time in proportion to weight, by virtual time."""

from transect.cpu import Scheduler, Task, Timelines
from transect.lang import Array, Local, array, given, local


class WeightedFair(Scheduler):
    """Whoever has the smallest virtual time runs next; a sleeper comes back one slice behind at most."""

    ready: Timelines = given()
    level: Array[int] = array(1024)  # of each CPU: where the furthest of those that had their turn stood
    home: Local[int] = local(-1)  # the CPU whose level the task's time goes by; -1: it is new, and level

    def _charge(self, task: Task) -> None:
        task.set_time(task.time() + task.used() * 100 // task.weight)

    def _settle(self, task: Task) -> None:
        lead = max(task.time() - self.level[self.home & 1023], -20_000_000) if self.home >= 0 else 0
        task.set_time(self.level[task.cpu & 1023] + lead)
        self.home = task.cpu

    def enqueue(self, task: Task) -> None:
        self._settle(task)
        self.ready.on(task.cpu).put(task, task.time())

    def dispatch(self, cpu: int) -> None:
        if not self.ready.on(cpu).take():
            self.ready.steal(cpu)

    def keep(self, task: Task, cpu: int) -> bool:
        self.level[cpu & 1023] = max(self.level[cpu & 1023], task.time())
        self._charge(task)
        return task.time() < self.ready.on(cpu).first(task.time() + 1)

    def running(self, task: Task) -> None:
        self._settle(task)
        self.level[task.cpu & 1023] = max(self.level[task.cpu & 1023], task.time())

    def stopping(self, task: Task, runnable: bool) -> None:
        self._charge(task)
