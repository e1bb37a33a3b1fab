# SPDX-License-Identifier: Apache-2.0
"""`all` and `any` over the entries of a table whose entries change: by induction, entry by entry.

Each entry of a table was there at first or was written since.  So a condition that depends only on one entry (and on
nothing else in the table) holds for all entries if it held for all at first and holds for each entry written since; and
if it holds for all, it holds for each entry present.  The value of the whole expression stays an unknown function of
all that it reads, with these facts as assumptions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from transect.analysis import fold
from transect.analysis.state import Path, Table
from transect.analysis.terms import TRUE, Sort, Term, var
from transect.analysis.values import Tuple, Value
from transect.analysis.world import World
from transect.core import ir
from transect.core.effects import Facts
from transect.core.ir import Part, Program, ReduceOp, StateField
from transect.core.types import TableKind

Whole = Callable[[Path], Value]
"""The truth of the whole expression, as an unknown function of what it reads on a path."""


class Evaluating(Protocol):
    """The evaluator that meets the loop, as far as these facts need it."""

    program: Program
    world: World
    fields: dict[str, StateField]

    def bind(self, targets: tuple[str, ...], item: Value, frame: dict[str, Value]) -> None: ...

    def term(self, e: ir.Expr, path: Path) -> Term: ...


def assume_of_entries(evaluator: Evaluating, e: ir.Reduce, path: Path, whole: Whole) -> bool:
    """Assume what is known of the expression; False: it is not of this kind."""
    if e.op not in (ReduceOp.ALL, ReduceOp.ANY) or not isinstance(e.source, ir.OverState):
        return False
    field, part = e.source.field, e.source.part
    table = path.fields.get(field)
    if not isinstance(table, Table) or table.kind not in (TableKind.TABLE, TableKind.ORDERED):
        return False
    facts = Facts(evaluator.program)
    if any(field in facts.of(of).read_fields for of in (e.value, e.cond) if of is not None):
        return False  # what holds of an entry then depends on the others
    good = _sign(e.op)
    assume = evaluator.world.assume

    def holds(key: Value, value: Value) -> Term:
        """Whether the entry satisfies the condition (`all`), or fails it (`any`)."""
        inner = path.copy()
        evaluator.bind(e.targets, _item(part, key, value), inner.frame)
        wanted = good(evaluator.term(e.value, inner))
        return wanted if e.cond is None else fold.implies(evaluator.term(e.cond, inner), wanted)

    def good_of(at: Path) -> Term:
        value = whole(at)
        assert isinstance(value, Term), "`all` and `any` are truth values"
        return good(value)

    now, first = good_of(path), TRUE if table.empty else good_of(_before(path, field, table))
    written = [w for w in table.writes if w.value is not None]
    assume(
        fold.implies(fold.both(first, *(fold.implies(w.guard, holds(w.key, w.value)) for w in written)), now)
    )
    for w in table.writes:
        for here, it_is in ((table, now), (replace(table, writes=()), first)):
            there = here.has(w.key, assume)
            assume(fold.implies(fold.both(it_is, there), holds(w.key, here.get(w.key, assume))))
    return True


def _sign(op: ReduceOp) -> Callable[[Term], Term]:
    """`any` is the negation of `all` of the negated condition."""
    return fold.negate if op is ReduceOp.ANY else lambda term: term


def _before(path: Path, field: str, table: Table) -> Path:
    """The path with the table as it was at first, and all else as it is now."""
    found = path.copy()
    found.fields[field] = replace(
        table,
        writes=(),
        size=var(f"{table.name}#", Sort.INT),
        overflow=var(f"{table.name}!", Sort.INT),
        order=var(f"{table.name} order", Sort.OPAQUE),
    )
    return found


def _item(part: Part, key: Value, value: Value) -> Value:
    match part:
        case Part.KEYS:
            return key
        case Part.VALUES:
            return value
        case Part.ITEMS:
            return Tuple((key, value))


__all__ = ["assume_of_entries"]
