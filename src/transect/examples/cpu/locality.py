# SPDX-License-Identifier: Apache-2.0
"""Tasks that belong together share a CPU: applications say which, by a hint."""

from transect.cpu import Fifo, Fifos, Scheduler, Task, cpus, wake_cpu
from transect.lang import given


class Locality(Scheduler):
    """A task with a hint runs on the CPU of its group; the others wherever there is room."""

    homes: Fifos = given()
    anywhere: Fifo = given()

    def _home(self, task: Task) -> int:
        home = task.hinted % cpus()
        return home if task.hinted > 0 and task.may_run(home) else -1

    def select(self, task: Task, cpu: int) -> int:
        home = self._home(task)
        return home if home >= 0 else super().select(task, cpu)

    def enqueue(self, task: Task) -> None:
        home = self._home(task)
        if home >= 0:
            self.homes.on(home).put(task)
            wake_cpu(home)
        else:
            self.anywhere.put(task)

    def dispatch(self, cpu: int) -> None:
        if not self.homes.on(cpu).take():
            self.anywhere.take()
