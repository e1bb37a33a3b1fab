# SPDX-License-Identifier: Apache-2.0
"""Cores for applications which ask for them, by priority (the core arbiter of Arachne, OSDI'18)."""

from transect.cpu import Fifos, Hint, Said, Scheduler, Task, cpus, idle_cpu, preempt, wake_cpu
from transect.lang import Array, Tally, array, given, tally


class Cores(Hint):
    """The application wants so many cores; it asks again as its load changes, and when it still lacks some."""

    count: int
    priority: int  # from 1; a higher one takes cores from a lower one


class Arachne(Scheduler):
    """A granted core runs its application alone; all the rest shares the other cores, of which core 0 is always one."""

    ready: Fifos = given()
    owner: Array[int] = array(64)  # of each core: a process; 0: it is shared
    rank: Array[int] = array(64)  # the priority by which it was granted
    has: Tally[int, int] = tally(1024)  # cores of a process

    def hint(self, task: Task, ask: Said[Cores]) -> None:
        for core in range(1, min(cpus(), 64)):
            own = self.owner[core] == task.process
            if own and self.has[task.process] > ask.hint.count:
                self._pass(core, 0, 0)
            elif not own and self.has[task.process] < ask.hint.count and self.rank[core] < ask.hint.priority:
                self._pass(core, task.process, ask.hint.priority)

    def detach(self, process: int) -> None:
        for core in range(1, min(cpus(), 64)):
            if self.owner[core] == process:
                self._pass(core, 0, 0)

    def _pass(self, core: int, process: int, rank: int) -> None:
        self.tell(self.owner[core % 64], "give_back", core=core)
        self.has[self.owner[core % 64]] -= 1
        self.has[process] += 1
        self.owner[core % 64] = process
        self.rank[core % 64] = rank
        self.tell(process, "granted", core=core)
        preempt(core)

    def _core(self, task: Task, cpu: int) -> int:
        best = 0
        for core in range(1, min(cpus(), 64)):
            if self.owner[core] == task.process and best != cpu:
                best = core
        return cpu if task.movable == 1 or (best == 0 and self.owner[cpu % 64] == 0) else best

    def select(self, task: Task, cpu: int) -> int:
        idle = idle_cpu(task, cpu)
        return self._core(task, cpu if idle is None else idle)

    def enqueue(self, task: Task) -> None:
        core = self._core(task, task.cpu)
        self.ready.on(core).put(task)
        wake_cpu(core)

    def dispatch(self, cpu: int) -> None:
        if not self.ready.on(cpu).take() and self.owner[cpu % 64] == 0:
            self.ready.steal(cpu)
