# SPDX-License-Identifier: Apache-2.0
"""Statements of the tree as statements of Python, each at its own line.

`place op= value` becomes a store of `place op value`, which Python evaluates in the language's order if the value
changes no state; if it may, key and value get names first.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterable
from dataclasses import replace
from typing import assert_never

from transect.core import ir
from transect.core.ir import TableRead
from transect.core.passes.ordered_pick import ARGMIN, MIN
from transect.core.rules import PARTS_OF_TEXTS, widened
from transect.core.types import (
    BytesType,
    CounterType,
    HistogramType,
    TextType,
    Type,
)
from transect.core.values import size
from transect.core.walk import walk
from transect.emit.py import loops, nodes
from transect.emit.py.expressions import Expressions
from transect.emit.py.literals import inner_types
from transect.emit.py.nodes import SELF
from transect.emit.py.patterns import Patterns, alternatives
from transect.emit.py.scope import FROM_TAPE

# Not `|`: `|=` would change a set in place, which another name may hold, too.
AUGMENTED = (ast.Add, ast.Sub, ast.Mult, ast.BitAnd, ast.BitXor, ast.Div, ast.FloorDiv, ast.Mod)
PURE = frozenset(
    {
        "len",
        "abs",
        "startswith",
        "endswith",
        "contains",
        "now",
        "mul_div",
        "fits",
        *PARTS_OF_TEXTS,
        "parse_int",
        "hash64",
        "dict.get",
        "dict.get_or",
        ARGMIN,
        MIN,
    }
)


class Statements:
    """The statements of one function."""

    def __init__(self, expressions: Expressions, function: ir.Function) -> None:
        self.x = expressions
        self.function = function

    def block(self, block: ir.Block) -> list[ast.stmt]:
        return [node for s in block for node in self.at(s)] or [ast.Pass()]

    def at(self, s: ir.Stmt) -> list[ast.stmt]:
        return [self.x.places.put(node, s.span) for node in self._nodes(s)]

    def _nodes(self, s: ir.Stmt) -> list[ast.stmt]:
        match s:
            case ir.Let(name=name, value=value):
                return [assign(nodes.target(self.x.names[name]), self.x.owned(value))]
            case ir.Store(place=place, value=value):
                return self._store(place, value)
            case ir.Update():
                return self._update(s)
            case ir.Remove(field=field, key=key):
                entry = nodes.item(self.x.field(field), self.x.plain(key))
                return [ast.Delete([ast.Subscript(entry.value, entry.slice, ast.Del())])]
            case ir.Do(value=value):
                return [ast.Expr(self.x.plain(value))]
            case ir.If(cond=cond, then=then, orelse=orelse):
                return [ast.If(self.x.plain(cond), self.block(then), self.block(orelse) if orelse else [])]
            case ir.Switch():
                return [self._switch(s)]
            case ir.For(targets=targets, source=source, body=body):
                over = loops.source(self.x, source)
                names = nodes.targets([self.x.names[t] for t in targets])
                return [ast.For(names, over, self.block(body), [])]
            case ir.Break():
                return [ast.Break()]
            case ir.Continue():
                return [ast.Continue()]
            case ir.Return(value=value):
                return [ast.Return(None if value is None else self._returned(value))]
            case ir.Pass():
                return [ast.Pass()]
            case _:
                assert_never(s)

    def _returned(self, value: ir.Expr) -> ast.expr:
        # A local ends with the call, so nothing else holds it.
        return self.x.plain(value) if isinstance(value, ir.Local) else self.x.owned(value)

    # ---------------------------------------------------------------- match

    def _switch(self, s: ir.Switch) -> ast.stmt:
        subject = self.x.owned(s.subject)
        cases: list[ast.match_case] = []
        for case in s.cases:
            for pattern in alternatives(case.pattern):
                cases.append(self._case(case, pattern))
                if isinstance(pattern, ir.MatchAny) and case.guard is None:
                    return ast.Match(subject, cases)  # Python refuses cases that nothing can reach
        return ast.Match(subject, cases)

    def _case(self, case: ir.Case, pattern: ir.Pattern) -> ast.match_case:
        patterns = Patterns(self.x)
        node = self.x.places.put(patterns.node(pattern), case.span)
        guards = [*patterns.guards, *([] if case.guard is None else [self.x.plain(case.guard)])]
        guard = guards[0] if len(guards) == 1 else ast.BoolOp(ast.And(), guards) if guards else None
        return ast.match_case(node, guard, self.block(case.body))

    # ---------------------------------------------------------------- storing

    def _store(self, place: ir.Place, value: ir.Expr) -> list[ast.stmt]:
        match place:
            case ir.StatePlace(field=field, path=path, type=t):
                return self._store_bounded(field, path, t, value)
            case ir.EntryPlace(field=field, key=key, path=()):
                return [assign(nodes.item(self.x.field(field), self.x.plain(key)), self.x.plain(value))]
            case ir.EntryPlace(field=field, key=key, path=path):
                return self._store_in_entry(field, key, path, value)
            case ir.LocalPlace(name=name, path=path, type=t):
                return [assign(within(nodes.name(self.x.names[name]), path), self.x.made(t, value))]
            case ir.ViewPlace(base=base, name=name, type=t):
                made = self.x.made(t, value)
                return [assign(nodes.attribute(self.x.plain(base), name), made)]
            case _:
                assert_never(place)

    def _store_bounded(self, field: str, path: tuple[str, ...], t: Type, value: ir.Expr) -> list[ast.stmt]:
        """A store which a text beyond its bound turns into an overflow."""
        to = within(self.x.field(field), path)
        if not has_bound(t) or fits(t, value):
            return [assign(to, self.x.made(t, value))]
        simple = isinstance(value, ir.Local | ir.Const | ir.ViewField) and isinstance(t, TextType | BytesType)
        name = nodes.name("" if simple else self.x.names.fresh("new"))
        new = self.x.plain(value) if simple else name
        before: list[ast.stmt] = []
        if isinstance(t, TextType | BytesType):
            before = [] if simple else [nodes.assign(copy_of(name), self.x.plain(value))]
            fit: ast.expr = nodes.compare(nodes.call("size", new), ast.LtE(), nodes.constant(t.bound))
        else:
            stored = nodes.call(self.x.scope.maker(t, check=True), self.x.plain(value))
            before = [nodes.assign(copy_of(name), stored)]
            fit = nodes.compare(name, ast.IsNot(), nodes.name("MISFIT"))
        overflow = nodes.item(nodes.member(SELF, "__overflow__"), nodes.constant(field))
        count = ast.AugAssign(nodes.stored(overflow), ast.Add(), nodes.constant(1))  # type: ignore[arg-type]
        return [*before, ast.If(fit, [nodes.assign(to, copy_of(new))], [count])]

    def _store_in_entry(
        self, field: str, key: ir.Expr, path: tuple[str, ...], value: ir.Expr
    ) -> list[ast.stmt]:
        named: list[ast.stmt] = []
        if (has_effect(value) and not is_simple(key)) or (has_effect(key) and not is_simple(value)):
            value, named = self._named("new", value)
        names = nodes.tuple_of(map(nodes.constant, path))
        args = (self.x.plain(key), names, self.x.plain(value))
        return [*named, ast.Expr(nodes.method(self.x.field(field), "set_field", *args))]

    # ---------------------------------------------------------------- updating

    def _update(self, s: ir.Update) -> list[ast.stmt]:
        place, value = s.place, s.value
        if isinstance(place.type, CounterType | HistogramType) and isinstance(place, ir.StatePlace):
            count = "add" if isinstance(place.type, CounterType) else "observe"
            return [ast.Expr(nodes.method(self.x.field(place.field), count, self.x.plain(value)))]
        before: list[ast.stmt] = []
        risky = changes_state(value)
        match place:
            case ir.EntryPlace(key=key) if not is_simple(key):
                key, before = self._named("key", key)
                place = replace(place, key=key)
            case ir.ViewPlace(base=base) if risky or not is_simple(base):
                base, before = self._named("view", base)
                place = replace(place, base=base)
        if risky:
            value, more = self._named("value", value)
            before += more
        old = self._read(place)
        new = ir.Binary(s.op, old, value, type=widened(place.type), span=s.span)
        return [*before, *self._store(place, new)]

    def _named(self, wish: str, value: ir.Expr) -> tuple[ir.Expr, list[ast.stmt]]:
        """The value under a name, evaluated now."""
        name = self.x.names.fresh(wish)
        local = ir.Local(name, type=value.type, span=value.span)
        self.x.names.keep(name)
        return local, [nodes.assign(nodes.name(name), self.x.owned(value))]

    def _read(self, place: ir.Place) -> ir.Expr:
        """What the place holds."""
        span = place.span
        match place:
            case ir.StatePlace(field=field, path=path):
                return self._attributes(
                    ir.State(field, type=self._type_of(field), span=span), path, place.type
                )
            case ir.EntryPlace(field=field, key=key, path=path):
                entry = ir.Lookup(TableRead.AT, field, (key,), type=place.type, span=span)
                return self._attributes(entry, path, place.type)
            case ir.LocalPlace(name=name, path=path):
                return self._attributes(ir.Local(name, type=place.type, span=span), path, place.type)
            case ir.ViewPlace(base=base, name=name):
                return ir.ViewField(base, name, type=place.type, span=span)
            case _:
                assert_never(place)

    def _type_of(self, field: str) -> Type:
        return self.x.scope.fields[field].type

    def _attributes(self, base: ir.Expr, path: tuple[str, ...], t: Type) -> ir.Expr:
        for name in path:
            base = ir.Attr(base, name, type=t, span=base.span)
        return base


# ---------------------------------------------------------------- places


def within(base: ast.expr, path: Iterable[str]) -> ast.expr:
    for name in path:
        base = nodes.attribute(base, name)
    return base


def copy_of(node: ast.expr) -> ast.expr:
    """Another node that says the same."""
    return copy.deepcopy(node)


def assign(to: ast.expr, value: ast.expr) -> ast.stmt:
    """`to = value`, or `to op= …` when that is what it says."""
    if isinstance(value, ast.BinOp) and isinstance(value.op, AUGMENTED) and same(to, value.left):
        place = nodes.stored(to)
        return ast.AugAssign(place, value.op, value.right)  # type: ignore[arg-type]
    return nodes.assign(to, value)


def same(a: ast.expr, b: ast.expr) -> bool:
    return ast.unparse(a) == ast.unparse(b)


# ---------------------------------------------------------------- facts


def is_simple(e: ir.Expr) -> bool:
    """Whether reading it twice, or later, gives the same and costs nothing."""
    return isinstance(e, ir.Const | ir.Local)


def changes_state(e: ir.Expr) -> bool:
    """Whether evaluating the expression may change state or outside data."""
    return any(
        isinstance(n, ir.Call)
        or (isinstance(n, ir.Lookup) and n.op in (TableRead.POP_FIRST, TableRead.PUT))
        or (isinstance(n, ir.Intrinsic) and n.name not in (*PURE, *FROM_TAPE))
        for n in walk(e)
    )


def has_effect(e: ir.Expr) -> bool:
    """Whether the time of evaluation matters although state stays the same."""
    return changes_state(e) or any(isinstance(n, ir.Intrinsic) and n.name not in PURE for n in walk(e))


def has_bound(t: Type) -> bool:
    """Whether a text anywhere in it has a bound."""
    if isinstance(t, TextType | BytesType):
        return t.bound is not None
    return any(map(has_bound, inner_types(t)))


def fits(t: Type, value: ir.Expr) -> bool:
    """Whether the value is certainly within its bound."""
    if isinstance(value, ir.Const) and value.value is None:
        return True
    if (
        isinstance(value, ir.Const)
        and isinstance(value.value, str | bytes)
        and isinstance(t, TextType | BytesType)
    ):
        return t.bound is None or size(value.value) <= t.bound
    return value.type == t and isinstance(value, ir.State | ir.Lookup)
