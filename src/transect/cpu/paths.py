# SPDX-License-Identifier: Apache-2.0
"""One path through a function: how often it has put the task, and which of its locals are known to be true or false.

A local is known after it was set to a constant or to what a helper returns, and after a test of it.  So a flag that
says whether the task has been put is followed: `if not done: self.ready.put(task)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from transect.base.span import Span
from transect.core import ir
from transect.core.ir import Expr, UnaryOp
from transect.core.walk import walk

MOST = 256  # paths at one point; if there were more, what they know of locals is dropped
SOME = " is some"  # suffix of a local's name: whether it is not None


@dataclass(frozen=True, slots=True)
class Path:
    """A path from the start of a function to some point."""

    puts: int = 0  # 2: twice or more
    at: Span | None = None  # the last put
    known: frozenset[tuple[str, bool]] = frozenset()
    result: bool | None = None  # what the function that was just left returned, if known

    def put(self, at: Span) -> Path:
        return replace(self, puts=min(self.puts + 1, 2), at=at)

    def entered(self, given: Iterable[tuple[str, bool | None]]) -> Path:
        """The path as it enters a helper with these arguments."""
        return replace(self, known=frozenset((name, value) for name, value in given if value is not None))

    def bind(self, name: str, value: Expr) -> Path:
        """The path after a local was set to an expression."""
        bare = self.without(name)
        if isinstance(value, ir.Some) or (isinstance(value, ir.Const) and value.value is None):
            return bare._with(name + SOME, isinstance(value, ir.Some))
        if isinstance(value, ir.Local):
            other = (self._of(value.name), self._of(value.name + SOME))
            return bare._with(name, other[0])._with(name + SOME, other[1])
        return bare._with(name, self.holds(value))

    def without(self, *names: str) -> Path:
        """The path with nothing known of these locals."""
        gone = {*names, *(name + SOME for name in names)}
        return replace(self, known=frozenset(fact for fact in self.known if fact[0] not in gone))

    def told(self, name: str, value: bool | None) -> Path:
        """The path after a local was set to a known value, or to an unknown one."""
        return self.without(name)._with(name, value)

    def _with(self, fact: str, value: bool | None) -> Path:
        return self if value is None else replace(self, known=self.known | {(fact, value)})

    def _of(self, fact: str) -> bool | None:
        return next((value for name, value in self.known if name == fact), None)

    def holds(self, e: Expr) -> bool | None:
        """Whether a condition is true on this path; None: it may be either."""
        match e:
            case ir.Const(value=bool(value)):
                return value
            case ir.Local(name=name):
                return self._of(name)
            case ir.IsSome(value=ir.Local(name=name)):
                return self._of(name + SOME)
            case ir.Unary(op=UnaryOp.NOT, operand=operand):
                inner = self.holds(operand)
                return None if inner is None else not inner
            case ir.Logic(conjunction=conjunction, left=left, right=right):
                sides = (self.holds(left), self.holds(right))
                decides = not conjunction  # either side alone
                return decides if decides in sides else None if None in sides else conjunction
            case _:
                return None

    def where(self, cond: Expr, is_true: bool) -> Path | None:
        """The path after a test with that result; None if the test never has it on this path."""
        if self.holds(cond) is (not is_true):
            return None
        match cond:
            case ir.Local(name=name):
                return self._with(name, is_true)
            case ir.IsSome(value=ir.Local(name=name)):
                return self._with(name + SOME, is_true)
            case ir.Unary(op=UnaryOp.NOT, operand=operand):
                return self.where(operand, not is_true)
            case ir.Logic(conjunction=conjunction, left=left, right=right) if conjunction is is_true:
                first = self.where(left, is_true)
                return None if first is None else first.where(right, is_true)
            case _:
                return self


def tested(paths: Iterable[Path], cond: Expr, is_true: bool) -> frozenset[Path]:
    """The paths that continue after a test."""
    found = (path.where(cond, is_true) for path in paths)
    return frozenset(path for path in found if path is not None)


def few(paths: frozenset[Path]) -> frozenset[Path]:
    """At most as many paths as can be followed."""
    if len(paths) <= MOST:
        return paths
    return frozenset(replace(path, known=frozenset()) for path in paths)


def bound_by(patterns: Iterable[ir.Pattern]) -> Iterator[str]:
    """Locals that patterns set."""
    for pattern in patterns:
        yield from (p.name for p in walk(pattern) if isinstance(p, ir.MatchAny) and p.name is not None)
