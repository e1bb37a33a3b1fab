# SPDX-License-Identifier: Apache-2.0
"""A simulated machine of any number of CPUs, on which the interpreter runs a scheduler, for tests of schedulers.

It keeps the kernel's order of calls (a CPU looks at its own queue, asks `keep`, then `dispatch`; a task that is put
back is enqueued after the next one has been taken) and times in whole nanoseconds.  Switching costs nothing and there
are no caches.  At each step it is asserted that every task is in one place, and that time goes on.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any

from transect.core.interp import Instance
from transect.core.ir import FieldKind, Program
from transect.core.types import ViewType
from transect.cpu.arbiter import BASE
from transect.cpu.hints.schema import heard
from transect.cpu.pace import PATIENCE_NS, Pace, Starved
from transect.cpu.platform import LANES, SCOPES
from transect.cpu.simulated import (
    METHODS,
    SLICE,
    TICK,
    Cpu,
    CustodyError,
    SimLanes,
    SimQueue,
    SimQueues,
    SimTask,
    Work,
)
from transect.cpu.simulated_arbiter import adapted
from transect.lang.tape import GivenTape

__all__ = ["CustodyError", "Machine", "Work", "simulate"]

SEED = 1  # of the numbers that `rand_below` draws
LOOK_NS = 100_000_000  # between two looks whether a task still waits
UNSIMULATED = ("dequeue", "weight", "affinity")  # hooks for events that never happen here


class Machine:
    """CPUs, tasks, and a policy that decides which task runs."""

    def __init__(
        self,
        program: Program,
        cpus: int,
        work: Iterable[Work],
        params: Mapping[str, object] | None = None,
        *,
        nodes: int = 1,
        seed: int = SEED,
    ):
        self.now = 0
        self.cpus = [Cpu(number) for number in range(cpus)]
        self.order = itertools.count()
        self.asking = 0
        self.events: list[tuple[int, int, Callable[[], None]]] = []
        self.instance = Instance(program, params)
        self.program = program
        self.pace = Pace(program, cpus)
        self.beyond: Counter[str] = Counter()  # by queues: how often one was asked for that does not exist
        self.late: list[Starved] = []  # tasks that ran only after the kernel would have ended the scheduler
        numbers = random.Random(seed)
        self.draws = (numbers.getrandbits(64) for _ in itertools.count())
        self.started: SimTask | None = None
        self.first = False  # whether the task goes before others, and ends the slice of the running one
        for f in program.state:
            if f.kind is FieldKind.GIVEN and isinstance(f.type, ViewType):
                self.instance.state[f.name] = self._queue(f.name, f.type.name, (0, cpus, nodes, LANES))
        self.functions: dict[str, Callable[..., object]] = {
            **METHODS,
            "cpu.cpus": lambda: cpus,
            "cpu.here": lambda: self.asking,
            "cpu.nodes": lambda: nodes,
            "cpu.node_of": lambda cpu: cpu * nodes // cpus if 0 <= cpu < cpus else 0,
            "cpu.idle_cpu": self.idle_cpu,
            "cpu.start": self.start,
            "cpu.start_first": self.start_first,
            "cpu.preempt": self.preempt,
            "cpu.wake_cpu": self.wake_cpu,
            "cpu.set_alarm": self.set_alarm,
            "cpu.Scheduler.tell": self.tell,
        }
        self.adapter = adapted(self) if program.base == BASE else {}
        self.heard = heard(program)
        self.told: list[tuple[int, str, dict[str, int]]] = []  # to which process, what, and its numbers
        self.tasks = [SimTask(self, w, pid, cpu=self._first_cpu(w)) for pid, w in enumerate(work, 1)]
        for task in self.tasks:
            self.at(task.work.start_ns, partial(self.enter, task))
        if "tick" in self.instance.handlers and not self.instance.handlers["tick"].default:
            for one in self.cpus:
                self.at(TICK, partial(self.tick, one))

    def _queue(self, name: str, kind: str, many: tuple[int, ...]) -> SimQueue | SimQueues:
        """`many`: how many queues there are of each scope."""
        timed, count = "Fifo" not in kind, many[SCOPES[kind]]
        if not count:
            return SimQueue(self, name, timed)
        return (SimLanes if kind == "Lanes" else SimQueues)(self, name, timed, count)

    def _first_cpu(self, work: Work) -> int:
        return min(work.cpus) if work.cpus else 0

    # --- time ----------------------------------------------------------------------------------------------------

    def run(self, until_ns: int) -> None:
        """Go on until that time.  Raises `Standstill` if the policy does not let time go on."""
        while self.events and self.events[0][0] <= until_ns:
            self.now, _, act = heapq.heappop(self.events)
            self.pace.step(self.now)
            act()
        self.now = until_ns
        for cpu in self.cpus:
            if cpu.current:
                self.account(cpu.current)

    def starved(self) -> list[Starved]:
        """Tasks that can run, and wait for longer than the kernel's watchdog allows.

        Time goes on until those that wait now have run: a task that merely has little weight gets a turn.
        """
        since = {task: task.ready_ns for task in self.tasks if task.waits}
        while since and not self.late:
            self.run(self.now + LOOK_NS)
            since = {task: ns for task, ns in since.items() if task.waits and task.ready_ns == ns}
            self.late += [self._starved(task) for task in since if self.now - since[task] >= PATIENCE_NS]
        return self.late

    def _starved(self, task: SimTask) -> Starved:
        return Starved(task.work.name, task.held, task.ready_ns, self.now - task.ready_ns)

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
        """Call a hook as the kernel does: the policy's own, or that of the adapter for an `Arbiter`."""
        if hook in self.adapter:
            return self.adapter[hook](*args)
        return self.hook(hook, *args)

    def hook(self, hook: str, *args: Any) -> Any:
        if hook not in self.instance.handlers:
            return None
        locals = args[0].locals if args and isinstance(args[0], SimTask) else None
        tape = GivenTape(now=self.now, rand=self.draws)
        self.pace.hook = hook
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

    def start_first(self, task: SimTask) -> None:
        """Put it before the other tasks there, and end the slice of the running one."""
        self.pace.ask("cpu.start_first")
        self.start(task)
        self.first = True

    def _give_started(self, task: SimTask) -> None:
        """Put a started task into its CPU's own queue."""
        cpu = self.cpus[task.cpu]
        self.local(task, cpu.number)
        if self.first:
            cpu.local.rotate(1)
            cpu.end_ns = self.now
            self.at(0, partial(self.look, cpu))
        self.started, self.first = None, False

    def local(self, task: SimTask, cpu: int) -> None:
        task.held = f"cpu {cpu}"
        self.cpus[cpu].local.append(task)

    def idle_cpu(self, task: SimTask, near: int) -> int | None:
        number: int
        at = near if 0 <= near < len(self.cpus) else task.cpu
        for number in (at, *range(len(self.cpus))):
            cpu = self.cpus[number]
            if cpu.current is None and not cpu.claimed and not cpu.local and task.may_run(number):
                cpu.claimed = True
                return number
        return None

    def preempt(self, number: int) -> None:
        self.pace.ask("cpu.preempt")
        if 0 <= number < len(self.cpus):  # else there is no such CPU: nothing happens
            self.cpus[number].end_ns = self.now
            self.at(0, partial(self.look, self.cpus[number]))

    def wake_cpu(self, number: int) -> None:
        self.pace.ask("cpu.wake_cpu")
        if 0 <= number < len(self.cpus):
            self.at(0, partial(self.look, self.cpus[number]))

    def set_alarm(self, delay_ns: int) -> None:
        self.pace.ask("cpu.set_alarm", delay_ns)
        cpu = self.cpus[self.asking]

        def ring() -> None:
            if cpu.alarm == number:
                self.asking = cpu.number
                self.call("alarm", cpu.number)

        number = cpu.alarm = self.at(max(delay_ns, 1), ring)

    def tell(self, process: int, what: str, *named: Any) -> None:
        if process:  # 0 is no process
            self.told.append((process, what, dict(zip(named[::2], named[1::2], strict=True))))

    def hint(self, task: SimTask, *numbers: int) -> None:
        """The task's application gives a hint about it; numbers that are left out are 0."""
        if self.heard is not None:
            filled = (*numbers, *[0] * len(self.heard.numbers))
            said = SimpleNamespace(**dict(zip(self.heard.numbers, filled, strict=False)))
            self.call("hint", task, SimpleNamespace(hint=said))

    def tick(self, cpu: Cpu) -> None:
        if cpu.current is not None:
            self.account(cpu.current)
            self.asking = cpu.number
            self.call("tick", cpu.current)
        self.at(TICK, partial(self.tick, cpu))

    # --- a task's life -------------------------------------------------------------------------------------------

    def enter(self, task: SimTask) -> None:
        self.call("enter", task)
        if task.work.hint:
            self.hint(task, *task.work.hint)
        self.wake(task)

    def wake(self, task: SimTask) -> None:
        self.pace.wake()
        task.left_ns = task.next_run()
        self.call("wake", task)
        self.asking = task.cpu
        chosen = self.call("select", task, task.cpu)
        if task.may_run(chosen):
            task.cpu = chosen
        self.queue(task)

    def queue(self, task: SimTask) -> None:
        """Give a task to the policy, unless `select` has started it."""
        task.ready_ns = self.now
        if self.started is not task:
            self.asking = task.cpu
            self.call("enqueue", task)
        if self.started is task:
            self._give_started(task)
        if task.held == "kernel":
            raise CustodyError(f"{task.work.name} was put into no queue")
        cpu = self.cpus[task.cpu]
        cpu.claimed = False
        for idle in [cpu] if cpu.current is None else [c for c in self.cpus if c.current is None]:
            self.at(0, partial(self.look, idle))

    def look(self, cpu: Cpu) -> None:
        """The CPU looks for a task to run, if it has none or the slice of its task has ended."""
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
            self.queue(running)  # even if there is no other task: the CPU looks again

    def go_on(self, cpu: Cpu, task: SimTask) -> None:
        cpu.end_ns = self.now + task.light_ns
        self._plan(cpu, task)

    def begin(self, cpu: Cpu, task: SimTask) -> None:
        if not task.alone:
            task.waits_ns.append(self.now - task.ready_ns)
            if task.waits_ns[-1] >= PATIENCE_NS:
                self.late.append(self._starved(task))
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
            return
        self.call("leave", task)
        if task.work.hint:
            self.call("detach", task.process)


def simulate(
    program: Program,
    work: Iterable[Work],
    *,
    cpus: int = 2,
    seconds: float = 1,
    params: Mapping[str, object] | None = None,
    seed: int = SEED,
) -> Machine:
    """Run a policy for that much simulated time.

    Raises `CustodyError` if a task is lost or queued twice, `Standstill` if the policy does not let time go on.
    """
    machine = Machine(program, cpus, work, params, seed=seed)
    machine.run(round(seconds * 1e9))
    return machine
