# SPDX-License-Identifier: Apache-2.0
"""Ordered pick: `min(self.waiting, key=self.served.get)` without a loop.

An arg-min, or the minimum, over `waiting` of one tally becomes a question to an indexed heap of the waiting clients,
whose keys are (value, arrival): the intrinsics `waiting.argmin` and `waiting.min`, whose argument, a constant text,
names the tally.  They read `waiting` and that tally; an emitter hoists them, and keeps the heap in step: it moves a
waiting client whenever the client's entry of the tally is stored, updated or removed, and the adapter's changes of
`waiting` enter and take out members.  A tie goes to the client that has waited longest, as in the loop.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from transect.core import ir
from transect.core.effects import Facts, nodes
from transect.core.ir import CompareOp, Expr, Program, ReduceOp, TableRead
from transect.core.passes.build import Build
from transect.core.types import INT, TEXT, DurationType, FloatType, InstantType, IntType, TableKind, TableType
from transect.core.walk import map_children

ARGMIN, MIN = "waiting.argmin", "waiting.min"
WAITING = "waiting"
_NAMES = {ReduceOp.ARGMIN: ARGMIN, ReduceOp.MIN: MIN}


def ordered_pick(program: Program) -> Program:
    """The program with each ordered pick and ordered minimum as a question to a heap."""
    facts = Facts(program)
    return replace(
        program,
        functions=tuple(_rewritten(f, program, facts) for f in program.functions),
        handlers=tuple(_rewritten(h, program, facts) for h in program.handlers),
    )


def heaps(program: Program) -> tuple[str, ...]:
    """The tallies by which some pick or minimum orders the waiting clients, in the order of the program's state."""
    functions = (*program.functions, *program.handlers)
    asked = {heap_asked(node) for function in functions for node in nodes(function)}
    return tuple(f.name for f in program.state if f.name in asked)


def heap_asked(node: object) -> str | None:
    """The tally of whose heap the node is a question; None when it is another node."""
    match node:
        case ir.Intrinsic(name="waiting.argmin" | "waiting.min", args=(ir.Const(value=str(field)),)):
            return field
        case _:
            return None


def _rewritten(function: ir.Function, program: Program, facts: Facts) -> ir.Function:
    def rewrite(node: Any) -> Any:
        inner = map_children(node, rewrite)
        if isinstance(inner, ir.Reduce) and (field := _tally(inner, program)):
            return _question(inner, field, facts)
        return inner

    return replace(function, body=tuple(map(rewrite, function.body)))


def _tally(e: ir.Reduce, program: Program) -> str | None:
    """The tally whose smallest entry among the waiting clients the reduction looks for."""
    match e:
        case ir.Reduce(
            op=ReduceOp.MIN | ReduceOp.ARGMIN,
            targets=(target,),
            source=ir.OverValue(value=ir.State(field="waiting")),
            cond=None,
            value=value,
        ):
            pass
        case _:
            return None
    while isinstance(value, ir.Cast) and value.type == INT:  # narrow storage, widened
        value = value.value
    match value:
        case ir.Lookup(op=TableRead.TOTAL, field=field, args=(ir.Local(name=name),)) if name == target:
            declared = program.field(field).type
            return field if _has_an_order(declared) else None
        case _:
            return None


def _has_an_order(t: object) -> bool:
    return (
        isinstance(t, TableType)
        and t.kind is TableKind.TALLY
        and isinstance(t.value, IntType | FloatType | DurationType | InstantType)
    )


def _question(e: ir.Reduce, field: str, facts: Facts) -> Expr:
    """The question; if there is a default, only when a client waits.  A reduction with an effectful default stays as it
    is.
    """
    build = Build(e.span)
    asked = ir.Intrinsic(name=_NAMES[e.op], args=(build.const(field, TEXT),), type=e.type, span=e.span)
    if e.default is None:
        return asked
    if not facts.of(e.default).pure:
        return e
    assert isinstance(e.source, ir.OverValue), "found above"
    count = ir.Intrinsic(name="len", args=(e.source.value,), type=INT, span=e.span)
    return build.choose(build.compare(CompareOp.GT, count, build.const(0, INT)), asked, e.default)
