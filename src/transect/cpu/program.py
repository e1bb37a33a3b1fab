# SPDX-License-Identifier: Apache-2.0
"""A checked scheduler to the C of its BPF object: its handlers, the kernel's operations that call them, its queues."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from transect.core import ir
from transect.core.effects import Facts
from transect.core.ir import Expr, FieldKind, Program
from transect.core.passes.flatten import flatten
from transect.core.types import OptionType, ViewType
from transect.core.walk import walk
from transect.cpu import arbiter
from transect.cpu.context import USED, Context
from transect.cpu.counters import moving, sites
from transect.cpu.hints.schema import Message, heard, told
from transect.cpu.platform import KERNEL, SCOPES, Kernel, queue_of
from transect.emit.artifact import Artifact
from transect.emit.bpf.lower import Lowering, integer
from transect.emit.bpf.recording import Recording, recorded
from transect.emit.bpf.unit import Unit
from transect.emit.bpf.values import S64
from transect.emit.c import tree as c
from transect.emit.c.functions import reachable
from transect.emit.c.printer import render

PREFIX = "policy"  # of all names: an object holds one policy

# Which operation of the kernel calls each hook, and whether the kernel calls it although the policy says nothing.
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
# Hooks of a run that has begun: a version that has not met the task did not see that beginning, and sees no end of it.
ENDING = {"dispatch", "tick", "stopping", "leave"}
RECORDED = {"running", "stopping"}  # a log has them whatever the policy does: when tasks ran
RUNTIME = {
    "transect_bpf.h": "transect.emit.bpf",
    "kernel.h": "transect.emit.bpf",
    "scx.h": "transect.cpu",
}


def legal(program: Program) -> Program:
    """The program in the form that lowering takes: what a queue or the kernel answers is a `Let` of its own."""
    facts = Facts(program)

    def hoist(e: Expr) -> bool:
        return isinstance(e, ir.LetIn) or facts.effectful(e)

    return flatten(program, hoist, loops=True)


def ops(program: Program, recording: bool = False) -> list[str]:
    """The kernel's operations that the object has."""
    if program.base == arbiter.BASE:
        return list(arbiter.OPS)
    always = {hook for hook, (_, always) in OPS.items() if always}
    always |= RECORDED if recording else set()
    if heard(program):
        always.add("tick")  # it listens
    if keeps_tasks(program):
        always.add("enter")
    own = [op for hook, (op, _) in OPS.items() if hook in always or not _default(program, hook)]
    return own + (["enable"] if USED in _asked(program) else []) + ["init"]


def keeps_tasks(program: Program) -> bool:
    """Whether something is kept for each task: its own state, the time that it has used, that it was met."""
    own = any(f.kind is FieldKind.LOCAL for f in program.state)
    return own or not _default(program, "enter") or USED in _asked(program)


def _asked(program: Program) -> set[str]:
    """The functions that it calls."""
    functions = (*program.functions, *program.handlers)
    parts = (part for f in functions for s in f.body for part in walk(s))
    return {part.name for part in parts if isinstance(part, ir.Intrinsic)}


def needs(program: Program) -> tuple[tuple[str, int], ...]:
    """Functions of the kernel that the policy's own lines need, each with the first such line."""
    found: dict[str, int] = {}
    for f in (*program.functions, *program.handlers):
        for part in (part for s in f.body for part in walk(s)):
            if isinstance(part, ir.Intrinsic) and part.name in KERNEL and part.span.path == program.path:
                name, line = KERNEL[part.name], part.span.line
                found[name] = min(line, found.get(name, line))
    return tuple(sorted(found.items()))


def alarms(program: Program) -> bool:
    """Whether it sets alarms."""
    return "cpu.set_alarm" in _asked(program)


def _always(hook: str, program: Program) -> bool:
    """Whether something calls the hook although the policy says nothing."""
    called = (hook in OPS and OPS[hook][1]) or (hook == "enter" and keeps_tasks(program))
    called |= hook in ("detach", "tick") and heard(program) is not None
    return called or (hook == "alarm" and alarms(program))


def _default(program: Program, hook: str) -> bool:
    handler = program.handler(hook)
    return handler is None or handler.default


def queues(program: Program) -> list[tuple[ir.StateField, c.Expr]]:
    """The policy's queues, and how many each is: a number of `ts_many`."""
    return [
        (f, c.Integer(SCOPES[f.type.name]))
        for f in program.state
        if f.kind is FieldKind.GIVEN and isinstance(f.type, ViewType)
    ]


def declarations(program: Program, recording: bool = False) -> list[c.Decl]:
    """The whole object's source.  `recording`: of one whose every call is kept."""
    if program.base == arbiter.BASE:
        return [
            *_about(program),
            *arbiter.declarations(program, PREFIX),
            *(_own(op, "ts_own") for op in arbiter.OPS),
            _chosen(certain=True),
            *_scheduler(program, ops(program), []),
        ]
    unit = Unit(recorded(program) if recording else legal(program), PREFIX)
    lowering = Recording if recording else Lowering
    more = RECORDED if recording else set()
    handlers = [
        h for h in unit.program.handlers if not h.default or h.name in more or _always(h.name, program)
    ]
    functions = [*reachable(unit.program), *handlers]
    counters = len(sites(unit.program))
    result: list[c.Decl] = [
        *_about(program),
        *([c.Macro("TS_COUNTERS", (c.Integer(counters),))] if counters else []),
        *unit.structs(),
        c.Macro("TS_STATE", (c.Name(PREFIX),)),
        *unit.tables(),
        *([c.Include("alarm.h")] if alarms(program) else []),
        *([c.Include("watched.h")] if "cpu.broken" in _asked(program) else []),
        *([c.Include("hints.h")] if heard(program) or told(program) else []),
    ]
    for f in functions:
        # The compiler gives a line the file in which its function begins.
        result += [
            c.At(f.span.path, f.span.line),
            lowering(unit, f, Kernel(unit.program, f)).definition(),
            c.Here(),
        ]
    result += [
        _first(unit),
        c.Macro("TS_MEET" if keeps_tasks(program) else "TS_TASKLESS", (c.Name(PREFIX),)),
        _queues(unit),
        _longest(unit),
        *_context(unit.program, ops(program, recording)),
    ]
    if not _default(program, "keep"):
        result.append(c.Include("keep.h"))
    if hint := heard(program):
        result += [_heard(hint), c.Include("listen.h")]
    return [*result, *_scheduler(program, ops(program, recording), ["alarm"] if alarms(program) else [])]


def _about(program: Program) -> list[c.Decl]:
    text = f"{program.name}, emitted by transect from {program.path}\nsource sha256 {program.source_hash}"
    return [c.Comment(text), c.Include("scx.h")]


def _scheduler(program: Program, names: list[str], more: list[str]) -> list[c.Decl]:
    """The operations, and the table that names them to the kernel."""
    title = c.String(unit_title(program).encode())
    table = c.Macro("TS_SCHEDULER", (title, *(c.call("TS_OP", c.Name(name)) for name in names)))
    return [*(c.Include(f"ops/{name}.h") for name in (*more, *names)), table]


def unit_title(program: Program) -> str:
    """What the kernel shows as the scheduler's name: a C identifier."""
    return f"transect_{program.name}"[:100]


def _heard(hint: Message) -> c.Function:
    """The kind of the hint that the policy takes."""
    return _inline("heard", c.Named("u32"), (), c.Integer(hint.kind, "u"))


def _context(program: Program, names: list[str]) -> list[c.Decl]:
    """What of the task's own each operation finds before it calls the policy."""
    context = Context(program)
    kept = keeps_tasks(program)
    found: list[c.Decl] = []
    for hook, (op, _) in OPS.items():
        if op in names:
            own = kept and (hook == "enter" or context.own("keep" if hook == "dispatch" else hook))
            found.append(_own(op, "" if not own else "ts_known" if hook in ENDING else "ts_own"))
    return [*found, _chosen(context.chooses_a_cpu(), program)]


def _own(op: str, find: str) -> c.Decl:
    """`policy_own_OP`."""
    task = c.Var("task", c.pointer("task_struct"))
    value = c.call(find, c.Name("task")) if find else c.address(c.Name("ts_nobody"))
    return _inline(f"own_{op}", c.pointer(f"{PREFIX}_task"), (task,), value)


def _chosen(certain: bool, program: Program | None = None) -> c.Function:
    """What `select` answers: never a CPU that does not exist, the kernel would end the scheduler."""
    cpu, before = c.Name("cpu"), c.Name("before")
    params = (c.Var("cpu", S64), c.Var("before", S64))
    value: c.Expr = cpu if certain else c.call("ts_cpu_or", cpu, before)
    select = None if program is None else program.handler("select")
    if program is not None and select is not None and moving(select):
        value = c.call("ts_moved", Kernel(program, select).counter("moved", select.span), value, before)
    return _inline("chosen", S64, params, value)


def _inline(name: str, returns: c.CType, params: tuple[c.Var, ...], value: c.Expr) -> c.Function:
    return c.Function(f"{PREFIX}_{name}", returns, params, c.Block((c.Return(value),)), prefix="TS_INLINE")


def _first(unit: Unit) -> c.Function:
    """A task's own fields at first."""
    body: list[c.Stmt] = []
    for f in unit.fields(FieldKind.LOCAL):
        if isinstance(f.type, OptionType) or not isinstance(f.default, ir.Const):
            continue  # None, and zero: storage is made of zeros
        if isinstance(f.default.value, int) and f.default.value:
            body.append(c.assign(unit.place(f.name), integer(int(f.default.value))))
    if not body:
        body.append(c.Do(c.Cast(c.VOID, c.Name("own"))))
    own = c.Var("own", c.pointer(unit.name("task")))
    return c.Function(unit.name("first"), c.VOID, (own,), c.Block(tuple(body)), prefix="TS_INLINE")


def _queues(unit: Unit) -> c.Function:
    failed = c.Name("failed")
    body: list[c.Stmt] = [c.Var("failed", c.Named("s32"), c.ZERO)]
    for f, many in queues(unit.program):
        make = c.assign(failed, c.call("ts_create", queue_of(f), many))
        body.append(c.If(c.negated(failed), c.Block((make,))))
    body.append(c.Return(failed))
    return c.Function(unit.name("queues"), c.Named("s32"), (), c.Block(tuple(body)), prefix="TS_INLINE")


def _longest(unit: Unit) -> c.Function:
    """The longest that the first of a queue has waited."""
    longest, waited = c.Name("longest"), c.Name("waited")
    body: list[c.Stmt] = [c.Var("longest", S64, c.ZERO)]
    for f, many in queues(unit.program):
        ask = c.Var("waited", S64, c.call("ts_longest", queue_of(f), many))
        more = c.If(c.Binary(">", waited, longest), c.Block((c.assign(longest, waited),)))
        body.append(c.Block((ask, more)))
    body.append(c.Return(longest))
    return c.Function(unit.name("longest_wait"), S64, (), c.Block(tuple(body)), prefix="TS_INLINE")


def source(program: Program, *, marks: bool = True, recording: bool = False) -> str:
    """The object's C."""
    return render(f"{PREFIX}.bpf.c", declarations(program, recording), marks)


@cache
def runtime() -> dict[str, bytes]:
    """The files that the source includes."""
    found = {name: (files(package) / "runtime" / name).read_bytes() for name, package in RUNTIME.items()}
    folder = files("transect.cpu") / "runtime"
    found |= {f"ops/{op}.h": (folder / "ops" / f"{op}.h").read_bytes() for op in _all_ops()}
    return found | {
        name: (folder / name).read_bytes()
        for name in (
            "keep.h",
            "alarm.h",
            "arbiter.h",
            "hints.h",
            "listen.h",
            "record.h",
            "shim.bpf.c",
            "watched.h",
        )
    }


def _all_ops() -> list[str]:
    return [op for op, _ in OPS.values()] + ["enable", "init", "alarm"]


def emit(program: Program, recording: bool = False) -> Artifact:
    """`policy.bpf.c`, and what it includes."""
    return Artifact({f"{PREFIX}.bpf.c": source(program, recording=recording).encode()} | runtime())
