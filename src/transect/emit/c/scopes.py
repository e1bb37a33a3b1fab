# SPDX-License-Identifier: Apache-2.0
"""Where the locals of a function are declared in C: at their first assignment, when that is in the innermost block
which holds all their uses and comes before every other; else early, at the function's start, with a zero.
"""

from __future__ import annotations

from collections.abc import Iterator

from transect.core import ir
from transect.core.ir import Block, Stmt
from transect.core.walk import Node, walk


def occurring(node: Node) -> Iterator[str]:
    """The locals that a node reads or binds, itself and below."""
    for inner in walk(node):
        match inner:
            case ir.Local(name=name) | ir.Let(name=name) | ir.LocalPlace(name=name):
                yield name
            case ir.For(targets=targets):
                yield from targets
            case ir.MatchAny(name=str(name)):
                yield name
            case _:
                pass


def binds(node: object) -> tuple[str, ...]:
    """The locals that a node itself gives a value."""
    match node:
        case ir.Let(name=name) | ir.LetIn(name=name) | ir.LocalPlace(name=name):
            return (name,)
        case ir.For(targets=targets):
            return targets
        case ir.MatchAny(name=str(name)):
            return (name,)
        case _:
            return ()


def _blocks(s: Stmt) -> list[Block]:
    match s:
        case ir.If(then=then, orelse=orelse):
            return [then, orelse]
        case ir.Switch(cases=cases):
            return [case.body for case in cases]
        case ir.For(body=body):
            return [body]
        case _:
            return []


def _header(s: Stmt) -> set[str]:
    """The locals that a compound statement reads or binds outside of its blocks."""
    match s:
        case ir.If(cond=cond):
            return set(occurring(cond))
        case ir.For(source=source):
            return set(occurring(source))
        case ir.Switch(subject=subject, cases=cases):
            names = set(occurring(subject))
            for case in cases:
                names |= set(occurring(case.pattern))
                if case.guard is not None:
                    names |= set(occurring(case.guard))
            return names
        case _:
            return set(occurring(s))


class Homes:
    """Where each local of a function is declared."""

    def __init__(self, function: ir.Function) -> None:
        self._at: dict[str, int] = {}  # local → id of the Let or For that declares it
        self._rewritten: set[int] = set()  # ids of the loops whose body assigns to a target
        self._known: dict[int, frozenset[str]] = {}  # id of a statement → the locals in it
        params = {p.name for p in function.params}
        names = frozenset[str]().union(*map(self._in, function.body)) - params
        for name in names:
            self._settle(name, function.body)
        # In the order of declaration, so that the text does not depend on hashing.
        self.early = [n for n, _ in function.locals if n in names and n not in self._at]
        for s in function.body:
            for node in walk(s):
                if isinstance(node, ir.For) and self._assigns(node):
                    self._rewritten.add(id(node))

    def _assigns(self, loop: ir.For) -> bool:
        """Whether anything in the loop's body binds one of its targets, an inner loop or a pattern too."""
        bound = {name for s in loop.body for node in walk(s) for name in binds(node)}
        return not bound.isdisjoint(loop.targets)

    def _in(self, s: Stmt) -> frozenset[str]:
        """The locals that a statement of the function reads or binds."""
        if id(s) not in self._known:
            self._known[id(s)] = frozenset(occurring(s))
        return self._known[id(s)]

    def _settle(self, name: str, block: Block) -> None:
        holding = [s for s in block if name in self._in(s)]
        first = holding[0]
        if isinstance(first, ir.Let) and first.name == name and name not in set(occurring(first.value)):
            self._at[name] = id(first)
            return
        if len(holding) > 1 or name in _header(first):
            return
        if isinstance(first, ir.For) and name in first.targets:
            self._at[name] = id(first)
            return
        inner = [b for b in _blocks(first) if any(name in self._in(s) for s in b)]
        if len(inner) == 1:
            self._settle(name, inner[0])

    def declares(self, name: str, s: object) -> bool:
        """Whether this statement is where the local is declared."""
        return self._at.get(name) == id(s)

    def rewrites(self, loop: ir.For) -> bool:
        """Whether the loop's body assigns to a target."""
        return id(loop) in self._rewritten
