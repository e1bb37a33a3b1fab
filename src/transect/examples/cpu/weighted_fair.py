# SPDX-License-Identifier: Apache-2.0
"""CPU time in proportion to weight, by virtual time."""

from transect.cpu import Scheduler, Task, Timelines, preempt
from transect.lang import Array, Local, array, given, local


class WeightedFair(Scheduler):
    """The task with the smallest virtual time runs next; a sleeper is one slice behind at most, and then runs at once.

    A task is charged when it is put, begins to run, or could go on.  A task that begins, and has used nothing since it
    was put, was the first of its queue.
    """

    ready: Timelines = given()
    level: Array[int] = array(1024)  # of each CPU: the virtual time of the task there that is furthest behind
    home: Local[int] = local(-1)  # the CPU whose level the task's time goes by; -1: it is new, and level

    def _settled(self, task: Task, used: int) -> int:
        time = task.time() + used * 100 // task.weight
        lead = max(time - self.level[self.home & 1023], -20_000_000) if self.home >= 0 else 0
        self.home = task.cpu
        return self.level[task.cpu & 1023] + lead

    def _stand(self, task: Task, cpu: int, used: int) -> None:
        task.set_time(self._settled(task, used))
        low = min(task.time(), self.ready.on(cpu).first(task.time())) if used > 0 else task.time()
        self.level[cpu & 1023] = max(self.level[cpu & 1023], low)

    def enqueue(self, task: Task) -> None:
        self.ready.on(task.cpu).put(task, self._settled(task, task.used()))
        if task.time() + 20_000_000 <= self.level[task.cpu & 1023]:
            preempt(task.cpu)

    def dispatch(self, cpu: int) -> None:
        if not self.ready.on(cpu).take():
            self.ready.steal(cpu)

    def keep(self, task: Task, cpu: int) -> bool:
        self._stand(task, cpu, task.used())
        return task.time() < self.ready.on(cpu).first(task.time() + 1)

    def running(self, task: Task) -> None:
        self._stand(task, task.cpu, task.used())
