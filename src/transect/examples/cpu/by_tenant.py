# SPDX-License-Identifier: Apache-2.0
"""Weighted fair among tenants, by deadline within a tenant: applications say by a hint whom a thread works for."""

from transect.cpu import Hint, Lanes, Said, Scheduler, Task, preempt
from transect.lang import Array, Local, array, as_int, given, local, now, rand_below, us


class Serving(Hint):
    """The thread works for this tenant from now on."""

    tenant: int  # the number of its name, see `transect.base.tenant`; 0: nobody
    until: int  # when that has to be done, by the monotonic clock (ns); 0: no deadline
    since: int  # when this was said, by the same clock


class ByTenant(Scheduler):
    """The tenant with the smallest virtual time is next, and of its threads the one with the nearest deadline.

    A deadline that has passed does not count, and nobody waits longer than a second for deadlines alone.  A hint comes
    late: what its thread has run since it was given is charged to the new tenant.  Threads without a hint, or of a
    tenant without a lane, are in lane 0.  The more threads wait in a lane, the shorter its slices: none waits for ever.
    """

    ready: Lanes = given()  # of each tenant
    tenants: Array[int] = array(64)  # of each lane: its tenant's number; `--tenants` fills this and
    weights: Array[int] = array(64)  # of each lane, in percent; 0: it has no tenant
    time: Array[int] = array(64)  # of each lane: its virtual time
    level: int = 0  # the virtual time of the lane whose turn it was last
    lane: Local[int] = local(0)
    until: Local[int] = local(0)
    unpaid: Local[int] = local(0)  # what the thread has run and no lane has paid for
    stopped: Local[int] = local(0)  # when the thread last stopped running

    def hint(self, task: Task, said: Said[Serving]) -> None:
        ran_until = self.stopped if self.stopped > said.hint.since else as_int(now())
        self._pay(task, ran_until - said.hint.since)
        self.lane = min((n for n in range(64) if self.tenants[n] == said.hint.tenant), default=0)
        self.until = said.hint.until

    def _pay(self, task: Task, keep: int) -> None:
        ran = self.unpaid + task.used()
        self.unpaid = min(ran, max(keep, 0))
        self.time[self.lane & 63] += (ran - self.unpaid) * 100 // max(self.weights[self.lane & 63], 1)

    def _due(self) -> int:
        later = as_int(now()) + 1_000_000_000
        return self.until if as_int(now()) < self.until < later else later

    def _next(self, first: int) -> int:
        best = first
        for n in range(64):
            behind = self.weights[n] > 0 and (best < 0 or self.time[n] < self.time[best & 63])
            if behind and self.ready.on(n).length() > 0:
                best = n
        self.level = max(self.level, self.time[best & 63])
        return best

    def enqueue(self, task: Task) -> None:
        self.time[self.lane & 63] = max(self.time[self.lane & 63], self.level - 20_000_000)
        others = self.ready.on(self.lane).length()
        self.ready.on(self.lane).put_for(task, self._due(), us(20_000 // (1 + others // 8)))
        if self.time[self.lane & 63] < self.level:
            preempt(task.cpu)

    def keep(self, task: Task, cpu: int) -> bool:
        self._pay(task, 0)
        due = self._due()
        return self._next(self.lane) == self.lane and self.ready.on(self.lane).first(due) >= due

    def dispatch(self, cpu: int) -> None:
        if not self.ready.on(self._next(-1)).take():
            self.ready.steal(rand_below(64))

    def running(self, task: Task) -> None:
        self._pay(task, 0)

    def stopping(self, task: Task, runnable: bool) -> None:
        self.stopped = as_int(now())
