# SPDX-License-Identifier: Apache-2.0
"""Patterns of `match`.  Python has none for "any value but None" and allows no alternatives that always match, so an
option which is tested for a value gets a guard, and such alternatives become cases of their own."""

from __future__ import annotations

import ast
import itertools
from dataclasses import dataclass, field
from typing import assert_never

from transect.core import ir
from transect.emit.py import nodes
from transect.emit.py.expressions import Expressions
from transect.emit.py.literals import literal


@dataclass
class Patterns:
    """One pattern, with the guards that it needs beside it."""

    expressions: Expressions
    guards: list[ast.expr] = field(default_factory=list)

    def node(self, p: ir.Pattern) -> ast.pattern:
        match p:
            case ir.MatchAny(name=name):
                return ast.MatchAs(None, None if name is None else self.expressions.names[name])
            case ir.MatchConst(value=const) if const.value is None or isinstance(const.value, bool):
                return ast.MatchSingleton(const.value)
            case ir.MatchConst(value=const):
                return ast.MatchValue(literal(const.type, const.value, self.expressions.scope.classes))
            case ir.MatchSome(inner=ir.MatchAny(name=name)):
                names = self.expressions.names
                known = names.fresh("found") if name is None else names[name]
                self.guards.append(nodes.compare(nodes.name(known), ast.IsNot(), nodes.constant(None)))
                return ast.MatchAs(None, known)
            case ir.MatchSome(inner=inner):
                return self.node(inner)
            case ir.MatchTuple(items=items):
                return ast.MatchSequence([self.node(i) for i in items])
            case ir.MatchStruct(type=t, fields=fields):
                cls = nodes.name(self.expressions.scope.classes[t.name])
                return ast.MatchClass(
                    cls, [], [name for name, _ in fields], [self.node(f) for _, f in fields]
                )
            case ir.MatchOr(options=options):
                return ast.MatchOr([self.node(o) for o in options])
            case _:
                assert_never(p)


def alternatives(p: ir.Pattern) -> list[ir.Pattern]:
    """The pattern, or several which together match the same, in the same order, each fit for one case."""
    match p:
        case ir.MatchOr(options=options):
            parts = [part for option in options for part in alternatives(option)]
            apart = any(isinstance(part, ir.MatchAny) or _needs_guard(part) for part in parts)
            return parts if apart else [ir.MatchOr(tuple(parts))]
        case ir.MatchSome(inner=inner):
            return [ir.MatchSome(i) for i in alternatives(inner)]
        case ir.MatchTuple(items=items):
            return [ir.MatchTuple(chosen) for chosen in itertools.product(*map(alternatives, items))]
        case ir.MatchStruct(type=t, fields=fields):
            names = [name for name, _ in fields]
            choices = itertools.product(*(alternatives(f) for _, f in fields))
            return [ir.MatchStruct(t, tuple(zip(names, chosen, strict=True))) for chosen in choices]
        case _:
            return [p]


def _needs_guard(p: ir.Pattern) -> bool:
    match p:
        case ir.MatchSome(inner=inner):
            return isinstance(inner, ir.MatchAny) or _needs_guard(inner)
        case ir.MatchTuple(items=items):
            return any(map(_needs_guard, items))
        case ir.MatchStruct(fields=fields):
            return any(_needs_guard(f) for _, f in fields)
        case _:
            return False
