# SPDX-License-Identifier: Apache-2.0
"""Cores for applications which ask for them, by priority (the core arbiter of Arachne, OSDI'18)."""

from transect.cpu import Fifos, Hint, Said, Scheduler, Task, cpus, idle_cpu, preempt, start, wake_cpu
from transect.lang import Array, Tally, array, given, tally


class Cores(Hint):
    """The application wants so many cores; it asks again as its load changes, and when it still lacks some."""

    count: int
    priority: int  # from 1; a higher one takes cores from a lower one


class Arachne(Scheduler):
    """A granted core runs its application alone; all the rest shares the other cores, of which core 0 is always one."""

    ready: Fifos = given()  # of a core: its application's and those bound to it; of core 0: all others'
    owner: Array[int] = array(64)  # of each core: a process; 0: it is shared
    rank: Array[int] = array(64)  # the priority by which it was granted
    has: Tally[int, int] = tally(1024)  # cores of a process

    def hint(self, task: Task, ask: Said[Cores]) -> None:
        self._grant(task.process, ask.hint.count, ask.hint.priority)

    def detach(self, process: int) -> None:
        self._grant(process, 0, 0)

    def _grant(self, process: int, count: int, rank: int) -> None:
        for core in range(1, min(cpus(), 64)):
            own = self.owner[core] == process
            if self.has[process] > count if own else self.has[process] < count and self.rank[core] < rank:
                self.tell(self.owner[core], "give_back", core=core)
                self.has[self.owner[core]] -= 1
                self.owner[core] = 0 if own else process
                self.rank[core] = 0 if own else rank
                self.has[self.owner[core]] += 1
                self.tell(self.owner[core], "granted", core=core)
                preempt(core)

    def _core(self, task: Task, cpu: int) -> int:
        best = 0 if task.may_run(0) else cpu
        for core in range(1, min(cpus(), 64)):
            own = self.owner[core] == task.process and task.may_run(core)
            best = core if own and (best == 0 or core == cpu) else best
        return best

    def select(self, task: Task, cpu: int) -> int:
        core = self._core(task, cpu)
        idle = idle_cpu(task, cpu if core == 0 else core)
        core = idle if idle is not None and self.owner[idle % 64] == self.owner[core % 64] else core
        if core > 0 and self.ready.on(core).length() == 0:  # it overtakes nobody
            start(task)
        return core

    def enqueue(self, task: Task) -> None:
        core = self._core(task, task.cpu)
        self.ready.on(core).put(task)
        wake_cpu(core)

    def dispatch(self, cpu: int) -> None:
        if not self.ready.on(cpu).take() and self.owner[cpu % 64] == 0 and not self.ready.on(0).take():
            self.ready.steal(cpu)
