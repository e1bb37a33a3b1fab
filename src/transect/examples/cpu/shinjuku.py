# SPDX-License-Identifier: Apache-2.0
"""Preemption after a quantum, so that short requests do not wait for long ones (Shinjuku, NSDI'19)."""

from transect.cpu import Fifo, Scheduler, Task, cpus, preempt, set_alarm
from transect.lang import Array, Duration, Param, array, given, ms, param


class Shinjuku(Scheduler):
    """Whoever has waited longest runs next, for a quantum while others wait; batch work gives way at once."""

    ready: Fifo = given()
    batch: Fifo = given()
    quantum: Param[Duration] = param(ms(1))
    due: Array[int] = array(1024)  # of each CPU: 1 when its task gives way to the next that comes

    def enqueue(self, task: Task) -> None:
        if task.weight < 100:  # nice above 0
            self.batch.put(task)
        else:
            self.ready.put_for(task, 4 * self.quantum)  # the alarm ends it, not the slice
            at = min((n for n in range(min(cpus(), 999)) if self.due[n] == 1 and task.may_run(n)), default=-1)
            self.due[at & 1023] = min(self.due[at & 1023], 0)
            preempt(at)

    def dispatch(self, cpu: int) -> None:
        if not self.ready.take():
            self.batch.take()

    def running(self, task: Task) -> None:
        self.due[task.cpu & 1023] = 1 if task.weight < 100 else 0
        set_alarm(self.quantum)

    def alarm(self, cpu: int) -> None:
        self.due[cpu & 1023] = 1
        if self.ready.length() > 0:
            self.due[cpu & 1023] = 0
            preempt(cpu)
