# SPDX-License-Identifier: Apache-2.0
"""What is emitted for one program: declarations in the order of their needs, each made when it is first asked for.

Every external name begins with the unit's prefix, so that any number of units may share one translation unit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from transect.core.effects import Facts
from transect.core.ir import FieldKind, IntrinsicDecl, Program, StateField
from transect.core.passes.ordered_pick import heaps
from transect.core.rules import Scope
from transect.core.types import DictType, SeqType, TableType, Type, ViewType
from transect.emit.c import tree as c
from transect.emit.c.names import Names, snake

WAITING = "waiting"
DEFAULT_CLIENTS = 1024

_FUNCTIONS = (
    "new",
    "init",
    "free",
    "clear",
    "save",
    "load",
    "state",
    "local",
    "local_init",
    "waiting_add",
    "waiting_remove",
)


@dataclass(frozen=True, slots=True)
class Loop:
    """How to go over a sequence or map: a C `for` without its body, and what one round's items are."""

    before: tuple[c.Stmt, ...]
    init: c.Var | c.Expr | None
    cond: c.Expr
    step: c.Expr | None
    first: tuple[c.Stmt, ...]  # of each round
    items: tuple[c.Expr, ...]  # one; of a map, key and value


class ViewLowering(Protocol):
    """How outside data looks in C.  `base` is always free of side effects; what is returned is stable for the call: no
    store to state changes it."""

    def type(self, unit: Unit, t: ViewType | SeqType | DictType) -> c.CType:
        """The C type of a reference to it; what it needs is declared in the unit."""
        ...

    def field(self, unit: Unit, base: c.Expr, t: ViewType, name: str) -> c.Expr:
        """A field, in value form."""
        ...

    def store(self, unit: Unit, base: c.Expr, t: ViewType, name: str, value: c.Expr) -> Sequence[c.Stmt]:
        """A field takes a value, whose texts last as long as the call."""
        ...

    def length(self, unit: Unit, base: c.Expr, t: SeqType | DictType) -> c.Expr:
        """The number of items (`int64_t`)."""
        ...

    def loop(self, unit: Unit, base: c.Expr, t: SeqType | DictType, fresh: str) -> Loop:
        """A loop over the items; `fresh` is a name that nothing else has, and may be the start of others."""
        ...

    def has(self, unit: Unit, base: c.Expr, t: SeqType | DictType, item: c.Expr) -> c.Expr:
        """Whether an item, or a key, is there."""
        ...

    def get(self, unit: Unit, base: c.Expr, t: DictType, key: c.Expr) -> c.Expr:
        """What a map holds under a key: an Option in value form."""
        ...

    def intrinsic(self, unit: Unit, declared: IntrinsicDecl, args: Sequence[c.Expr]) -> c.Expr:
        """A call of a stratum's function; of a view's method, the view is the first argument.  `call` is in scope."""
        ...

    def told(
        self, unit: Unit, declared: IntrinsicDecl, args: Sequence[c.Expr], types: Sequence[Type]
    ) -> c.Expr:
        """The same for a function that takes any keywords: after its parameters, each keyword gives a name and a
        value.
        """
        ...


class Unit:
    """One program on its way to C."""

    def __init__(
        self,
        program: Program,
        views: ViewLowering,
        prefix: str | None = None,
        clients: int | None = None,
    ) -> None:
        self.program = program
        self.views = views
        self.prefix = prefix or snake(program.name)
        self.facts = Facts(program)
        self.scope = Scope(program)
        self.header: list[c.Decl] = []
        self.source: list[c.Decl] = []
        self.clients = clients or _clients(program)
        self.heaps = heaps(program)
        self._made: set[str] = set()
        self._functions = Names(_FUNCTIONS)
        for helper in program.functions:  # their names are taken first: a helper may be called `served_put`
            self._functions.of(helper.name, f"_{helper.name.lstrip('_')}")
        self._members = Names(("arrivals",))
        for f in program.state:
            self._members.of(f.name)

    # ---------------------------------------------------------------- names

    def name(self, suffix: str) -> str:
        """A name of the unit's own."""
        return f"{self.prefix}_{suffix}"

    @property
    def state_type(self) -> c.Pointer:
        return c.pointer(self.name("state"))

    @property
    def local_type(self) -> c.Pointer:
        return c.pointer(self.name("local"))

    def function(self, name: str) -> str:
        """What a handler or helper is called in C."""
        # A module's helper may have any name; those of methods begin with `_`, which none of the unit's own names do.
        helper = not name.startswith("_") and all(h.name != name for h in self.program.handlers)
        return self.name(self._functions.of(name, f"helper_{name}" if helper else name))

    def member(self, field: str) -> str:
        """The member of the state that holds a field."""
        return self._members.of(field)

    def overflow_member(self, field: str) -> str:
        """The member of the state that counts a scalar's overflows."""
        return self._members.of(f"{field}.overflow", f"{field}_overflow")

    def heap_member(self, field: str) -> str:
        """The member of the state that orders the waiting clients by a tally."""
        return self._members.of(f"{field}.heap", f"{field}_heap")

    # ---------------------------------------------------------------- declarations

    def once(self, suffix: str, make: Callable[[str], Iterable[c.Decl]], *, source: bool = False) -> str:
        """The unit's name with that suffix, declared if it has not been; what `make` needs comes before it."""
        name = self.name(suffix)
        if name not in self._made:
            self._made.add(name)
            made = list(make(name))
            (self.source if source else self.header).extend(made)
        return name

    # ---------------------------------------------------------------- facts

    def fields(self, *kinds: FieldKind) -> tuple[StateField, ...]:
        return tuple(f for f in self.program.state if f.kind in kinds)

    @property
    def stored(self) -> tuple[StateField, ...]:
        """The fields that a state image holds."""
        return self.fields(FieldKind.STATE, FieldKind.PARAM)

    @property
    def has_locals(self) -> bool:
        return bool(self.fields(FieldKind.LOCAL))

    @property
    def waits(self) -> bool:
        """Whether the program has `waiting`."""
        return any(f.name == WAITING for f in self.fields(FieldKind.GIVEN))

    def context(self) -> tuple[c.Var, ...]:
        """The parameters that every function of a policy begins with."""
        local = (c.Var("local", self.local_type),) if self.has_locals else ()
        return (c.Var("self", self.state_type), *local, c.Var("call", c.pointer("ts_call")))

    def context_args(self) -> tuple[c.Expr, ...]:
        """The same, handed on."""
        return tuple(c.Name(v.name) for v in self.context())


def grows(f: StateField) -> bool:
    """Whether the field is kept by client, and has memory of its own."""
    return isinstance(f.type, TableType) and f.type.most is None


def _clients(program: Program) -> int:
    """The number of clients for which there is room at first: the largest size hint of the tables kept by client, with
    a minimum.
    """
    sizes = [f.type.capacity for f in program.state if isinstance(f.type, TableType) and f.type.most is None]
    return max([DEFAULT_CLIENTS, *sizes])
