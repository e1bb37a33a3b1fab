# SPDX-License-Identifier: Apache-2.0
"""An `Arbiter` as a scheduler on a simulated machine: the counterpart of `runtime/arbiter.h` in a kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transect.cpu.arbiter import WAITING, tally
from transect.cpu.simulated import SimMachine, SimQueue, SimTask


def adapted(machine: SimMachine) -> dict[str, Callable[..., Any]]:
    """The hooks of a scheduler.  Clients are tasks, costs nanoseconds run x 100 / weight."""
    key = tally(machine.program)
    assert key is not None, "`refused` let a policy without a tally through"
    state = machine.instance.state
    state[WAITING] = []
    queue = SimQueue(machine, WAITING, timed=True)

    def served(task: SimTask) -> int:
        return int(state[key.name].get(task.pid, 0))

    def charge(task: SimTask) -> None:
        machine.hook("charge", task.pid, task.used() * 100 // (task.weight or 1))

    def select(task: SimTask, cpu: int) -> int:
        idle = machine.idle_cpu(task, cpu)
        return cpu if idle is None else idle

    def enqueue(task: SimTask) -> None:
        machine.hook("arrive", task.pid)
        queue.put(task, served(task))
        state[WAITING].append(task.pid)

    def dispatch(cpu: int) -> None:
        if queue.tasks:
            machine.hook("pick")
        queue.take()
        waiting = {task.pid for _, _, task in queue.tasks}
        state[WAITING] = [pid for pid in state[WAITING] if pid in waiting]

    def keep(task: SimTask, cpu: int) -> bool:
        charge(task)
        return served(task) < queue.first(served(task) + 1)

    def stopping(task: SimTask, runnable: bool) -> None:
        charge(task)

    return {
        "select": select,
        "enqueue": enqueue,
        "dispatch": dispatch,
        "keep": keep,
        "stopping": stopping,
    }
