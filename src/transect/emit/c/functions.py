# SPDX-License-Identifier: Apache-2.0
"""Handlers and helpers as C functions: what every one of them begins with, and what compilers want said."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from transect.core import ir
from transect.emit.c import tree as c
from transect.emit.c.layout import value_type
from transect.emit.c.names import Names
from transect.emit.c.statements import Statements
from transect.emit.c.unit import Unit

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


# ---------------------------------------------------------------- what is not used


def used(params: Iterable[c.Var], body: tuple[c.Stmt, ...]) -> tuple[c.Stmt, ...]:
    """The body, with a `(void)x;` for each parameter and variable that nothing reads."""
    read = {name for s in body for name in _read(s)}
    unused = [_void(p.name) for p in params if p.name not in read]
    return (*unused, *_noted(body, read))


def _void(name: str) -> c.Stmt:
    return c.Do(c.Cast(c.VOID, c.Name(name)))


def _read(node: object) -> Iterator[str]:
    match node:
        case c.Name(name=name):
            yield name
        case c.Assign(op="=", target=target, value=value):
            yield from _read(value)
            if not _own(target):
                yield from _read(target)
        case _:
            for child in c.children(node):
                yield from _read(child)


def _own(target: c.Expr) -> bool:
    """Whether an assignment changes a variable itself, or a part of it."""
    match target:
        case c.Name():
            return True
        case c.Member(base=base, arrow=False):
            return _own(base)
        case _:
            return False


def _noted(body: tuple[c.Stmt, ...], read: set[str]) -> tuple[c.Stmt, ...]:
    out: list[c.Stmt] = []
    for s in body:
        out.append(_within(s, read))
        if isinstance(s, c.Var) and s.name not in read:
            out.append(_void(s.name))
    return tuple(out)


def _within(s: c.Stmt, read: set[str]) -> c.Stmt:
    match s:
        case c.Block(body=body):
            return c.Block(_noted(body, read))
        case c.If(then=then, orelse=orelse):
            last = _within(orelse, read) if orelse is not None else None
            assert last is None or isinstance(last, c.Block | c.If), "of the same kind"
            return replace(s, then=c.Block(_noted(then.body, read)), orelse=last)
        case c.For(body=body) | c.While(body=body):
            return replace(s, body=c.Block(_noted(body.body, read)))
        case _:
            return s
