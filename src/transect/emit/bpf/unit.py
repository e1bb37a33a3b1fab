# SPDX-License-Identifier: Apache-2.0
"""One program on its way to BPF: the names of its parts, and where its state lies."""

from __future__ import annotations

from transect.core.ir import FieldKind, Program, StateField
from transect.core.types import ArrayType, OptionType, TableType
from transect.emit.bpf.values import OPTION, S64
from transect.emit.c import tree as c
from transect.emit.c.names import Names, snake

SELF, OWN, CALL = c.Name("self"), c.Name("own"), c.Name("call")


class Unit:
    """One program on its way to BPF."""

    def __init__(self, program: Program, prefix: str | None = None) -> None:
        self.program = program
        self.prefix = prefix or snake(program.name)
        self._functions = Names()
        self._members = Names()

    def name(self, suffix: str) -> str:
        return f"{self.prefix}_{suffix}"

    def function(self, name: str) -> str:
        """What a handler or helper is called."""
        return self.name(self._functions.of(name, f"do_{name.lstrip('_')}"))

    def context(self) -> tuple[c.Var, ...]:
        """The parameters that every function begins with."""
        return (
            c.Var("self", c.pointer(self.name("state"))),
            c.Var("own", c.pointer(self.name("task"))),
            c.Var("call", c.pointer("ts_call")),
        )

    def context_args(self) -> tuple[c.Expr, ...]:
        return (SELF, OWN, CALL)

    # ---------------------------------------------------------------- state

    def fields(self, *kinds: FieldKind) -> tuple[StateField, ...]:
        return tuple(f for f in self.program.state if f.kind in kinds)

    def member(self, field: str) -> str:
        return self._members.of(field)

    def place(self, field: str) -> c.Expr:
        """The member that holds a field which is no table."""
        owner = OWN if self.program.field(field).kind is FieldKind.LOCAL else SELF
        return c.Member(owner, self.member(field), arrow=True)

    def table(self, field: str) -> c.Expr:
        return c.Unary("&", c.Name(self.table_name(field)))

    def table_name(self, field: str) -> str:
        return self.name(f"table_{self.member(field)}")

    def overflow(self, field: str) -> c.Expr:
        return c.Unary(
            "&", c.Member(SELF, self._members.of(f"{field}.overflow", f"{field}_overflow"), arrow=True)
        )

    def is_array(self, field: str) -> bool:
        return isinstance(self.program.field(field).type, ArrayType)

    def array(self, field: str) -> ArrayType:
        t = self.program.field(field).type
        assert isinstance(t, ArrayType), f"{field} is no array"
        return t

    # ---------------------------------------------------------------- declarations

    def structs(self) -> list[c.Decl]:
        """The state of the policy, and that of each task, in words."""
        stored = self.fields(FieldKind.STATE, FieldKind.PARAM)
        members = [self._held(f) for f in stored if not isinstance(f.type, TableType)]
        overflows = [
            c.Var(self._members.of(f"{f.name}.overflow", f"{f.name}_overflow"), S64)
            for f in stored
            if isinstance(f.type, TableType)
        ]
        own = [self._held(f) for f in self.fields(FieldKind.LOCAL)]
        ready = c.Var("ready", S64)  # 1 once the state has its first values
        return [
            c.Struct(self.name("state"), (ready, *members, *overflows)),
            c.Struct(self.name("task"), (c.Var("met", S64), c.Var("ran", S64), *own)),
        ]

    def _held(self, f: StateField) -> c.Var:
        match f.type:
            case ArrayType(length=length):
                return c.Var(self.member(f.name), c.ArrayOf(S64, c.Integer(length)))
            case OptionType():
                return c.Var(self.member(f.name), c.StructType("ts_option_words"))
            case _:
                return c.Var(self.member(f.name), S64)

    def tables(self) -> list[c.Decl]:
        return [
            c.Macro("TS_TABLE", (c.Name(self.table_name(f.name)), c.Integer(f.type.capacity)))
            for f in self.fields(FieldKind.STATE)
            if isinstance(f.type, TableType)
        ]


__all__ = ["CALL", "OPTION", "OWN", "SELF", "Unit"]
