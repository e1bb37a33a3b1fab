# SPDX-License-Identifier: Apache-2.0
"""Events that the checker cannot rule out, counted at run time by the policy's line: each is allowed, many are a sign.

moved     `select` sent a task that woke up to another CPU than the one where it ran last
stolen    `steal` gave a CPU a task that waited for another one, another node, or in any lane
affinity  a task was put into the queue of a CPU on which it may not run: it waits there until somebody steals it
beyond    `on` was asked for the queue of a CPU or node that does not exist, and gave the first one
"""

from __future__ import annotations

from collections.abc import Iterator

from transect.core import ir
from transect.core.ir import Function, Program
from transect.core.walk import walk
from transect.cpu.calls import STEALS
from transect.cpu.context import is_cpu, is_node

Site = tuple[str, str, int]  # the kind of event, and the path and line where it happens

PUTS = ("cpu.Fifo.put", "cpu.Fifo.put_for", "cpu.Timeline.put", "cpu.Timeline.put_for")
ON = ("cpu.Fifos.on", "cpu.Timelines.on")
ON_NODE = ("cpu.NodeFifos.on", "cpu.NodeTimelines.on")


def sites(program: Program) -> tuple[Site, ...]:
    """Where events are counted, in the order of the counters."""
    return tuple(sorted({site for f in (*program.functions, *program.handlers) for site in _of(f)}))


def _of(function: Function) -> Iterator[Site]:
    if moving(function):
        yield "moved", function.span.path, function.span.line
    for s in function.body:
        for part in walk(s):
            if isinstance(part, ir.Intrinsic) and (what := counted(part, function)):
                yield what, part.span.path, part.span.line


def moving(function: Function) -> bool:
    """Whether it is a `select` that the policy defines; the kernel's own choice has no line in the policy."""
    return function.name == "select" and not function.default


def counted(e: ir.Intrinsic, function: Function) -> str:
    """The kind of event that is counted at a call; empty: nothing.  A put at `task.cpu` is never where the task may not
    run.
    """
    if e.name in STEALS:
        return "stolen"
    match e:
        case ir.Intrinsic(name=name, args=(_, cpu)) if name in ON:
            return "" if is_cpu(cpu, function) or _is_first(cpu) else "beyond"
        case ir.Intrinsic(name=name, args=(_, node)) if name in ON_NODE:
            return "" if is_node(node, function) or _is_first(node) else "beyond"
        case ir.Intrinsic(name=name, args=(ir.Intrinsic(name=on, args=(_, cpu)), *_)) if name in PUTS:
            return "affinity" if on in ON and not is_cpu(cpu, function) else ""
    return ""


def _is_first(number: ir.Expr) -> bool:
    return isinstance(number, ir.Const) and number.value == 0
