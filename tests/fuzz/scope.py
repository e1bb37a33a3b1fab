# SPDX-License-Identifier: Apache-2.0
"""What a random program may name at a point, and what it may touch there."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from tests.fuzz.pools import Field
from transect.core.types import Type


@dataclass(frozen=True)
class Helper:
    name: str
    params: tuple[Type, ...]
    returns: Type  # UNIT: nothing
    pure: bool  # a function of the module: touches no state


@dataclass(frozen=True)
class Local:
    name: str
    type: Type
    fixed: bool = False  # a parameter or loop variable, never assigned


@dataclass(frozen=True)
class Scope:
    locals: tuple[Local, ...] = ()
    locked: dict[str, str | None] = field(default_factory=dict)  # table gone over -> its current key
    pure: bool = False  # no state at all: a helper of the module
    quiet: bool = False  # nothing that changes state: within an expression that is repeated
    # Whether helpers may be called: the front end takes any for one that ends what is known.
    calls: bool = True
    loops: int = 0
    returns: Type | None = None
    nonempty: bool = False  # somebody waits, certainly

    def having(self, *more: Local) -> Scope:
        return replace(self, locals=self.locals + more)

    def locking(self, table: str | None, key: str | None = None) -> Scope:
        return self if table is None else replace(self, locked={**self.locked, table: key})

    def of_type(self, t: Type) -> list[Local]:
        return [v for v in self.locals if v.type == t]

    def may_write(self, f: Field) -> bool:
        return not self.pure and not self.quiet and f.name not in self.locked
