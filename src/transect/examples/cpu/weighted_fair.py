# SPDX-License-Identifier: Apache-2.0
"""CPU time in proportion to weight, by virtual time."""

from transect.cpu import Scheduler, Task, Timelines
from transect.lang import Array, Local, array, given, local


class WeightedFair(Scheduler):
    """Whoever has the smallest virtual time runs next; a sleeper comes back one slice behind at most."""

    ready: Timelines = given()
    level: Array[int] = array(1024)  # of each CPU: how far who is furthest behind there has come
    home: Local[int] = local(-1)  # the CPU whose level the task's time goes by; -1: it is new, and level

    def _reach(self, cpu: int, time: int) -> None:
        self.level[cpu & 1023] = max(self.level[cpu & 1023], min(time, self.ready.on(cpu).first(time)))

    def _settled(self, task: Task) -> int:
        lead = max(task.time() - self.level[self.home & 1023], -20_000_000) if self.home >= 0 else 0
        self.home = task.cpu
        return self.level[task.cpu & 1023] + lead

    def enqueue(self, task: Task) -> None:
        self.ready.on(task.cpu).put(task, self._settled(task))

    def dispatch(self, cpu: int) -> None:
        if not self.ready.on(cpu).take():
            self.ready.steal(cpu)

    def keep(self, task: Task, cpu: int) -> bool:
        task.set_time(task.time() + task.used() * 100 // task.weight)
        self._reach(cpu, task.time())
        return task.time() < self.ready.on(cpu).first(task.time() + 1)

    def running(self, task: Task) -> None:
        task.set_time(self._settled(task))
        self._reach(task.cpu, task.time())

    def stopping(self, task: Task, runnable: bool) -> None:
        task.set_time(task.time() + task.used() * 100 // task.weight)
