# SPDX-License-Identifier: Apache-2.0
"""What the parts of an emitted module know of each other: which functions need what, and how each is called."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from transect.core import ir
from transect.core.ir import Effect, FieldKind
from transect.core.passes.ordered_pick import heap_asked, heaps
from transect.core.types import Type
from transect.core.walk import Node, walk
from transect.emit.py.literals import named_of
from transect.emit.py.names import Names

FROM_TAPE = frozenset({"now", "rand", "rand_below"})
FROM_OUTSIDE = FROM_TAPE | {"trace"}


@dataclass(frozen=True, slots=True)
class Needs:
    """What a function uses besides its arguments."""

    state: bool  # `self`
    outside: bool  # time, randomness, answers from outside
    local: bool  # values of one RPC

    def __or__(self, other: Needs) -> Needs:
        return Needs(self.state or other.state, self.outside or other.outside, self.local or other.local)


class Scope:
    """One program being emitted."""

    def __init__(self, program: ir.Program) -> None:
        self.program = program
        self.fields = {f.name: f for f in program.state}
        self.ordered = heaps(program)  # the tallies by which waiting clients are ordered
        self.intrinsics = {d.name: d for d in program.intrinsics}
        self.named = named_of(program)
        self.names = Names()
        self.classes = {name: self.names[name] for name in self.named}  # how structs and enums are written
        self.needs: dict[str, Needs] = {}
        for f in program.functions:  # each after those that it calls
            self.needs[f.name] = self._needs(f)
        self.hook_needs = {h.name: self._needs(h) for h in program.handlers}
        self.types: dict[str, str] = {}  # structs and enums, and the names of their types
        self.makers: dict[tuple[Type, bool], str] = {}

    def is_local(self, field: str) -> bool:
        """Whether each RPC has its own value of the field."""
        return field in self.fields and self.fields[field].kind is FieldKind.LOCAL

    def maker(self, t: Type, *, check: bool) -> str:
        """The name of a function that stores (`check`) or makes values of the type; defined once in the module."""
        key = (t, check)
        if key not in self.makers:
            self.makers[key] = self.names.fresh("stored" if check else "made")
        return self.makers[key]

    def _needs(self, function: ir.Function) -> Needs:
        found = Needs(False, False, False)
        for node in nodes_of(function.body):
            found |= self._needs_of(node)
        return found

    def _needs_of(self, node: Node) -> Needs:
        match node:
            case ir.Call(function=function):
                return self.needs[function]
            case ir.State(field=field) | ir.StatePlace(field=field):
                local = self.is_local(field)
                return Needs(not local or isinstance(node, ir.StatePlace), False, local)
            case ir.Lookup() | ir.EntryPlace() | ir.OverState() | ir.Remove():
                return Needs(True, False, False)
            case ir.Intrinsic() if heap_asked(node) is not None:
                return Needs(True, False, False)
            case ir.Intrinsic(name=name):
                return Needs(False, name in FROM_OUTSIDE or name in self.intrinsics, False)
            case _:
                return Needs(False, False, False)


def asks(declared: ir.IntrinsicDecl) -> bool:
    """Whether the answer goes by the tape."""
    return declared.effect in (Effect.CLOCK, Effect.RANDOM, Effect.OUTSIDE_READ)


def nodes_of(block: ir.Block) -> Iterator[Node]:
    for statement in block:
        yield from walk(statement)
