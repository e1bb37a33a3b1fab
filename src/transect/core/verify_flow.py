# SPDX-License-Identifier: Apache-2.0
"""What must hold along the paths of a function: locals are bound before they are read, loops end where they began,
every path returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import assert_never

from transect.base.span import Span
from transect.core import ir
from transect.core.ir import Expr, Function
from transect.core.patterns import exhaustive
from transect.core.types import OptionType, UnitType
from transect.core.walk import children

Names = frozenset[str]
Report = Callable[[str, str, Span], None]  # code, message, where


class Flow:
    """One function's paths.  A path is described by the names bound on it; None for a path that has ended."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def function(self, f: Function, must_return: bool) -> bool:
        """Whether the end of the function can be reached."""
        names = self.block(f.body, frozenset(p.name for p in f.params), loops=0)
        # Falling off the end returns None, as in Python.
        if must_return and names is not None and not isinstance(f.returns, UnitType | OptionType):
            self.report("I007", f"a path of {f.name} ends without a return", f.span)
        return names is not None

    def block(self, block: ir.Block, names: Names | None, loops: int) -> Names | None:
        for s in block:
            # What follows a return is still looked at, as if it were reached with every name.
            names = self.statement(s, names, loops)
        return names

    def statement(self, s: ir.Stmt, names: Names | None, loops: int) -> Names | None:
        match s:
            case ir.Let(name=name, value=value):
                self.expr(value, names)
                return None if names is None else names | {name}
            case ir.Store(place=place, value=value) | ir.Update(place=place, value=value):
                self.place(place, names)
                self.expr(value, names)
                return names
            case ir.Remove(key=value) | ir.Do(value=value):
                self.expr(value, names)
                return names
            case ir.If(cond=cond, then=then, orelse=orelse):
                self.expr(cond, names)
                return _joined([self.block(then, names, loops), self.block(orelse, names, loops)])
            case ir.Switch():
                return self.switch(s, names, loops)
            case ir.For(targets=targets, source=source, body=body):
                self.source(source, names)
                self.block(body, None if names is None else names | set(targets), loops + 1)
                return names
            case ir.Break() | ir.Continue():
                if not loops:
                    self.report("I006", f"{type(s).__name__} outside of a loop", s.span)
                return None
            case ir.Return(value=returned):
                if returned is not None:
                    self.expr(returned, names)
                return None
            case ir.Pass():
                return names
            case _:
                assert_never(s)

    def switch(self, s: ir.Switch, names: Names | None, loops: int) -> Names | None:
        self.expr(s.subject, names)
        ends: list[Names | None] = []
        for case in s.cases:
            inner = None if names is None else names | set(pattern_names(case.pattern))
            if case.guard is not None:
                self.expr(case.guard, inner)
            ends.append(self.block(case.body, inner, loops))
        if not exhaustive([c.pattern for c in s.cases if c.guard is None], s.subject.type):
            ends.append(names)
        return _joined(ends)

    def place(self, place: ir.Place, names: Names | None) -> None:
        match place:
            case ir.StatePlace():
                pass
            case ir.EntryPlace(key=e) | ir.ViewPlace(base=e):
                self.expr(e, names)
            case ir.LocalPlace(name=name):
                self.read(name, names, place.span)
            case _:
                assert_never(place)

    def source(self, source: ir.Source, names: Names | None) -> None:
        for child in children(source):
            self.expr(child, names)  # type: ignore[arg-type]  # a source holds expressions only

    def read(self, name: str, names: Names | None, span: Span) -> None:
        if names is not None and name not in names:
            self.report("I003", f"{name} is read on a path which has not bound it", span)

    def expr(self, e: Expr, names: Names | None) -> None:
        match e:
            case ir.Local(name=name):
                self.read(name, names, e.span)
            case ir.LetIn(name=name, value=value, body=body):
                self.expr(value, names)
                self.expr(body, None if names is None else names | {name})
            case ir.Reduce(targets=targets, source=source, cond=cond, value=value, default=default):
                self.generator(targets, source, (cond, value), names)
                if default is not None:
                    self.expr(default, names)
            case ir.MakeSet(targets=targets, source=source, cond=cond, item=item):
                self.generator(targets, source, (cond, item), names)
            case _:
                for child in children(e):
                    self.expr(child, names)  # type: ignore[arg-type]  # the others hold expressions only

    def generator(
        self, targets: tuple[str, ...], source: ir.Source, inner: Iterable[Expr | None], names: Names | None
    ) -> None:
        self.source(source, names)
        never = isinstance(source, ir.OverRange) and source.bound == 0  # an empty set, spelled
        for e in inner:
            if e is not None:
                self.expr(e, None if names is None or never else names | set(targets))


def pattern_names(pattern: ir.Pattern) -> Iterable[str]:
    """The names that a pattern binds."""
    if isinstance(pattern, ir.MatchAny):
        return [pattern.name] if pattern.name is not None else []
    if isinstance(pattern, ir.MatchConst):
        return []
    return [name for child in children(pattern) for name in pattern_names(child)]  # type: ignore[arg-type]


def _joined(ends: list[Names | None]) -> Names | None:
    going = [names for names in ends if names is not None]
    return frozenset.intersection(*going) if going else None
