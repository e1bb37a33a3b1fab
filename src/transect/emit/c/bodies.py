# SPDX-License-Identifier: Apache-2.0
"""The locals of one function in C, and what is known at a point of it: the ground on which its statements stand."""

from __future__ import annotations

from abc import abstractmethod

from transect.core import ir
from transect.core.ir import Block
from transect.core.types import Type, UnitType
from transect.emit.c import tree as c
from transect.emit.c.expressions import Expressions, access, zero_init
from transect.emit.c.layout import value_type
from transect.emit.c.names import Names
from transect.emit.c.remembered import Entry, Remembered, Repeated
from transect.emit.c.scopes import Homes
from transect.emit.c.unit import Unit


class Body(Expressions):
    """One function on its way to C."""

    def __init__(self, unit: Unit, names: Names, function: ir.Function) -> None:
        super().__init__(unit, names)
        self.function = function
        self.types = {p.name: p.type for p in function.params} | dict(function.locals)
        self.homes = Homes(function)
        self.memory = Remembered(Repeated(function, unit.scope, unit.facts))
        # The entry that the statement has changed, and whose pointer is still right
        self.entry_kept: Entry | None = None

    @property
    def recall(self) -> Remembered:
        assert self.memory is not None, "statements remember"
        return self.memory

    @abstractmethod
    def inner(self, block: Block, loop: bool = False) -> tuple[c.Stmt, ...]:
        """The statements of a block within; `loop`: it is the body of one."""

    def is_unit(self, name: str) -> bool:
        return isinstance(self.types[name], UnitType)

    def declared(self, name: str, value: c.Init | None = None) -> c.Stmt:
        t = self.types[name]
        return c.Var(self.names.of(name), value_type(self.unit, t), value or zero_init(t))

    def assigned(self, name: str, value: c.Expr, s: object) -> c.Stmt:
        """A local takes a value; its declaration, where this is its home."""
        if self.homes.declares(name, s):
            return self.declared(name, value)
        return c.assign(c.Name(self.names.of(name)), value)

    def named(self, wish: str, t: Type, value: c.Expr) -> tuple[list[c.Stmt], c.Expr]:
        """The value in a variable."""
        name = self.names.fresh(wish)
        return [c.Var(name, value_type(self.unit, t), value)], c.Name(name)

    def finding(self, entry: Entry, pointer: c.Expr | None) -> c.Stmt:
        """A pointer to an entry gets a name."""
        field, key = entry
        table = access(self.unit, field)
        name = c.Name(self.names.fresh("found"))
        made = c.Var(name.name, table.entry_pointer, pointer or table.find(self.expr(key)))
        self.recall.known[entry] = name
        return made
