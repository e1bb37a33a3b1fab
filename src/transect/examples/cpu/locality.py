# SPDX-License-Identifier: Apache-2.0
"""Tasks that belong together share a CPU: applications say which, by a hint."""

from transect.cpu import Fifo, Fifos, Hint, Said, Scheduler, Task, cpus, here, wake_cpu
from transect.lang import Local, given, local


class Group(Hint):
    """The task belongs to this group of its application's, or of several."""

    number: int


class Locality(Scheduler):
    """A task with a hint runs on the CPU of its group, unless strangers keep that busy and another CPU is idle."""

    homes: Fifos = given()
    anywhere: Fifo = given()
    home: Local[int] = local(-1)

    def hint(self, task: Task, said: Said[Group]) -> None:
        self.home = said.hint.number % cpus()

    def select(self, task: Task, cpu: int) -> int:
        if here() == self.home and task.may_run(self.home):
            return self.home  # who wakes it there makes room for it
        return super().select(task, self.home if task.may_run(self.home) else cpu)

    def enqueue(self, task: Task) -> None:
        if task.may_run(self.home):
            self.homes.on(task.cpu).put(task)
            wake_cpu(task.cpu)
        else:
            self.anywhere.put(task)

    def dispatch(self, cpu: int) -> None:
        if not self.homes.on(cpu).take():
            self.anywhere.take()
