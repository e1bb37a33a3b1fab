# SPDX-License-Identifier: Apache-2.0
"""A version that is watched: what its handlers ensure is checked after each call, in the kernel.

`@ensures` and `@invariant` are for `transect prove`, and ordinary targets ignore them.  While a new version is watched
after an upgrade, it runs in the form made here: each handler calls its own body, and then checks every condition.  The
first that does not hold is recorded for the loader, which brings the old version back.  On several CPUs a condition
also sees what others have stored since; so a condition about shared state must hold at any time.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from transect.base.diagnostic import Diagnostics
from transect.base.render import render_text
from transect.core import ir
from transect.core.frontend.contracts import Contract, bare, compile_contracts, contracted
from transect.core.ir import Effect, Function, IntrinsicDecl, Param, Program, UnaryOp
from transect.core.types import BOOL, INT, UNIT, UnitType
from transect.cpu.check import refused


class Invalid(Exception):
    """The policy cannot be put in force; the text is the rendered diagnostics."""


BROKEN = "cpu.broken"  # says which condition did not hold
RESULT = "_result"  # the handler's result, for its conditions


def read_watched(path: Path) -> Program | None:
    """The scheduler of a file in the form that is watched; None if it promises nothing that can be checked there.

    Raises `Invalid` if its promises make no sense.
    """
    compiled = compile_contracts(path)
    diagnostics = Diagnostics()
    for diagnostic in compiled.diagnostics:
        diagnostics.add(diagnostic)
    if diagnostics.failed:
        raise Invalid(render_text(diagnostics, compiled.sources))
    programs = [p for p in compiled.programs if p.base == "cpu.Scheduler"]
    return watched(programs[0]) if len(programs) == 1 else None


def conditions(program: Program) -> list[Contract]:
    """The contracts of a program for which BPF has a form, in their order."""
    spans = [d.span for d in refused(program)]
    kept = [c for c in contracted(program).contracts if c.kind != "requires"]
    return [c for c in kept if not any(_within(span.line, c.function) for span in spans)]


def _within(line: int, function: Function) -> bool:
    return function.span.line <= line <= max(function.span.line, function.span.end_line)


def watched(program: Program) -> Program | None:
    """The program in the form that checks its conditions; None if it has none."""
    found = conditions(program)
    if not found:
        return None
    plain = bare(program)
    functions, handlers = [*plain.functions, *(c.function for c in found)], []
    for handler in plain.handlers:
        numbered = [(n, c) for n, c in enumerate(found, 1) if c.hook in ("", handler.name)]
        if handler.default or not numbered:
            handlers.append(handler)
            continue
        functions.append(replace(handler, name=f"_plain_{handler.name}"))
        handlers.append(_looking(handler, numbered))
    number = Param("number", INT, handlers[0].span)
    broken = IntrinsicDecl(BROKEN, (number,), UNIT, Effect.OUTSIDE_WRITE)
    return replace(
        plain,
        functions=tuple(functions),
        handlers=tuple(handlers),
        intrinsics=(*plain.intrinsics, broken),
    )


def _looking(handler: Function, numbered: list[tuple[int, Contract]]) -> Function:
    """The handler: its own body, then the conditions."""
    span = handler.span
    given: tuple[ir.Expr, ...] = tuple(ir.Local(p.name, type=p.type, span=span) for p in handler.params)
    call = ir.Call(f"_plain_{handler.name}", given, type=handler.returns, span=span)
    result = ir.Local(RESULT, type=handler.returns, span=span)
    unit = isinstance(handler.returns, UnitType)
    body: list[ir.Stmt] = [ir.Do(call, span) if unit else ir.Let(RESULT, call, span)]
    for number, c in numbered:
        args = () if not c.hook else given if unit else (*given, result)
        holds = ir.Call(c.function.name, args, type=BOOL, span=c.function.span)
        fails = ir.Unary(UnaryOp.NOT, holds, type=BOOL, span=c.function.span)
        which = ir.Const(number, type=INT, span=c.function.span)
        say = ir.Do(ir.Intrinsic(BROKEN, (which,), type=UNIT, span=c.function.span), c.function.span)
        body.append(ir.If(fails, (say,), (), c.function.span))
    if not unit:
        body.append(ir.Return(result, span))
    return replace(handler, body=tuple(body), locals=() if unit else ((RESULT, handler.returns),))
