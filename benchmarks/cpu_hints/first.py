# SPDX-License-Identifier: Apache-2.0
"""Urgent tasks first: what the benchmark's application says of its thread."""

from transect.cpu import Fifo, Hint, Said, Scheduler, Task, start_first
from transect.lang import Local, given, local


class Urgent(Hint):
    level: int


class First(Scheduler):
    """A task of which its application says that it is urgent runs at once."""

    ready: Fifo = given()
    urgent: Local[int] = local(0)

    def hint(self, task: Task, said: Said[Urgent]) -> None:
        self.urgent = said.hint.level

    def select(self, task: Task, cpu: int) -> int:
        return cpu

    def enqueue(self, task: Task) -> None:
        if self.urgent > 0:
            start_first(task)
        else:
            self.ready.put(task)

    def dispatch(self, cpu: int) -> None:
        self.ready.take()
