# SPDX-License-Identifier: Apache-2.0
"""Tasks that belong together share a CPU: applications say which, by a hint."""

from transect.cpu import Fifo, Fifos, Scheduler, Task, cpus, idle_cpu, start, wake_cpu
from transect.lang import given


class Locality(Scheduler):
    """A task with a hint runs on the CPU of its group; the others wherever there is room."""

    homes: Fifos = given()
    anywhere: Fifo = given()

    def _home(self, task: Task) -> int | None:
        home = task.hinted % cpus()
        return home if task.hinted > 0 and task.may_run(home) else None

    def select(self, task: Task, cpu: int) -> int:
        home = self._home(task)
        if home is not None:
            return home
        idle = idle_cpu(task, cpu)
        if idle is None:
            return cpu
        start(task)
        return idle

    def enqueue(self, task: Task) -> None:
        home = self._home(task)
        if home is None:
            self.anywhere.put(task)
        else:
            self.homes.on(home).put(task)
            wake_cpu(home)

    def dispatch(self, cpu: int) -> None:
        if not self.homes.on(cpu).take():
            self.anywhere.take()
