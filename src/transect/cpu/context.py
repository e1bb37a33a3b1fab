# SPDX-License-Identifier: Apache-2.0
"""What each operation of the kernel must look up for a task before it calls the policy, if anything.

Nothing is looked up that a hook does not use; and a number that the kernel itself gave as a CPU's is not tested again.
"""

from __future__ import annotations

from collections.abc import Iterator

from transect.core import ir
from transect.core.effects import Facts
from transect.core.ir import Expr, FieldKind, Function, Program
from transect.core.types import ViewType
from transect.core.walk import walk

USED = "cpu.Task.used"
IDLE, HERE, NODE = "cpu.idle_cpu", "cpu.here", "cpu.node_of"
CPU_OF = {"select": 1, "keep": 1, "dispatch": 0, "alarm": 0}  # the parameter that is a CPU


class Context:
    """The context of a flat program."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.facts = Facts(program)
        self.kinds = {f.name: f.kind for f in program.state}
        self.functions = {f.name: f for f in program.functions}

    def own(self, *hooks: str) -> bool:
        """Whether one of the hooks uses what is kept for the task."""
        kept = any(self.kinds.get(field) is FieldKind.LOCAL for field in self._fields(hooks))
        return kept or any(
            isinstance(part, ir.Intrinsic) and part.name == USED
            for f in self._all(hooks)
            for part in parts(f)
        )

    def _handlers(self, hooks: tuple[str, ...]) -> Iterator[Function]:
        return (h for h in self.program.handlers if h.name in hooks)

    def _fields(self, hooks: tuple[str, ...]) -> Iterator[str]:
        for handler in self._handlers(hooks):
            found = self.facts.of(handler)
            yield from (access.field for access in found.reads)
            yield from (access.field for access in found.writes)

    def _all(self, hooks: tuple[str, ...]) -> Iterator[Function]:
        """The handlers and the helpers that they call."""
        waiting, seen = list(self._handlers(hooks)), set()
        while waiting:
            function = waiting.pop()
            yield function
            for part in parts(function):
                if isinstance(part, ir.Call) and part.function not in seen:
                    seen.add(part.function)
                    waiting.append(self.functions[part.function])

    def chooses_a_cpu(self) -> bool:
        """Whether everything that `select` returns is certain to be a CPU's number."""
        handler = self.program.handler("select")
        assert handler is not None, "every scheduler selects"
        values = [part.value for part in parts(handler) if isinstance(part, ir.Return)]
        return all(value is not None and is_cpu(value, handler) for value in values)


def parts(function: Function) -> Iterator[object]:
    for s in function.body:
        yield from walk(s)


def is_cpu(e: Expr, function: Function) -> bool:
    """Whether the kernel gave that number as a CPU's: a hook's parameter, `task.cpu`, `here()`, an idle CPU."""
    match e:
        case ir.Intrinsic(name=name):
            return name == HERE
        case ir.ViewField(base=base, name="cpu"):
            return isinstance(base.type, ViewType) and base.type.name == "Task"
        case ir.Unwrap(value=value):
            return _is_idle(value, function)
        case ir.Local(name=name):
            bound = _bound(name, function)
            at = CPU_OF.get(function.name)
            given = at is not None and function.params[at].name == name
            if given:
                return all(is_cpu(value, function) for value in bound if value != e)
            return bool(bound) and all(is_cpu(value, function) for value in bound if value != e)
        case _:
            return False


def is_node(e: Expr, function: Function) -> bool:
    """Whether the kernel gave that number as a node's."""
    match e:
        case ir.Intrinsic(name=name):
            return name == NODE
        case ir.Local(name=name):
            bound = _bound(name, function)
            return bool(bound) and all(is_node(value, function) for value in bound if value != e)
        case _:
            return False


def _is_idle(e: Expr, function: Function) -> bool:
    match e:
        case ir.Intrinsic(name=name):
            return name == IDLE
        case ir.Local(name=name):
            bound = _bound(name, function)
            return bool(bound) and all(isinstance(b, ir.Intrinsic) and b.name == IDLE for b in bound)
        case _:
            return False


def _bound(name: str, function: Function) -> list[Expr]:
    """All values that a local is set to; one that is set in another way (by a loop, a pattern) is no CPU."""
    lets = [part.value for part in parts(function) if isinstance(part, ir.Let) and part.name == name]
    others = [part for part in parts(function) if isinstance(part, ir.For) and name in part.targets]
    matched = [part for part in parts(function) if isinstance(part, ir.MatchAny) and part.name == name]
    span = function.span
    return [*lets, *(ir.Const(0, type=function.returns, span=span) for _ in (*others, *matched))]
