# SPDX-License-Identifier: Apache-2.0
"""What a scheduler defines and uses.  The compiler reads this file as text; type checkers and tests import it.

A task is *held* by the kernel, by one queue, or it runs.  Each hook finds it in one state and leaves it in one:

| hook       | the task before → after             | the policy must                                              |
|------------|-------------------------------------|--------------------------------------------------------------|
| `enter`    | not there → held by the kernel      | –                                                            |
| `select`   | kernel → kernel, or a CPU's own queue | give a CPU; put the task at most once, with `start`      |
| `enqueue`  | kernel → a queue                    | put the task once, on every path                             |
| `dispatch` | queue → the CPU's own queue         | take from every queue that `enqueue` uses                    |
| `running`  | the CPU's own queue → running       | –                                                            |
| `keep`     | running → running, or to the kernel | say whether it goes on, now that its slice has ended         |
| `stopping` | running → kernel                    | –                                                            |
| `dequeue`  | queue → kernel                      | – (it sleeps, or something of it changes)                    |
| `leave`    | kernel → gone                       | –                                                            |

`tick`, `alarm`, `wake`, `sleep`, `weight`, `affinity`, `hint` and `detach` move no task.  Queues are fields of the
policy, made by `given()`; the runtime keeps them, also from one version of a policy to the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic

from transect.lang import Duration, Policy, View, intrinsic

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    M = TypeVar("M", default=Any)
else:
    from typing import TypeVar

    M = TypeVar("M")

LOCALS = "Task"  # what a `Local` belongs to
SCOPES = ("instance",)
ATOMIC = False  # each access is, and each update in one step; a handler is not
SERIAL = ("hint", "detach")  # of these, one runs at a time


class Task(View):
    """A task of the kernel, valid for this call."""

    pid: int
    weight: int
    """Its share: 100 is nice 0; from 1 to 10,000."""
    cpu: int
    """Where it is, or ran last."""
    movable: int
    """How many CPUs it may run on."""
    process: int
    """Its process: what all threads of an application have in common."""

    @intrinsic(effect="outside-read")
    def time(self) -> int:
        """Its virtual time: what the policy last gave to `set_time`; 0 in a new task."""
        raise NotImplementedError

    @intrinsic(effect="outside-write")
    def set_time(self, time: int, /) -> None:
        """Keep its virtual time."""
        raise NotImplementedError

    @intrinsic(effect="outside-read")
    def used(self) -> int:
        """Nanoseconds that it has run since this was last asked, or since it came under the scheduler."""
        raise NotImplementedError

    @intrinsic(effect="outside-read")
    def may_run(self, cpu: int, /) -> bool:
        """Whether its affinity allows that CPU."""
        raise NotImplementedError


class Hint(View):
    """What applications may say: a subclass names its numbers.  They are checked when an application attaches."""


class Said(View, Generic[M]):
    """A hint as it comes: `Said[Group]`."""

    hint: M

    if not TYPE_CHECKING:

        def __class_getitem__(cls, _: object) -> type:
            return cls


class Fifo(View):
    """A queue served in order of arrival."""

    @intrinsic(effect="outside-write")
    def put(self, task: Task, /) -> None:
        """Queue the task; it will run for 20 ms at most before others are looked at."""
        raise NotImplementedError

    @intrinsic(effect="outside-write")
    def put_for(self, task: Task, slice: Duration, /) -> None:
        """Queue the task, with a slice of its own."""
        raise NotImplementedError

    @intrinsic(effect="outside-read")
    def take(self) -> bool:
        """Give the first task that may run here to this CPU; False: there is none."""
        raise NotImplementedError

    @intrinsic(effect="outside-read")
    def length(self) -> int:
        """How many tasks wait in it."""
        raise NotImplementedError


class Timeline(View):
    """A queue served by virtual time, the smallest first."""

    @intrinsic(effect="outside-write")
    def put(self, task: Task, time: int, /) -> None:
        """Queue the task at that time, which becomes its own; its slice is 20 ms, less for one of less weight."""
        raise NotImplementedError

    @intrinsic(effect="outside-write")
    def put_for(self, task: Task, time: int, slice: Duration, /) -> None:
        """Queue the task, with a slice of its own."""
        raise NotImplementedError

    @intrinsic(effect="outside-read")
    def take(self) -> bool:
        """Give the first task that may run here to this CPU; False: there is none."""
        raise NotImplementedError

    @intrinsic(effect="outside-read")
    def first(self, default: int, /) -> int:
        """The virtual time of the first task; `default`: there is none."""
        raise NotImplementedError

    @intrinsic(effect="outside-read")
    def length(self) -> int:
        """How many tasks wait in it."""
        raise NotImplementedError


class Fifos(View):
    """A `Fifo` for each CPU."""

    @intrinsic(effect="pure")
    def on(self, cpu: int, /) -> Fifo:
        """That CPU's."""
        raise NotImplementedError

    @intrinsic(effect="outside-read")
    def steal(self, cpu: int, /) -> bool:
        """Give this CPU the first task of another's queue, asked in turn from the one after `cpu`; False: none."""
        raise NotImplementedError


class Timelines(View):
    """A `Timeline` for each CPU."""

    @intrinsic(effect="pure")
    def on(self, cpu: int, /) -> Timeline:
        """That CPU's."""
        raise NotImplementedError

    @intrinsic(effect="outside-read")
    def steal(self, cpu: int, /) -> bool:
        """Give this CPU the first task of another's queue, asked in turn from the one after `cpu`; False: none."""
        raise NotImplementedError


class NodeFifos(View):
    """A `Fifo` for each node of memory."""

    @intrinsic(effect="pure")
    def on(self, node: int, /) -> Fifo:
        """That node's."""
        raise NotImplementedError

    @intrinsic(effect="outside-read")
    def steal(self, node: int, /) -> bool:
        """Give this CPU the first task of another node's queue, asked in turn from the one after; False: none."""
        raise NotImplementedError


class NodeTimelines(View):
    """A `Timeline` for each node of memory."""

    @intrinsic(effect="pure")
    def on(self, node: int, /) -> Timeline:
        """That node's."""
        raise NotImplementedError

    @intrinsic(effect="outside-read")
    def steal(self, node: int, /) -> bool:
        """Give this CPU the first task of another node's queue, asked in turn from the one after; False: none."""
        raise NotImplementedError


class Lanes(View):
    """64 `Timeline`s, of whatever the policy tells apart: tenants, kinds of work."""

    @intrinsic(effect="pure")
    def on(self, number: int, /) -> Timeline:
        """The one of that number, modulo 64."""
        raise NotImplementedError

    @intrinsic(effect="outside-read")
    def steal(self, number: int, /) -> bool:
        """Give this CPU the first task of any lane, asked in turn from the one after `number`; False: there is none."""
        raise NotImplementedError


@intrinsic(effect="outside-read")
def cpus() -> int:
    """How many CPUs there may be; they are numbered from 0."""
    raise NotImplementedError


@intrinsic(effect="outside-read")
def here() -> int:
    """The CPU on which the hook runs; in `select` that of who wakes the task."""
    raise NotImplementedError


@intrinsic(effect="outside-read")
def nodes() -> int:
    """How many nodes of memory there may be; they are numbered from 0."""
    raise NotImplementedError


@intrinsic(effect="outside-read")
def node_of(cpu: int, /) -> int:
    """The node that a CPU belongs to."""
    raise NotImplementedError


@intrinsic(effect="outside-read")
def idle_cpu(task: Task, cpu: int, /) -> int | None:
    """An idle CPU for the task, near `cpu`; from now on it counts as busy."""
    raise NotImplementedError


@intrinsic(effect="outside-write")
def start(task: Task, /) -> None:
    """Put the task into its CPU's own queue, before all that wait elsewhere."""
    raise NotImplementedError


@intrinsic(effect="outside-write")
def start_first(task: Task, /) -> None:
    """As `start`, before the others there, and in place of what runs."""
    raise NotImplementedError


@intrinsic(effect="outside-write")
def preempt(cpu: int, /) -> None:
    """End the slice of what runs there, and dispatch again."""
    raise NotImplementedError


@intrinsic(effect="outside-write")
def set_alarm(delay: Duration, /) -> None:
    """Call `alarm` on this CPU after that time; a new one takes the place of the one before."""
    raise NotImplementedError


@intrinsic(effect="outside-write")
def wake_cpu(cpu: int, /) -> None:
    """Dispatch there, if it is idle."""
    raise NotImplementedError


class Scheduler(Policy):
    """Decides which task runs, where and for how long."""

    def enter(self, task: Task, /) -> None:
        """A task comes under the policy."""

    def select(self, task: Task, cpu: int, /) -> int:
        """A task wakes up, having run on `cpu`: the CPU for it.  One that starts here is not enqueued.

        Not asked about one that is woken before `cpu` has switched away from it: it is enqueued there.
        """
        idle = idle_cpu(task, cpu)
        if idle is None:
            return cpu
        start(task)
        return idle

    def enqueue(self, task: Task, /) -> None:
        """The task can run and waits from now on; `task.cpu` is where.  (Also when its slice ended and it is alone.)"""
        raise NotImplementedError

    def dequeue(self, task: Task, /) -> None:
        """The task has left its queue without running."""

    def keep(self, task: Task, cpu: int, /) -> bool:
        """The slice of the running task has ended, and it would go on: does it?  Before `dispatch`."""
        return False

    def dispatch(self, cpu: int, /) -> None:
        """The CPU has nothing to run: take a task from a queue."""
        raise NotImplementedError

    def running(self, task: Task, /) -> None:
        """The task begins to run."""

    def stopping(self, task: Task, runnable: bool, /) -> None:
        """The task ends to run; it may be able to go on, and is then enqueued."""

    def tick(self, task: Task, /) -> None:
        """A tick of the clock while the task runs (some 4 ms)."""

    def alarm(self, cpu: int, /) -> None:
        """The time of `set_alarm` has come."""

    def wake(self, task: Task, /) -> None:
        """The task can run; before it is enqueued."""

    def sleep(self, task: Task, /) -> None:
        """The task cannot run any more."""

    def weight(self, task: Task, /) -> None:
        """Its weight has changed."""

    def affinity(self, task: Task, /) -> None:
        """The CPUs it may run on have changed."""

    def hint(self, task: Task, said: Said[Any], /) -> None:
        """Its application says something of the task, a thread of its own.  Hints are heard one at a time."""

    def detach(self, process: int, /) -> None:
        """The application says and hears nothing any more: it has ended, or let go."""

    def leave(self, task: Task, /) -> None:
        """The task goes."""

    @intrinsic(effect="outside-write")
    def tell(self, process: int, what: str, /, **numbers: int) -> None:
        """Say something to an application, such as `self.tell(process, "granted", core=2)`; nobody there, no matter."""
