# SPDX-License-Identifier: Apache-2.0
"""Parameters and variables that nothing reads: each gets a `(void)x;`, so that compilers do not warn of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from transect.emit.c import tree as c


def used(params: Iterable[c.Var], body: tuple[c.Stmt, ...]) -> tuple[c.Stmt, ...]:
    """The body, with a `(void)x;` for each parameter and variable that nothing reads."""
    read: set[str] = set()
    for s in body:
        _read(s, read)
    unused = [_void(p.name) for p in params if p.name not in read]
    return (*unused, *_noted(body, read))


def _void(name: str) -> c.Stmt:
    return c.Do(c.Cast(c.VOID, c.Name(name)))


def _read(node: object, read: set[str]) -> None:
    """Adds the names that are read in it."""
    match node:
        case c.Name(name=name):
            read.add(name)
        case c.Assign(op="=", target=target, value=value):
            _read(value, read)
            if not _own(target):
                _read(target, read)
        case _:
            for child in c.children(node):
                _read(child, read)


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
        case c.For(body=body) | c.Each(body=body) | c.While(body=body):
            return replace(s, body=c.Block(_noted(body.body, read)))
        case _:
            return s
