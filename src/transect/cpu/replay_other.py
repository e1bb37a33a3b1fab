# SPDX-License-Identifier: Apache-2.0
"""`transect replay LOG OTHER`: the arrivals of a log under another scheduler, on a simulated machine.

The recorded scheduler is simulated as well: how far it is from what was recorded says how far the machine is from the
kernel that was recorded.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from transect.core.codec import CodecError, decode_state
from transect.core.ir import FieldKind, Program
from transect.cpu.arrivals import Outcome, recorded, simulated, tasks, work
from transect.cpu.check import check
from transect.cpu.replay import notes
from transect.cpu.simulator import Machine
from transect.cpu.steps import CPUS
from transect.replay.log import Log, LogError

BASE = "cpu.Scheduler"
PATIENCE = 3  # a scheduler may take this many times as long as the recorded one did


def against(log: Log, other: Program) -> list[Outcome]:
    """How tasks fared in the kernel, and how they fare under the same scheduler and under the other one, simulated.

    Raises `LogError`; `CustodyError` when the other one loses a task, `Standstill` when it lets no time pass.
    """
    first = _recorded(log)
    of = f" ({Path(other.path).name})" if other.name == first.name else ""
    return [recorded(log), simulated(under(log, first)), simulated(under(log, other), of)]


def under(log: Log, program: Program) -> Machine:
    """A machine of as many CPUs as were recorded, after the same arrivals.  Parameters are as they were set."""
    seen, length_ns = tasks(log)
    cpus = notes(log).cpus
    if cpus > CPUS:
        raise LogError(f"a machine of {cpus} CPUs is not simulated, but of {CPUS}")
    machine = Machine(program, cpus, work(seen, cpus), _params(log, program))
    machine.run(PATIENCE * length_ns)
    return machine


def _recorded(log: Log) -> Program:
    """The scheduler of the log; the log may contain anything."""
    if not log.policies:
        raise LogError("there is no scheduler in the log")
    program = log.policies[0].program
    if program.base != BASE or check(program):
        raise LogError(f"the recorded program {program.name} is no scheduler that could have been in force")
    return program


def _params(log: Log, program: Program) -> dict[str, object]:
    policy = log.policies[0]
    if program is not policy.program:
        return {}
    try:
        state = decode_state(program.state, policy.start)
    except CodecError as wrong:
        raise LogError(f"the state at the start of {program.name}: {wrong}") from wrong
    return {f.name: state[f.name].value for f in program.state if f.kind is FieldKind.PARAM}


def table(outcomes: list[Outcome]) -> Iterator[str]:
    """A table for people, with a column for each outcome."""
    rows = [
        ("", [o.scheduler for o in outcomes]),
        ("began to run", [str(o.waits) for o in outcomes]),
        ("wait p50 ms", [f"{o.median * 1e3:.2f}" for o in outcomes]),
        ("wait p99 ms", [f"{o.p99 * 1e3:.2f}" for o in outcomes]),
        ("longest wait ms", [f"{o.longest * 1e3:.2f}" for o in outcomes]),
        ("fairness", [f"{o.fairness:.3f}" for o in outcomes]),
        ("migrations", [str(o.migrations) for o in outcomes]),
        ("CPU time s", [f"{o.ran:.3f}" for o in outcomes]),
    ]
    width = max(len(o.scheduler) for o in outcomes) + 2
    for name, cells in rows:
        yield f"{name:16}" + "".join(f"{cell:>{width}}" for cell in cells)
