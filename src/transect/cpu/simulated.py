# SPDX-License-Identifier: Apache-2.0
"""The parts of a simulated machine: tasks, queues and CPUs, as the policy sees them, and what the simulator knows
besides.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from transect.core.interp import Instance
from transect.core.ir import Program
from transect.cpu.pace import Pace

SLICE = 20_000_000  # ns
TICK = 4_000_000  # ns, between ticks of a CPU's clock


class CustodyError(AssertionError):
    """A task was lost, or queued twice."""


class SimMachine(Protocol):
    """What tasks, queues and an arbiter need of their machine."""

    now: int  # ns
    asking: int  # the CPU whose hook runs
    program: Program
    instance: Instance
    cpus: list[Cpu]
    pace: Pace
    beyond: Counter[str]  # by queues: how often one was asked for that does not exist

    @property
    def order(self) -> Iterator[int]:
        """Numbers in the order of events."""
        ...

    def account(self, task: SimTask) -> None: ...

    def hand(self, task: SimTask, to: str) -> None: ...

    def local(self, task: SimTask, cpu: int) -> None: ...

    def idle_cpu(self, task: SimTask, near: int) -> int | None: ...

    def hook(self, hook: str, *args: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class Work:
    """What one task does: it runs, sleeps, and so on."""

    name: str
    run_ns: int = 0  # 0: for ever
    sleep_ns: int = 0
    weight: int = 100
    cpus: frozenset[int] | None = None  # where it may run; None: anywhere
    hint: tuple[int, ...] = ()  # the hint that it gives when it enters; (): none
    start_ns: int = 0
    # Instead of run and sleep: the times at which it can run, and for how long (ns)
    bursts: tuple[tuple[int, int], ...] = ()


@dataclass(eq=False)
class SimTask:
    """A task as the policy sees it, and what the simulator knows of it besides."""

    machine: SimMachine
    work: Work
    pid: int
    cpu: int = 0
    held: str = "kernel"  # kernel, running, or the name of a queue
    virtual: int = 0
    slice_ns: int = SLICE
    ran_ns: int = 0
    mark_ns: int = 0
    left_ns: int = 0  # of this burst
    done: int = 0  # bursts
    ready_ns: int = 0  # since when it waits
    alone: bool = False  # it was put back while no other task was there: then going on is not a wait
    waits_ns: list[int] = field(default_factory=list)
    migrations: int = 0
    locals: dict[str, Any] = field(default_factory=dict)

    @property
    def weight(self) -> int:
        return self.work.weight

    @property
    def process(self) -> int:
        return self.pid  # each task is an application of its own

    @property
    def movable(self) -> int:
        return len(self.machine.cpus) if self.work.cpus is None else len(self.work.cpus)

    @property
    def waits(self) -> bool:
        """Whether it can run and does not."""
        return self.held not in ("kernel", "running")

    @property
    def light_ns(self) -> int:
        """The slice in a queue by virtual time: 20 ms, or less in proportion to a weight below 100."""
        return SLICE * min(self.weight, 100) // 100

    def next_run(self) -> int:
        """How long it will run, now that it wakes up."""
        if not self.work.bursts:
            return self.work.run_ns or 1 << 62
        self.done += 1
        return max(1, self.work.bursts[self.done - 1][1])

    def next_sleep(self) -> int | None:
        """How long it will sleep now; None: for ever."""
        if not self.work.bursts:
            return self.work.sleep_ns
        if self.done == len(self.work.bursts):
            return None
        return max(0, self.work.bursts[self.done][0] - self.machine.now)

    def time(self) -> int:
        return self.virtual

    def set_time(self, time: int) -> None:
        self.virtual = time

    def used(self) -> int:
        self.machine.account(self)
        used, self.mark_ns = self.ran_ns - self.mark_ns, self.ran_ns
        return used

    def may_run(self, cpu: int) -> bool:
        return 0 <= cpu < len(self.machine.cpus) and (self.work.cpus is None or cpu in self.work.cpus)


class SimQueue:
    """A `Fifo` or a `Timeline`."""

    def __init__(self, machine: SimMachine, name: str, timed: bool) -> None:
        self.machine = machine
        self.name = name
        self.timed = timed
        self.tasks: list[tuple[int, int, SimTask]] = []

    def put(self, task: SimTask, time: int = 0) -> None:
        self._put(task, time, task.light_ns if self.timed else SLICE)

    def put_for(self, task: SimTask, *time_and_slice: int) -> None:
        slice_ns = max(time_and_slice[-1], 0) | 1  # as `ts_slice` of `runtime/scx.h`: at least 1 ns
        self.machine.pace.ask("cpu.Timeline.put_for" if self.timed else "cpu.Fifo.put_for", slice_ns)
        self._put(task, time_and_slice[0] if self.timed else 0, slice_ns)

    def _put(self, task: SimTask, time: int, slice_ns: int) -> None:
        self.machine.hand(task, self.name)
        if self.timed:
            task.virtual = time
        task.slice_ns = slice_ns
        heapq.heappush(self.tasks, (time if self.timed else 0, next(self.machine.order), task))

    def take(self) -> bool:
        for entry in sorted(self.tasks, key=lambda e: e[:2]):
            if entry[2].may_run(self.machine.asking):
                self.tasks.remove(entry)
                heapq.heapify(self.tasks)
                self.machine.local(entry[2], self.machine.asking)
                return True
        return False

    def first(self, default: int) -> int:
        return self.tasks[0][0] if self.tasks else default

    def length(self) -> int:
        return len(self.tasks)


class SimQueues:
    """A queue for each CPU, or node."""

    def __init__(self, machine: SimMachine, name: str, timed: bool, count: int) -> None:
        self.machine = machine
        self.name = name
        self.each = [SimQueue(machine, f"{name}.on({n})", timed) for n in range(count)]

    def on(self, number: int) -> SimQueue:
        if 0 <= number < len(self.each):
            return self.each[number]
        self.machine.beyond[self.name] += 1
        return self.each[0]

    def steal(self, number: int) -> bool:
        count = len(self.each)
        after = (
            (number + n) % 2**32 for n in range(1, count)
        )  # of 32 bits: as `ts_steal_of` of `runtime/scx.h`
        return any(self.each[other % count].take() for other in after)


class SimLanes(SimQueues):
    """Queues by numbers that the policy chooses; all of them exist."""

    def on(self, number: int) -> SimQueue:
        return self.each[number % len(self.each)]

    def steal(self, number: int) -> bool:
        return super().steal(number) or self.on(number).take()


@dataclass(eq=False)
class Cpu:
    number: int
    current: SimTask | None = None
    since_ns: int = 0
    end_ns: int = 0  # of the slice
    local: deque[SimTask] = field(default_factory=deque)
    claimed: bool = False  # by `idle_cpu`
    event: int = 0  # the number of its next event; older events are void
    alarm: int = 0


# What a policy calls on a task or a queue, by its name in `hooks.py`.
METHODS: dict[str, Callable[..., Any]] = {
    "cpu.Task.time": SimTask.time,
    "cpu.Task.set_time": SimTask.set_time,
    "cpu.Task.used": SimTask.used,
    "cpu.Task.may_run": SimTask.may_run,
    **{
        f"cpu.{queue}.{function.__name__}": function
        for queue in ("Fifo", "Timeline")
        for function in (SimQueue.put, SimQueue.put_for, SimQueue.take, SimQueue.length)
    },
    "cpu.Timeline.first": SimQueue.first,
    **{
        f"cpu.{queues}.{function.__name__}": function
        for queues in ("Fifos", "Timelines", "NodeFifos", "NodeTimelines", "Lanes")
        for function in (SimQueues.on, SimQueues.steal)
    },
}
