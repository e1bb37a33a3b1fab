# SPDX-License-Identifier: Apache-2.0
"""What a log tells of the tasks under any scheduler: when each could run, and how long it then ran before it slept.

The same arrivals can then be given to another scheduler on a simulated machine.  Arrivals stay those of the recorded
run, even if one task woke another: a scheduler that runs the first task later does not delay the arrival of the second.
Work that arrives while a task still has some left follows it at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from transect.core.codec import CodecError
from transect.cpu.record import Head, head
from transect.cpu.simulator import Machine, Work
from transect.replay.log import Log, LogError, Record

LONGEST_NS = 3_600_000_000_000  # the longest log that is simulated: an hour has 180,000 slices
HEAVIEST = 10_000  # the kernel's own limit of weights


@dataclass(slots=True)
class Seen:
    """A task of the log."""

    pid: int
    weight: int = 100
    cpus: int = -1  # a mask
    cpu: int = -1  # where it ran last; -1: it has not run yet
    # the times at which it could run, and how long it then ran (ns)
    bursts: list[tuple[int, int]] = field(default_factory=list)
    waits_ns: list[int] = field(default_factory=list)
    migrations: int = 0
    ready_ns: int | None = None  # since when it waits
    running_ns: int | None = None  # since when it runs
    ran_ns: int = 0  # in this burst
    awake_ns: int | None = None  # since when this burst has lasted

    def wake(self, now: int) -> None:
        if self.awake_ns is None:
            self.awake_ns = self.ready_ns = now

    def run(self, now: int, cpu: int) -> None:
        self.wake(now)
        self.waits_ns.append(now - (now if self.ready_ns is None else self.ready_ns))
        self.migrations += self.cpu not in (-1, cpu)
        self.cpu, self.running_ns, self.ready_ns = cpu, now, None

    def stop(self, now: int, goes_on: bool) -> None:
        if self.running_ns is None or self.awake_ns is None:
            return  # it already ran when the recording began
        self.ran_ns += now - self.running_ns
        self.running_ns = None
        if goes_on:
            self.ready_ns = now
            return
        self.bursts.append((self.awake_ns, self.ran_ns))
        self.awake_ns, self.ran_ns = None, 0

    def end(self, now: int) -> None:
        if self.awake_ns is not None:
            self.stop(now, False)
            if self.awake_ns is not None and self.ran_ns:
                self.bursts.append((self.awake_ns, self.ran_ns))


def tasks(log: Log) -> tuple[list[Seen], int]:
    """The tasks that ran, and how long the log is (ns).  Times count from its first call.  Raises `LogError`."""
    found: dict[int, Seen] = {}
    hooks = log.policies[0].hooks if log.policies else ()
    calls = [(hooks[record.hook], _head(record)) for record in log.records]
    first = now = calls[0][1].now if calls else 0
    for hook, (time, pid, cpu, (one, two)) in calls:
        # Clocks of two CPUs differ a little; what is recorded later is not earlier.
        now = max(now, time)
        if now - first > LONGEST_NS:
            raise LogError(
                f"the log is of more than {LONGEST_NS / 1e9:.0f} s: it says so, or its times are damaged"
            )
        if hook not in ("select", "enqueue", "running", "stopping"):
            continue
        task = found.setdefault(pid, Seen(pid))
        match hook:
            case "running":
                if not 1 <= one <= HEAVIEST:
                    raise LogError(f"a task has a weight from 1 to {HEAVIEST}, and pid {pid} has {one}")
                task.weight, task.cpus = one, two
                task.run(now - first, cpu)
            case "stopping":
                task.stop(now - first, bool(one))
            case _:
                task.wake(now - first)
    for task in found.values():
        task.end(now - first)
    return [task for task in found.values() if task.bursts], now - first


def _head(record: Record) -> Head:
    try:
        return head(record)
    except CodecError as wrong:
        raise LogError(f"record {record.sequence}: {wrong}") from wrong


def work(seen: Sequence[Seen], cpus: int) -> list[Work]:
    """The recorded tasks as work for a simulated machine."""
    everywhere = (1 << cpus) - 1
    return [
        Work(
            f"pid {task.pid}",
            weight=task.weight,
            cpus=None if task.cpus & everywhere == everywhere else _set(task.cpus, cpus),
            bursts=tuple(task.bursts),
            start_ns=task.bursts[0][0],
        )
        for task in seen
    ]


def _set(mask: int, cpus: int) -> frozenset[int]:
    return frozenset(cpu for cpu in range(cpus) if mask >> cpu & 1) or frozenset(range(cpus))


# ---------------------------------------------------------------- what came of it


@dataclass(frozen=True, slots=True)
class Outcome:
    """How tasks fared under one scheduler.  Times in seconds."""

    scheduler: str
    waits: int  # how often a task began to run
    median: float  # wait
    p99: float
    longest: float
    fairness: float  # Jain's index of each task's progress by weight; 1: all made equal progress
    migrations: int
    ran: float  # CPU time of all tasks


@dataclass(frozen=True, slots=True)
class Fared:
    """What is needed to know of a task, recorded or simulated."""

    weight: int
    ran_ns: int
    waits_ns: Sequence[int]
    migrations: int


def outcome(scheduler: str, fared: Iterable[Fared]) -> Outcome:
    all_of = list(fared)
    waits = sorted(wait for task in all_of for wait in task.waits_ns) or [0]
    return Outcome(
        scheduler,
        sum(len(task.waits_ns) for task in all_of),
        waits[len(waits) // 2] / 1e9,
        waits[int(0.99 * (len(waits) - 1))] / 1e9,
        waits[-1] / 1e9,
        fairness(all_of),
        sum(task.migrations for task in all_of),
        sum(task.ran_ns for task in all_of) / 1e9,
    )


def fairness(fared: Iterable[Fared]) -> float:
    """Jain's index of progress: the share of the time in which it could run that a task did run, divided by its weight.

    Tasks that never had to share are left out, since they tell nothing about a scheduler.
    """
    progress = [
        task.ran_ns / (task.ran_ns + sum(task.waits_ns)) / task.weight
        for task in fared
        if task.ran_ns and sum(task.waits_ns) > task.ran_ns // 100
    ]
    if not progress:
        return 1.0
    return sum(progress) ** 2 / (len(progress) * sum(p * p for p in progress))


def recorded(log: Log) -> Outcome:
    """How tasks fared in the kernel."""
    return outcome(
        f"{log.policies[0].name}, recorded",
        (Fared(t.weight, sum(ran for _, ran in t.bursts), t.waits_ns, t.migrations) for t in tasks(log)[0]),
    )


def simulated(machine: Machine, of: str = "") -> Outcome:
    """How tasks fare on a simulated machine.  `of`: what tells its scheduler from another of the same name."""
    return outcome(
        f"{machine.program.name}{of}, simulated",
        (Fared(t.weight, t.ran_ns, t.waits_ns, t.migrations) for t in machine.tasks),
    )
