# SPDX-License-Identifier: Apache-2.0
"""One look-up where a policy would look up twice: table entries that a function has found and may use again.

Entries do not move, so a pointer to one is good until its key is removed, and the answer "there is none" until
something is inserted.  What is remembered within a block is forgotten at its end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from transect.core import ir
from transect.core.effects import Facts, Operation, nodes
from transect.core.ir import Expr, TableRead
from transect.core.passes.ordered_pick import heap_asked
from transect.core.rules import Scope
from transect.core.types import TableKind, TableType
from transect.emit.c import tree as c
from transect.emit.c.scopes import binds

Entry = tuple[str, Expr]  # field, key

_OF_A_KEY = (TableRead.AT, TableRead.GET, TableRead.GET_OR, TableRead.TOTAL, TableRead.HAS, TableRead.PUT)
_MOVES = (Operation.INSERT, Operation.REMOVE, Operation.TOUCH)


def moving(part: ir.Stmt | ir.Block, facts: Facts) -> frozenset[str]:
    """The fields where a statement or block may make entries, or take some out."""
    return frozenset(name for node in nodes(part) for name in _moving(node, facts))


def _moving(node: object, facts: Facts) -> Iterable[str]:
    match node:
        case (
            ir.Store(place=ir.EntryPlace(field=name, path=()))
            | ir.Update(place=ir.EntryPlace(field=name, path=()))
        ):
            return (name,)
        case ir.Remove(field=name) | ir.Lookup(op=TableRead.PUT | TableRead.POP_FIRST, field=name):
            return (name,)
        case ir.Call(function=function):
            writes = facts.helper(function).writes
            return (w.field for w in writes if w.inserts or w.operation in _MOVES)
        case _:
            return ()


class Repeated:
    """Which entries a function asks for more than once, by a key that keeps its value."""

    def __init__(self, function: ir.Function, scope: Scope, facts: Facts) -> None:
        self._scope = scope
        self._params = {p.name for p in function.params}
        self._bound: Counter[str] = Counter()
        asked: Counter[Entry] = Counter()
        for node in nodes(function):
            for name in binds(node):
                self._bound[name] += 1
            if (entry := _asked(node)) is not None and self._is_linked(entry[0]):
                asked[entry] += 1
        self._views_change = bool(facts.of(function).view_writes)
        self.entries = frozenset(e for e, n in asked.items() if n > 1 and self.steady(e[1]))

    def _is_linked(self, name: str) -> bool:
        t = self._scope.fields[name].type
        return isinstance(t, TableType) and t.kind is not TableKind.LRU

    def is_bound_once(self, name: str) -> bool:
        return self._bound[name] + (name in self._params) <= 1

    def steady(self, key: Expr) -> bool:
        """Whether the key has one value for as long as its locals are in scope."""
        match key:
            case ir.Const():
                return True
            case ir.Local(name=name):
                return self.is_bound_once(name)
            case ir.ViewField(base=base):
                return not self._views_change and self.steady(base)
            case ir.Attr(base=inner) | ir.Item(base=inner):
                return self.steady(inner)
            case ir.Cast(value=inner) | ir.Unwrap(value=inner):
                return self.steady(inner)
            case ir.MakeTuple(items=items):
                return all(map(self.steady, items))
            case _:
                return False


def _asked(node: object) -> Entry | None:
    match node:
        case ir.Lookup(op=op, field=name, args=(key, *_)) if op in _OF_A_KEY:
            return name, key
        case ir.EntryPlace(field=name, key=key):
            return name, key
        case ir.Let(name=name, value=value) if (tally := heap_asked(value)) is not None:
            return tally, ir.Local(name=name, type=value.type, span=value.span)  # what the heap's first has
        case _:
            return None


def asked_in(e: ir.Expr | ir.Source) -> list[Entry]:
    """The entries that an expression or source asks for, each once, the first first."""
    return list(dict.fromkeys(entry for node in nodes(e) if (entry := _asked(node)) is not None))


@dataclass
class Remembered:
    """What is known at one point of a function: where entries are, by pointers which may be NULL."""

    repeated: Repeated
    known: dict[Entry, c.Name] = field(default_factory=dict)
    now: c.Name | None = None  # the time of this call, once a local holds it

    def find(self, name: str, key: Expr) -> c.Name | None:
        return self.known.get((name, key))

    def wanted(self, entry: Entry) -> bool:
        """Whether the entry is worth remembering, and is not remembered yet."""
        return entry in self.repeated.entries and entry not in self.known

    def inner(self) -> Remembered:
        """The same for a block within."""
        return Remembered(self.repeated, dict(self.known), self.now)

    def after(self, moved: frozenset[str], own: Entry | None = None) -> None:
        """Forget what a statement may have made untrue: entries of fields where something has come or gone.  The
        pointer to the statement's own entry stays right.
        """
        self.known = {e: at for e, at in self.known.items() if e[0] not in moved or e == own}
