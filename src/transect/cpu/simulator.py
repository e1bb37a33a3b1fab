# SPDX-License-Identifier: Apache-2.0
"""A simulated machine of any number of CPUs, on which a scheduler runs by the interpreter: what its tests use.

It keeps the kernel's order of calls (a CPU looks at its own queue, asks `keep`, then `dispatch`; who is put back is
enqueued after the next one has been taken) and times in whole nanoseconds.  Switching costs nothing and there are no
caches.  That every task is in one place is asserted at each step.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any

from transect.core.interp import Instance
from transect.core.ir import FieldKind, Program
from transect.core.types import ViewType
from transect.cpu.hints.schema import heard
from transect.cpu.platform import SCOPES
from transect.lang.tape import GivenTape

SLICE = 20_000_000  # ns
TICK = 4_000_000


class CustodyError(AssertionError):
    """A task was lost, or put twice."""


@dataclass(frozen=True, slots=True)
class Work:
    """What one task does: runs, sleeps, and again."""

    name: str
    run_ns: int = 0  # 0: for ever
    sleep_ns: int = 0
    weight: int = 100
    cpus: frozenset[int] | None = None  # where it may run; None: anywhere
    hint: tuple[int, ...] = ()  # what it says when it enters; (): nothing
    start_ns: int = 0
    bursts: tuple[
        tuple[int, int], ...
    ] = ()  # instead of run and sleep: when it can run, and for how long (ns)


@dataclass(eq=False)
class SimTask:
    """A task as the policy sees it, and what we know of it besides."""

    machine: Machine
    work: Work
    pid: int
    cpu: int = 0
    held: str = "kernel"  # kernel, running, or the name of a queue
    virtual: int = 0
    slice_ns: int = SLICE
    ran_ns: int = 0
    mark_ns: int = 0
    left_ns: int = 0  # of this run
    done: int = 0  # bursts
    ready_ns: int = 0  # since when it waits
    alone: bool = False  # it was put back, and nobody else was there: that it goes on is no wait
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
    def light_ns(self) -> int:
        """A slice where virtual time counts: 20 ms, or less by as much as the weight is below 100."""
        return SLICE * min(self.weight, 100) // 100

    def next_run(self) -> int:
        """For how long it runs, now that it wakes up."""
        if not self.work.bursts:
            return self.work.run_ns or 1 << 62
        self.done += 1
        return max(1, self.work.bursts[self.done - 1][1])

    def next_sleep(self) -> int | None:
        """For how long it sleeps now; None: for ever."""
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

    def __init__(self, machine: Machine, name: str, timed: bool) -> None:
        self.machine = machine
        self.name = name
        self.timed = timed
        self.tasks: list[tuple[int, int, SimTask]] = []

    def put(self, task: SimTask, time: int = 0) -> None:
        self._put(task, time, task.light_ns if self.timed else SLICE)

    def put_for(self, task: SimTask, *time_and_slice: int) -> None:
        self._put(task, time_and_slice[0] if self.timed else 0, time_and_slice[-1])

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

    def __init__(self, machine: Machine, name: str, timed: bool, count: int) -> None:
        self.each = [SimQueue(machine, f"{name}.on({n})", timed) for n in range(count)]

    def on(self, number: int) -> SimQueue:
        return self.each[number if 0 <= number < len(self.each) else 0]

    def steal(self, number: int) -> bool:
        count = len(self.each)
        return any(self.each[(number + n) % count].take() for n in range(1, count))


@dataclass(eq=False)
class Cpu:
    number: int
    current: SimTask | None = None
    since_ns: int = 0
    end_ns: int = 0  # of the slice
    local: deque[SimTask] = field(default_factory=deque)
    claimed: bool = False  # by `idle_cpu`
    event: int = 0  # the number of its next event; older ones are void
    alarm: int = 0


class Machine:
    """CPUs, tasks, and a policy that says who runs."""

    def __init__(
        self,
        program: Program,
        cpus: int,
        work: Iterable[Work],
        params: Mapping[str, object] | None = None,
        *,
        nodes: int = 1,
    ):
        self.now = 0
        self.cpus = [Cpu(number) for number in range(cpus)]
        self.order = itertools.count()
        self.asking = 0
        self.events: list[tuple[int, int, Callable[[], None]]] = []
        self.instance = Instance(program, params)
        self.program = program
        self.started: SimTask | None = None
        for f in program.state:
            if f.kind is FieldKind.GIVEN and isinstance(f.type, ViewType):
                timed, many = "Timeline" in f.type.name, (0, cpus, nodes)[SCOPES[f.type.name]]
                self.instance.state[f.name] = (
                    SimQueues(self, f.name, timed, many) if many else SimQueue(self, f.name, timed)
                )
        self.functions: dict[str, Callable[..., object]] = {
            "cpu.cpus": lambda: cpus,
            "cpu.here": lambda: self.asking,
            "cpu.nodes": lambda: nodes,
            "cpu.node_of": lambda cpu: cpu * nodes // cpus if 0 <= cpu < cpus else 0,
            "cpu.idle_cpu": self.idle_cpu,
            "cpu.start": self.start,
            "cpu.start_first": self.start,
            "cpu.preempt": self.preempt,
            "cpu.wake_cpu": self.wake_cpu,
            "cpu.set_alarm": self.set_alarm,
            "cpu.Scheduler.tell": self.tell,
        }
        self.heard = heard(program)
        self.told: list[tuple[int, str, dict[str, int]]] = []  # to which process, what, its numbers
        self.tasks = [SimTask(self, w, pid, cpu=self._first_cpu(w)) for pid, w in enumerate(work, 1)]
        for task in self.tasks:
            self.at(task.work.start_ns, partial(self.enter, task))

    def _first_cpu(self, work: Work) -> int:
        return min(work.cpus) if work.cpus else 0

    # --- time ----------------------------------------------------------------------------------------------------

    def run(self, until_ns: int) -> None:
        """Go on until that time."""
        while self.events and self.events[0][0] <= until_ns:
            self.now, _, act = heapq.heappop(self.events)
            act()
        self.now = until_ns
        for cpu in self.cpus:
            if cpu.current:
                self.account(cpu.current)

    def at(self, delay_ns: int, act: Callable[[], None]) -> int:
        number = next(self.order)
        heapq.heappush(self.events, (self.now + delay_ns, number, act))
        return number

    def account(self, task: SimTask) -> None:
        cpu = self.cpus[task.cpu]
        if cpu.current is task:
            ran = self.now - cpu.since_ns
            task.ran_ns += ran
            task.left_ns -= ran
            cpu.since_ns = self.now

    # --- hooks ---------------------------------------------------------------------------------------------------

    def call(self, hook: str, *args: Any) -> Any:
        if hook not in self.instance.handlers:
            return None
        locals = args[0].locals if args and isinstance(args[0], SimTask) else None
        tape = GivenTape(now=self.now)
        return self.instance.call(hook, args, tape=tape, locals=locals, functions=self.functions)

    def hand(self, task: SimTask, to: str) -> None:
        """The kernel gives a task to a queue."""
        if task.held != "kernel":
            raise CustodyError(f"{task.work.name} is put into `{to}`, and is in `{task.held}`")
        task.held = to

    def start(self, task: SimTask) -> None:
        self.hand(task, "start")
        task.slice_ns = SLICE
        self.started = task

    def local(self, task: SimTask, cpu: int) -> None:
        task.held = f"cpu {cpu}"
        self.cpus[cpu].local.append(task)

    def idle_cpu(self, task: SimTask, near: int) -> int | None:
        number: int
        for number in (near, *range(len(self.cpus))):
            cpu = self.cpus[number]
            if cpu.current is None and not cpu.claimed and not cpu.local and task.may_run(number):
                cpu.claimed = True
                return number
        return None

    def preempt(self, number: int) -> None:
        for cpu in self.cpus:
            if cpu.number == number:  # else there is no such CPU: nothing happens
                cpu.end_ns = self.now
        self.wake_cpu(number)

    def wake_cpu(self, number: int) -> None:
        for cpu in self.cpus:
            if cpu.number == number:
                self.at(0, partial(self.look, cpu))

    def set_alarm(self, delay_ns: int) -> None:
        cpu = self.cpus[self.asking]

        def ring() -> None:
            if cpu.alarm == number:
                self.asking = cpu.number
                self.call("alarm", cpu.number)

        number = cpu.alarm = self.at(max(delay_ns, 1), ring)

    def tell(self, process: int, what: str, *named: Any) -> None:
        if process:  # 0 is nobody's
            self.told.append((process, what, dict(zip(named[::2], named[1::2], strict=True))))

    def hint(self, task: SimTask, *numbers: int) -> None:
        """The task's application says something of it; numbers that are left out are 0."""
        if self.heard is not None:
            filled = (*numbers, *[0] * len(self.heard.numbers))
            said = SimpleNamespace(**dict(zip(self.heard.numbers, filled, strict=False)))
            self.call("hint", task, SimpleNamespace(hint=said))

    # --- a task's life -------------------------------------------------------------------------------------------

    def enter(self, task: SimTask) -> None:
        self.call("enter", task)
        if task.work.hint:
            self.hint(task, *task.work.hint)
        self.wake(task)

    def wake(self, task: SimTask) -> None:
        task.left_ns = task.next_run()
        self.call("wake", task)
        self.asking = task.cpu
        chosen = self.call("select", task, task.cpu)
        if task.may_run(chosen):
            task.cpu = chosen
        self.queue(task)

    def queue(self, task: SimTask) -> None:
        """To the policy, unless `select` has started it."""
        task.ready_ns = self.now
        if self.started is not task:
            self.asking = task.cpu
            self.call("enqueue", task)
        if self.started is task:
            self.started = None
            self.local(task, task.cpu)
        if task.held == "kernel":
            raise CustodyError(f"{task.work.name} was put into no queue")
        cpu = self.cpus[task.cpu]
        cpu.claimed = False
        for idle in [cpu] if cpu.current is None else [c for c in self.cpus if c.current is None]:
            self.at(0, partial(self.look, idle))

    def look(self, cpu: Cpu) -> None:
        """The CPU looks for what to run, if it has nothing, or a slice that has ended."""
        running = cpu.current
        if running is not None:
            self.account(running)
            if running.left_ns > 0 and self.now < cpu.end_ns:
                return
        self.asking = cpu.number
        blocked = running is not None and running.left_ns <= 0
        if running is not None and blocked:
            self.block(cpu, running)
            running = None
        if not cpu.local:
            if running is not None and self.call("keep", running, cpu.number):
                self.go_on(cpu, running)
                return
            self.call("dispatch", cpu.number)
        following = cpu.local.popleft() if cpu.local else None
        if running is not None:
            self.call("stopping", running, True)
            cpu.current, running.held, running.alone = None, "kernel", following is None
        if following is not None:
            self.begin(cpu, following)
        if running is not None:
            self.queue(running)  # also when nobody else is there: the CPU looks again

    def go_on(self, cpu: Cpu, task: SimTask) -> None:
        cpu.end_ns = self.now + task.light_ns
        self._plan(cpu, task)

    def begin(self, cpu: Cpu, task: SimTask) -> None:
        if not task.alone:
            task.waits_ns.append(self.now - task.ready_ns)
        task.alone = False
        task.migrations += task.cpu != cpu.number
        task.cpu, task.held = cpu.number, "running"
        cpu.current, cpu.since_ns, cpu.end_ns, cpu.claimed = task, self.now, self.now + task.slice_ns, False
        self.asking = cpu.number
        self.call("running", task)
        self._plan(cpu, task)

    def _plan(self, cpu: Cpu, task: SimTask) -> None:
        def act() -> None:
            if cpu.event == number:
                self.look(cpu)

        number = cpu.event = self.at(min(cpu.end_ns - self.now, task.left_ns), act)

    def block(self, cpu: Cpu, task: SimTask) -> None:
        self.call("stopping", task, False)
        self.call("sleep", task)
        cpu.current, task.held = None, "kernel"
        if (sleep_ns := task.next_sleep()) is not None:
            self.at(sleep_ns, lambda: self.wake(task))


def simulate(
    program: Program,
    work: Iterable[Work],
    *,
    cpus: int = 2,
    seconds: float = 1,
    params: Mapping[str, object] | None = None,
) -> Machine:
    """Run a policy for that simulated time.  Raises `CustodyError` when a task is lost or put twice."""
    machine = Machine(program, cpus, work, params)
    machine.run(round(seconds * 1e9))
    return machine
