# SPDX-License-Identifier: Apache-2.0
"""Preemption after a quantum, so that short requests do not wait for long ones (Shinjuku, NSDI'19)."""

from transect.cpu import Fifo, Scheduler, Task, preempt, set_alarm
from transect.lang import Duration, Param, given, ms, param, seconds


class Shinjuku(Scheduler):
    """Whoever has waited longest runs next, for a quantum while others wait; batch work runs when nobody does."""

    ready: Fifo = given()
    batch: Fifo = given()
    quantum: Param[Duration] = param(ms(1))

    def enqueue(self, task: Task) -> None:
        if task.weight < 100:  # nice above 0
            self.batch.put_for(task, seconds(10))
        else:
            self.ready.put_for(task, seconds(10))  # the alarm ends it, not the slice

    def dispatch(self, cpu: int) -> None:
        if not self.ready.take():
            self.batch.take()

    def running(self, task: Task) -> None:
        set_alarm(self.quantum)

    def alarm(self, cpu: int) -> None:
        if self.ready.length() > 0:
            preempt(cpu)
        else:
            set_alarm(self.quantum)
