# SPDX-License-Identifier: Apache-2.0
"""What the program takes of a switch, counted in its text: stages, tables, registers, bits of headers; and whether that
is within a budget.

A *stage* is one step of the longest chain of operations that wait for each other.  A table, a register, a hash and an
operation of an ALU take one each; an addition or an ordered comparison wider than an ALU takes one for each part.
Slices, joins and copies without a condition are wires.  Branches of one `if` share stages.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from transect.base import toml
from transect.base.bounded import whole
from transect.memory.p4.syntax import (
    Assign,
    Binary,
    CallOf,
    Cast,
    Control,
    Do,
    Expr,
    If,
    Name,
    Number,
    Program,
    Slice,
    Stmt,
    Tuple,
    Unary,
)

DEFAULT = Path(__file__).parent / "budget.toml"
WIRES = ("++",)
GATES = ("&&", "||", "==", "!=")
WIDE = ("+", "-", "<", ">", "<=", ">=")
Levels: TypeAlias = dict[tuple[str, ...], int]


@dataclass(frozen=True)
class Budget:
    """The resources of a switch."""

    name: str
    ingress_stages: int
    egress_stages: int
    alu_bits: int
    header_bits: int  # of headers and metadata
    tables: int
    accesses: int  # of one register by one packet

    @staticmethod
    def of(file: Path = DEFAULT, name: str = "") -> Budget:
        """Raises `BadBudget`."""
        try:
            data = toml.parsed(whole(file))
        except (OSError, tomllib.TOMLDecodeError) as problem:
            raise BadBudget(f"{file}: {problem}") from None
        switches = data.get("switch", {})
        if not isinstance(switches, dict) or not all(isinstance(one, dict) for one in switches.values()):
            raise BadBudget(f"{file}: `switch` is not a table of tables")
        names = sorted(switches)
        wanted = name or str(data.get("default", names[0] if names else ""))
        if wanted not in names:
            raise BadBudget(f"{file}: no switch `{wanted}`; there is {', '.join(names) or 'none'}")
        for key, value in switches[wanted].items():
            if type(value) is not int:
                raise BadBudget(f"{file}: switch `{wanted}`: `{key}` is not a whole number")
        try:
            return Budget(wanted, **switches[wanted])
        except TypeError as problem:
            raise BadBudget(f"{file}: switch `{wanted}`: {problem}") from None


class BadBudget(Exception):
    """A budget file that says nothing of use; the text says what is wrong."""


@dataclass(frozen=True)
class Usage:
    """What a program takes."""

    ingress_stages: int
    egress_stages: int
    header_bits: int
    metadata_bits: int
    tables: Mapping[str, int]  # entries of each
    registers: Mapping[str, int]  # bits of each
    accesses: Mapping[str, int]  # of each register, by one packet: a read and the write after it are one

    def exceeds(self, budget: Budget) -> Iterator[str]:
        """What does not fit, in words."""
        pairs = (
            ("stages of the ingress", self.ingress_stages, budget.ingress_stages),
            ("stages of the egress", self.egress_stages, budget.egress_stages),
            ("bits of headers and metadata", self.header_bits + self.metadata_bits, budget.header_bits),
            ("tables", len(self.tables), budget.tables),
        )
        for what, wanted, there in pairs:
            if wanted > there:
                yield f"{wanted} {what}; there are {there}"
        for name, count in self.accesses.items():
            if count > budget.accesses:
                yield f"{count} accesses to the register {name} by one packet; {budget.accesses} is the most"


def usage(program: Program, alu_bits: int) -> Usage:
    """The usage, counted in the program's text."""
    _, _, ingress, egress, _, _ = program.package
    headers = program.structs["headers_t"].values()
    metadata = program.structs["metadata_t"].values()
    controls = [program.controls[ingress], program.controls[egress]]
    return Usage(
        _Stages(program, controls[0], alu_bits).count(),
        _Stages(program, controls[1], alu_bits).count(),
        sum(sum(program.headers[str(h)].values()) for h in headers),
        sum(w for w in metadata if isinstance(w, int)),
        {name: table.size for c in controls for name, table in c.tables.items()},
        {name: width * size for c in controls for name, (width, size) in c.registers.items()},
        {name: n for c in controls for name, n in _accesses(c).items()},
    )


# ---------------------------------------------------------------- accesses


def _accesses(control: Control) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in control.registers:
        reads, writes = _most(control.body, name)
        counts[name] = max(reads, writes)
    return counts


def _most(body: Sequence[Stmt], name: str) -> tuple[int, int]:
    """Reads and writes of a register on the way with most of them.

    Conditions on `m.op` exclude one another: a branch that only another kind of packet takes is not on this way.
    """
    reads = writes = 0
    for statement in body:
        match statement:
            case Do(call=CallOf(function=(register, what))) if register == name:
                reads, writes = reads + (what == "read"), writes + (what == "write")
            case If(cond=cond, then=then, orelse=orelse):
                one, other = _most(then, name), _most(orelse, name)
                if _kind(cond) == "FETCH":  # a packet that fetches does nothing else
                    one = other
                reads, writes = reads + max(one[0], other[0]), writes + max(one[1], other[1])
    return reads, writes


def _kind(cond: Expr) -> str:
    """The kind of packet that a condition is about."""
    match cond:
        case Binary(op="&&", left=left, right=right):
            return _kind(left) or _kind(right)
        case Binary(op="==", left=Name(path=("m", "op")), right=Name(path=(kind,))):
            return kind
    return ""


# ---------------------------------------------------------------- stages


@dataclass
class _Stages:
    program: Program
    control: Control
    alu_bits: int
    levels: Levels = field(default_factory=dict)
    most: int = 0

    def count(self) -> int:
        self._run(self.control.body, 0, guarded=False)
        return self.most

    def _run(self, body: Sequence[Stmt], after: int, guarded: bool) -> None:
        for statement in body:
            match statement:
                case Assign(to=to, value=value):
                    wire = not guarded and self._cost(value) == 0
                    cost = 0 if wire else max(self._cost(value), 1)
                    self._set(to.path, max(after, self._level(value)) + cost)
                case If(cond=cond, then=then, orelse=orelse):
                    inner = max(after, self._level(cond) + self._cost(cond))
                    before = dict(self.levels)
                    self._run(then, inner, guarded=True)
                    first, self.levels = self.levels, before
                    self._run(orelse, inner, guarded=True)
                    for path, level in first.items():
                        self.levels[path] = max(level, self.levels.get(path, 0))
                case Do(call=call):
                    self._do(call, after)

    def _set(self, path: tuple[str, ...], level: int) -> None:
        self.levels[path] = level
        self.most = max(self.most, level)

    def _do(self, call: CallOf, after: int) -> None:
        match call.function:
            case (name, "apply"):
                table = self.control.tables[name]
                level = max([after, *(self._level(key) for key, _ in table.keys)]) + 1
                for action in table.actions:
                    if action in self.control.actions:
                        for statement in self.control.actions[action].body:
                            if isinstance(statement, Assign):
                                self._set(statement.to.path, level)
            case (_, "read") | ("hash",):
                to, *rest = call.args
                assert isinstance(to, Name)
                self._set(to.path, max([after, *(self._level(a) for a in rest)]) + 1)
            case (_, "write"):
                self.most = max(self.most, max([after, *(self._level(a) for a in call.args)]) + 1)

    def _level(self, of: Expr) -> int:
        """The stage after which everything that an expression reads is known."""
        match of:
            case Name(path=path):
                return self.levels.get(path, 0)
            case Slice(of=inner) | Unary(of=inner) | Cast(of=inner):
                return self._level(inner)
            case Binary(left=left, right=right):
                return max(self._level(left), self._level(right))
            case Tuple(items=items):
                return max((self._level(i) for i in items), default=0)
        return 0

    def _cost(self, of: Expr) -> int:
        """Stages that the operations of an expression take, one after the other."""
        match of:
            case Slice(of=inner) | Unary(of=inner) | Cast(of=inner):
                return self._cost(inner)
            case Binary(op=op, left=left, right=right):
                inner_cost = max(self._cost(left), self._cost(right))
                if op in WIRES or op in GATES:
                    return inner_cost
                parts = -(-max(self._width(left), self._width(right)) // self.alu_bits)
                return inner_cost + (parts if op in WIDE else 1)
        return 0

    def _width(self, of: Expr) -> int:
        match of:
            case Number(width=width) | Cast(width=width):
                return width
            case Slice(high=high, low=low):
                return high - low + 1
            case Binary(op="++", left=left, right=right):
                return self._width(left) + self._width(right)
            case Binary(left=left, right=right):
                return max(self._width(left), self._width(right))
            case Name(path=("m", name)):
                found = self.program.structs["metadata_t"][name]
                assert isinstance(found, int)
                return found
            case Name(path=("hdr", header, name)):
                return self.program.headers[str(self.program.structs["headers_t"][header])][name]
            case Name(path=(name,)) if name in self.program.constants:
                return self.program.constants[name][1]
        return 0
