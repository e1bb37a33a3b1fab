# SPDX-License-Identifier: Apache-2.0
"""A checked scheduler, with the facts about it that are needed several times while its object is made,
each found once.
"""

from __future__ import annotations

from dataclasses import dataclass

from transect.core import ir
from transect.core.effects import Facts
from transect.core.ir import Expr, FieldKind, Program, StateField
from transect.core.passes.flatten import flatten
from transect.core.types import ViewType
from transect.core.walk import walk
from transect.cpu import arbiter
from transect.cpu.context import USED
from transect.cpu.counters import Site, sites
from transect.cpu.hints.schema import Message, heard, told
from transect.cpu.platform import KERNEL
from transect.emit.bpf.recording import recorded

# Which operation of the kernel calls each hook, and whether it is called even if the policy does not define the hook.
OPS = {
    "select": ("select_cpu", True),
    "enqueue": ("enqueue", True),
    "dequeue": ("dequeue", False),
    "dispatch": ("dispatch", True),
    "running": ("running", False),
    "stopping": ("stopping", False),
    "tick": ("tick", False),
    "wake": ("runnable", False),
    "sleep": ("quiescent", False),
    "weight": ("set_weight", False),
    "affinity": ("set_cpumask", False),
    "enter": ("init_task", False),
    "leave": ("exit_task", False),
}
RECORDED = {
    "running",
    "stopping",
}  # a log has them even if the policy does not define them: they say when tasks ran


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduler:
    """One object's scheduler."""

    program: Program
    recording: bool  # whether every call is recorded
    flat: Program  # in the form that lowering takes
    calls: frozenset[str]  # the functions of the language and of the stratum that it calls
    needs: tuple[tuple[str, int], ...]  # functions of the kernel, and the policy's line that needs each
    hears: Message | None  # the hint that it takes
    tells: tuple[Message, ...]  # what it tells applications
    # Whether something is kept for each task: its own state, the time used, that the policy has met it
    keeps_tasks: bool
    # those that something calls: the policy's own, and others that are needed without being defined
    hooks: frozenset[str]
    ops: tuple[str, ...]  # the kernel's operations that the object has
    queues: tuple[StateField, ...]
    counts: tuple[Site, ...]  # what is counted, and where

    @staticmethod
    def of(program: Program, *, recording: bool = False) -> Scheduler:
        flat = recorded(program) if recording else legal(program)
        found = _intrinsics(program)
        calls = frozenset(call.name for call in found)
        hears = heard(program)
        own = frozenset(h.name for h in program.handlers if not h.default)
        local = any(f.kind is FieldKind.LOCAL for f in program.state)
        keeps_tasks = local or "enter" in own or USED in calls
        hooks = own | {hook for hook, (_, always) in OPS.items() if always}
        hooks |= RECORDED if recording else set()
        hooks |= {"detach", "tick"} if hears else set()  # a policy that takes hints
        hooks |= {"enter"} if keeps_tasks else set()
        hooks |= {"alarm"} if "cpu.set_alarm" in calls else set()
        of_hooks = tuple(op for hook, (op, _) in OPS.items() if hook in hooks)
        is_arbiter = program.base == arbiter.BASE
        return Scheduler(
            program=program,
            recording=recording,
            flat=flat,
            calls=calls,
            needs=_needs(found, program.path),
            hears=hears,
            tells=told(program),
            keeps_tasks=keeps_tasks,
            hooks=hooks,
            ops=arbiter.OPS if is_arbiter else (*of_hooks, *(["enable"] if USED in calls else []), "init"),
            queues=tuple(
                f for f in program.state if f.kind is FieldKind.GIVEN and isinstance(f.type, ViewType)
            ),
            counts=() if is_arbiter else sites(flat),
        )

    @property
    def alarms(self) -> bool:
        """Whether it sets alarms."""
        return "cpu.set_alarm" in self.calls


def legal(program: Program) -> Program:
    """The program in the form that lowering takes: each answer of a queue or the kernel is in a `Let` of its own."""
    facts = Facts(program)

    def hoist(e: Expr) -> bool:
        return isinstance(e, ir.LetIn) or facts.effectful(e)

    return flatten(program, hoist, loops=True)


def _intrinsics(program: Program) -> list[ir.Intrinsic]:
    parts = (part for f in (*program.functions, *program.handlers) for s in f.body for part in walk(s))
    return [part for part in parts if isinstance(part, ir.Intrinsic)]


def _needs(calls: list[ir.Intrinsic], path: str) -> tuple[tuple[str, int], ...]:
    """Functions of the kernel that the policy's own lines need, each with the first such line."""
    found: dict[str, int] = {}
    for call in calls:
        if call.name in KERNEL and call.span.path == path:
            name, line = KERNEL[call.name], call.span.line
            found[name] = min(line, found.get(name, line))
    return tuple(sorted(found.items()))
