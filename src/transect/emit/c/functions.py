# SPDX-License-Identifier: Apache-2.0
"""Handlers and helpers as C functions: their common first lines, and the hints that compilers need."""

from __future__ import annotations

from dataclasses import replace

from transect.core import ir
from transect.emit.c import tree as c
from transect.emit.c.layout import value_type
from transect.emit.c.names import Names
from transect.emit.c.statements import Statements
from transect.emit.c.unit import Unit
from transect.emit.c.unused import used

_TAKEN = ("self", "local", "call")


def prototype(unit: Unit, function: ir.Function) -> c.Function:
    """The declaration of a handler or helper."""
    return _head(unit, function, _names(unit, function))


def _names(unit: Unit, function: ir.Function) -> Names:
    """Names of a function's locals; the parameters come first."""
    names = Names(_TAKEN)
    for p in function.params:
        names.of(p.name)
    return names


def _head(unit: Unit, function: ir.Function, names: Names) -> c.Function:
    params = [c.Var(names.of(p.name), value_type(unit, p.type)) for p in function.params]
    return c.Function(
        unit.function(function.name),
        value_type(unit, function.returns),
        (*unit.context(), *params),
        None,
    )


def definition(unit: Unit, function: ir.Function, *, static: bool) -> list[c.Decl]:
    """The function with its body, which lies on the policy's lines."""
    names = _names(unit, function)
    head = _head(unit, function, names)
    body = Statements(unit, names, function).body()
    return [
        c.At(function.span.path, function.span.line) if function.span.line else c.Here(),
        replace(head, body=c.Block(used(head.params, body)), prefix="static" if static else ""),
        c.Here(),
    ]


def reachable(program: ir.Program) -> tuple[ir.Function, ...]:
    """The helpers that some handler calls, each after those that it calls."""
    from transect.core.effects import nodes

    wanted: set[str] = set()
    for function in (*program.handlers, *reversed(program.functions)):
        if function in program.handlers or function.name in wanted:
            wanted |= {node.function for node in nodes(function) if isinstance(node, ir.Call)}
    return tuple(f for f in program.functions if f.name in wanted)
