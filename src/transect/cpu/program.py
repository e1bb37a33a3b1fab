# SPDX-License-Identifier: Apache-2.0
"""From a checked scheduler to the C of its BPF object: its handlers, the kernel's operations that call them, its
queues.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from transect.core import ir
from transect.core.ir import FieldKind, Program
from transect.core.types import OptionType
from transect.cpu import arbiter
from transect.cpu.context import Context
from transect.cpu.counters import moving
from transect.cpu.hints.schema import Message
from transect.cpu.platform import Kernel, many_of, queue_of
from transect.cpu.scheduler import OPS, Scheduler
from transect.emit.artifact import Artifact
from transect.emit.bpf.lower import Lowering, integer
from transect.emit.bpf.recording import Recording
from transect.emit.bpf.unit import Unit
from transect.emit.bpf.values import S64
from transect.emit.c import tree as c
from transect.emit.c.functions import reachable
from transect.emit.c.printer import render

PREFIX = "policy"  # of all names: an object holds only one policy

# Hooks that end what another hook began: a version that did not see the beginning is not told of the end.
ENDING = {"dispatch", "tick", "stopping", "leave"}
RUNTIME = {
    "transect_bpf.h": "transect.emit.bpf",
    "kernel.h": "transect.emit.bpf",
    "scx.h": "transect.cpu",
}


def declarations(scheduler: Scheduler) -> list[c.Decl]:
    """The whole object's source."""
    program = scheduler.program
    if program.base == arbiter.BASE:
        return [
            *_about(program),
            *arbiter.declarations(program, PREFIX),
            *(_own(op, "ts_own") for op in arbiter.OPS),
            _chosen(certain=True),
            *_scheduler(scheduler, []),
        ]
    unit = Unit(scheduler.flat, PREFIX)
    lowering = Recording if scheduler.recording else Lowering
    handlers = [h for h in unit.program.handlers if h.name in scheduler.hooks]
    counters = len(scheduler.counts)
    result: list[c.Decl] = [
        *_about(program),
        *([c.Macro("TS_COUNTERS", (c.Integer(counters),))] if counters else []),
        *unit.structs(),
        c.Macro("TS_STATE", (c.Name(PREFIX),)),
        *unit.tables(),
        *([c.Include("alarm.h")] if scheduler.alarms else []),
        *([c.Include("watched.h")] if "cpu.broken" in scheduler.calls else []),
        *([c.Include("hints.h")] if scheduler.hears or scheduler.tells else []),
    ]
    for f in (*reachable(unit.program), *handlers):
        # The compiler counts a function's lines in the file in which it begins.
        result += [
            c.At(f.span.path, f.span.line),
            lowering(unit, f, Kernel(unit.program, f)).definition(),
            c.Here(),
        ]
    result += [
        _first(unit),
        c.Macro("TS_MEET" if scheduler.keeps_tasks else "TS_TASKLESS", (c.Name(PREFIX),)),
        _queues(scheduler),
        _longest(scheduler),
        *_context(scheduler),
    ]
    if "keep" in scheduler.hooks:
        result.append(c.Include("keep.h"))
    if scheduler.hears:
        result += [_heard(scheduler.hears), c.Include("listen.h")]
    return [*result, *_scheduler(scheduler, ["alarm"] if scheduler.alarms else [])]


def _about(program: Program) -> list[c.Decl]:
    text = f"{program.name}, emitted by transect from {program.path}\nsource sha256 {program.source_hash}"
    return [c.Comment(text), c.Include("scx.h")]


def _scheduler(scheduler: Scheduler, more: list[str]) -> list[c.Decl]:
    """The operations, and the table that names them to the kernel."""
    title = c.String(unit_title(scheduler.program).encode())
    table = c.Macro("TS_SCHEDULER", (title, *(c.call("TS_OP", c.Name(op)) for op in scheduler.ops)))
    return [*(c.Include(f"ops/{name}.h") for name in (*more, *scheduler.ops)), table]


def unit_title(program: Program) -> str:
    """What the kernel shows as the scheduler's name: a C identifier."""
    return f"transect_{program.name}"[:100]


def _heard(hint: Message) -> c.Function:
    """The kind of the hint that the policy takes."""
    return _inline("heard", c.Named("u32"), (), c.Integer(hint.kind, "u"))


def _context(scheduler: Scheduler) -> list[c.Decl]:
    """What each operation looks up for the task before it calls the policy."""
    context = Context(scheduler.flat)
    found: list[c.Decl] = []
    for hook, (op, _) in OPS.items():
        if op in scheduler.ops:
            asks = hook == "enter" or context.own("keep" if hook == "dispatch" else hook)
            known = "ts_known" if hook in ENDING else "ts_own"
            found.append(_own(op, known if scheduler.keeps_tasks and asks else ""))
    return [*found, _chosen(context.chooses_a_cpu(), scheduler.flat)]


def _own(op: str, find: str) -> c.Decl:
    """`policy_own_OP`."""
    task = c.Var("task", c.pointer("task_struct"))
    value = c.call(find, c.Name("task")) if find else c.address(c.Name("ts_nobody"))
    return _inline(f"own_{op}", c.pointer(f"{PREFIX}_task"), (task,), value)


def _chosen(certain: bool, program: Program | None = None) -> c.Function:
    """The answer of `select`, made sure to be a CPU that exists: otherwise the kernel would end the scheduler."""
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
    """Sets a task's own fields to their first values."""
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


def _queues(scheduler: Scheduler) -> c.Function:
    failed = c.Name("failed")
    body: list[c.Stmt] = [c.Var("failed", c.Named("s32"), c.ZERO)]
    for f in scheduler.queues:
        make = c.assign(failed, c.call("ts_create", queue_of(f), many_of(f)))
        body.append(c.If(c.negated(failed), c.Block((make,))))
    body.append(c.Return(failed))
    return c.Function(f"{PREFIX}_queues", c.Named("s32"), (), c.Block(tuple(body)), prefix="TS_INLINE")


def _longest(scheduler: Scheduler) -> c.Function:
    """The longest that the first task of a queue has waited."""
    longest, waited = c.Name("longest"), c.Name("waited")
    body: list[c.Stmt] = [c.Var("longest", S64, c.ZERO)]
    for f in scheduler.queues:
        ask = c.Var("waited", S64, c.call("ts_longest", queue_of(f), many_of(f)))
        more = c.If(c.Binary(">", waited, longest), c.Block((c.assign(longest, waited),)))
        body.append(c.Block((ask, more)))
    body.append(c.Return(longest))
    return c.Function(f"{PREFIX}_longest_wait", S64, (), c.Block(tuple(body)), prefix="TS_INLINE")


def source(scheduler: Scheduler, *, marks: bool = True) -> str:
    """The object's C."""
    return render(f"{PREFIX}.bpf.c", declarations(scheduler), marks)


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


def emit(scheduler: Scheduler) -> Artifact:
    """`policy.bpf.c`, and what it includes."""
    return Artifact({f"{PREFIX}.bpf.c": source(scheduler).encode()} | runtime())
