# SPDX-License-Identifier: Apache-2.0
"""Tasks that belong together share a CPU: applications say which, by a hint."""

from transect.cpu import Fifo, Fifos, Hint, Said, Scheduler, Task, cpus, here, idle_cpu, wake_cpu
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
        if not task.may_run(self.home):
            return super().select(task, cpu)
        idle = (
            None if here() == self.home else idle_cpu(task, self.home)
        )  # who wakes it there soon makes room
        return self.home if idle is None else idle

    def enqueue(self, task: Task) -> None:
        if task.may_run(self.home):
            self.homes.on(task.cpu).put(task)
            wake_cpu(task.cpu)
        else:
            self.anywhere.put(task)

    def dispatch(self, cpu: int) -> None:
        if not self.homes.on(cpu).take():
            self.anywhere.take()
