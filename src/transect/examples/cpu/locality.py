# SPDX-License-Identifier: Apache-2.0
"""Tasks that belong together share a CPU: applications say which, by a hint."""

from transect.cpu import Fifo, Fifos, Hint, Said, Scheduler, Task, cpus, here, wake_cpu
from transect.lang import Array, Local, array, given, local


class Group(Hint):
    """The task belongs to this group, of its application or of several."""

    number: int


class Locality(Scheduler):
    """A task with a hint runs on its group's CPU, unless strangers keep that CPU busy while another is idle, or
    another group wakes the task.

    Who wakes whom says more than a hint: partners that hints separate by mistake run as if there were no hints.
    """

    homes: Fifos = given()
    anywhere: Fifo = given()
    runs: Array[int] = array(1024)  # of each CPU: 1 + the home of the task that runs there; 0: it has none
    home: Local[int] = local(-1)

    def hint(self, task: Task, said: Said[Group]) -> None:
        self.home = said.hint.number % cpus()

    def select(self, task: Task, cpu: int) -> int:
        if here() == self.home and task.may_run(self.home):
            return self.home  # the task that wakes it there makes room for it
        near = self.home if self.runs[here() & 1023] in (0, self.home + 1) else here()
        return super().select(task, near if task.may_run(self.home) else cpu)

    def enqueue(self, task: Task) -> None:
        (self.homes.on(task.cpu) if task.cpu == self.home else self.anywhere).put(task)
        wake_cpu(task.cpu)

    def dispatch(self, cpu: int) -> None:
        if not (self.homes.on(cpu).take() or self.anywhere.take()):
            self.runs[cpu & 1023] = 0

    def running(self, task: Task) -> None:
        self.runs[task.cpu & 1023] = self.home + 1
