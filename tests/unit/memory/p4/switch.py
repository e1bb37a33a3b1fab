# SPDX-License-Identifier: Apache-2.0
"""A switch of our own: executes a program of the subset on packets, as v1model says.

Widths are checked as the language wants them: operands of one width, values that fit.  Registers begin with zeros; a
table without a fitting entry takes its default action.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from transect.memory.p4.entries import Entry
from transect.memory.p4.syntax import (
    Action,
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
    Table,
    Tuple,
    Unary,
)

DROPPED = 511
Value: TypeAlias = tuple[int, int] | bool  # number and width (0: an unsized one)


class Mistake(AssertionError):
    """The program means nothing here: ours, not the packet's."""


@dataclass
class Header:
    widths: Mapping[str, int]
    valid: bool = False
    values: dict[str, int] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return sum(self.widths.values()) // 8

    def take(self, data: bytes) -> None:
        whole, left = int.from_bytes(data, "big"), 8 * len(data)
        for name, width in self.widths.items():
            left -= width
            self.values[name] = whole >> left & (1 << width) - 1
        self.valid = True

    def give(self) -> bytes:
        whole = 0
        for name, width in self.widths.items():
            whole = whole << width | self.values[name]
        return whole.to_bytes(self.size, "big")


class Packet:
    """A packet on its way, with its headers and metadata."""

    def __init__(self, program: Program, port: int, data: bytes) -> None:
        headers, metadata = program.structs["headers_t"], program.structs["metadata_t"]
        self.headers = {n: Header(program.headers[str(kind)]) for n, kind in headers.items()}
        for header in self.headers.values():
            header.values = dict.fromkeys(header.widths, 0)
        self.widths = {n: w for n, w in metadata.items() if isinstance(w, int)}
        self.metadata = dict.fromkeys(self.widths, 0)
        self.standard = {"ingress_port": port, "egress_spec": 0}
        self.data, self.at = data, 0
        self.locals: dict[str, tuple[int, int]] = {}


class Short(Exception):
    """The packet ends within a header."""


class Switch:
    """A program with the entries of its tables and its registers."""

    def __init__(self, program: Program) -> None:
        self.program = program
        _, _, ingress, egress, compute, _ = program.package
        self.pipeline = [program.controls[name] for name in (ingress, egress, compute)]
        self.registers = {n: [0] * size for c in self.pipeline for n, (_, size) in c.registers.items()}
        self.entries: dict[str, list[Entry]] = {name: [] for c in self.pipeline for name in c.tables}

    def add(self, table: str, entry: Entry) -> None:
        """Raises `Mistake` for an entry that the table cannot have."""
        control = next(c for c in self.pipeline if table in c.tables)
        declared = control.tables[table]
        if len(self.entries[table]) == declared.size:
            raise Mistake(f"the table {table} has no room for another entry ({declared.size})")
        if entry.action not in declared.actions or len(entry.match) != len(declared.keys):
            raise Mistake(f"the table {table} has no such entry: {entry}")
        params = control.actions[entry.action].params
        if len(params) != len(entry.args):
            raise Mistake(f"{entry.action} takes {len(params)} arguments, not {len(entry.args)}")
        for (name, width), value in zip(params, entry.args, strict=True):
            if not 0 <= value < 1 << width:
                raise Mistake(f"{entry.action}: {value:#x} is no bit<{width}> ({name})")
        self.entries[table].append(entry)

    def remove(self, table: str) -> None:
        """All entries."""
        self.entries[table].clear()

    # ------------------------------------------------------------ a packet's way

    def process(self, port: int, data: bytes) -> tuple[int, bytes] | None:
        """The port and the packet that leaves; None: it is dropped."""
        packet = Packet(self.program, port, data)
        try:
            self._parse(packet)
        except Short:
            return None  # as the reference switch does
        for number, control in enumerate(self.pipeline):
            packet.locals = dict.fromkeys(control.variables, (0, 0))
            self._run(control.body, packet, control)
            if number == 0 and packet.standard["egress_spec"] == DROPPED:
                return None
        emitted = b"".join(h.give() for h in packet.headers.values() if h.valid)
        return packet.standard["egress_spec"], emitted + packet.data[packet.at :]

    def _parse(self, packet: Packet) -> None:
        name = "start"
        while name != "accept":
            state = self.program.states[name]
            self._run(state.body, packet, None)
            values = [self._number(s, packet) for s in state.subjects]
            name = next(
                to
                for cases, to in state.cases
                if cases is None
                or all(self._number(c, packet) == v for c, v in zip(cases, values, strict=True))
            )

    # ------------------------------------------------------------ statements

    def _run(self, body: Sequence[Stmt], packet: Packet, control: Control | None) -> None:
        for statement in body:
            match statement:
                case Assign(to=to, value=value):
                    self._assign(to, self._value(value, packet), packet)
                case If(cond=cond, then=then, orelse=orelse):
                    self._run(then if self._truth(cond, packet) else orelse, packet, control)
                case Do(call=call):
                    self._do(call, packet, control)

    def _assign(self, to: Name, value: Value, packet: Packet) -> None:
        width = self._width_of(to, packet)
        if isinstance(value, bool) or value[1] not in (0, width) or value[0] >= 1 << width:
            raise Mistake(f"{'.'.join(to.path)} is bit<{width}>, not {value}")
        match to.path:
            case ("m", name):
                packet.metadata[name] = value[0]
            case ("hdr", header, name):
                packet.headers[header].values[name] = value[0]
            case ("standard", name):
                packet.standard[name] = value[0]
            case (name,):
                packet.locals[name] = value[0], width

    def _width_of(self, of: Name, packet: Packet) -> int:
        match of.path:
            case ("m", name):
                return packet.widths[name]
            case ("hdr", header, name):
                return packet.headers[header].widths[name]
            case ("standard", "egress_spec" | "ingress_port"):
                return 9
            case (name,) if name in packet.locals:
                return next(c.variables[name] for c in self.pipeline if name in c.variables)
        raise Mistake(f"no `{'.'.join(of.path)}`")

    def _do(self, call: CallOf, packet: Packet, control: Control | None) -> None:
        match call.function:
            case ("packet", "extract"):
                self._extract(call, packet)
            case ("hdr", name, "setValid" | "setInvalid" as what):
                packet.headers[name].valid = what == "setValid"
            case ("mark_to_drop",):
                packet.standard["egress_spec"] = DROPPED
            case ("hash",):
                self._hash(call.args, packet)
            case ("update_checksum",):
                if self._truth(call.args[0], packet):
                    to = call.args[2]
                    assert isinstance(to, Name)
                    self._assign(to, (_checksum(self._bytes(call.args[1], packet)), 16), packet)
            case (table, "apply") if control is not None and table in control.tables:
                self._apply(table, control, packet)
            case (register, "read" | "write" as what) if (
                control is not None and register in control.registers
            ):
                self._register(register, what, call.args, packet, control)
            case _:
                raise Mistake(f"no `{'.'.join(call.function)}`")

    def _extract(self, call: CallOf, packet: Packet) -> None:
        (of,) = call.args
        assert isinstance(of, Name)
        header = packet.headers[of.path[1]]
        data = packet.data[packet.at : packet.at + header.size]
        if len(data) < header.size:
            raise Short
        header.take(data)
        packet.at += header.size

    def _register(self, name: str, what: str, args: Sequence[Expr], packet: Packet, control: Control) -> None:
        width, size = control.registers[name]
        index = self._number(args[1] if what == "read" else args[0], packet)
        if index >= size:
            raise Mistake(f"{name} has {size} places, not {index}")
        if what == "read":
            to = args[0]
            assert isinstance(to, Name)
            self._assign(to, (self.registers[name][index], width), packet)
        else:
            value = self._value(args[1], packet)
            if isinstance(value, bool) or value[1] != width:
                raise Mistake(f"{name} holds bit<{width}>, not {value}")
            self.registers[name][index] = value[0]

    def _apply(self, name: str, control: Control, packet: Packet) -> None:
        table = control.tables[name]
        keys = [self._number(key, packet) for key, _ in table.keys]
        for entry in self.entries[name]:
            if all(_fits(m, key) for m, key in zip(entry.match, keys, strict=True)):
                return self._act(control.actions[entry.action], entry.args, packet, control)
        if table.default != "NoAction":
            self._act(control.actions[table.default], (), packet, control)

    def _act(self, action: Action, args: Sequence[int], packet: Packet, control: Control) -> None:
        before = packet.locals
        packet.locals = {n: (v, w) for (n, w), v in zip(action.params, args, strict=True)}
        self._run(action.body, packet, control)
        packet.locals = before

    # ------------------------------------------------------------ hashes

    def _hash(self, args: Sequence[Expr], packet: Packet) -> None:
        to, algorithm, base, data, most = args
        if algorithm != Name(("HashAlgorithm", "crc32")) or not isinstance(to, Name):
            raise Mistake("a hash is a crc32 into a field")
        value = self._number(base, packet) + zlib.crc32(self._bytes(data, packet)) % self._number(
            most, packet
        )
        self._assign(to, (value, self._width_of(to, packet)), packet)

    def _bytes(self, of: Expr, packet: Packet) -> bytes:
        assert isinstance(of, Tuple)
        whole = bits = 0
        for item in of.items:
            value = self._value(item, packet)
            if isinstance(value, bool) or not value[1]:
                raise Mistake("what is hashed has a width")
            whole, bits = whole << value[1] | value[0], bits + value[1]
        if bits % 8:
            raise Mistake(f"{bits} bits are hashed, which are no bytes")
        return whole.to_bytes(bits // 8, "big")

    # ------------------------------------------------------------ expressions

    def _truth(self, of: Expr, packet: Packet) -> bool:
        value = self._value(of, packet)
        if not isinstance(value, bool):
            raise Mistake("a condition is a bool")
        return value

    def _number(self, of: Expr, packet: Packet) -> int:
        value = self._value(of, packet)
        if isinstance(value, bool):
            raise Mistake("a number is wanted")
        return value[0]

    def _value(self, of: Expr, packet: Packet) -> Value:
        match of:
            case Number(value=value, width=width):
                return value, width
            case Name(path=path):
                return self._named(path, of, packet)
            case Slice(of=inner, high=high, low=low):
                return self._number(inner, packet) >> low & (1 << high - low + 1) - 1, high - low + 1
            case Unary(op="!", of=inner):
                return not self._truth(inner, packet)
            case Cast(width=width, of=inner):
                return self._number(inner, packet) & (1 << width) - 1, width
            case CallOf(function=("hdr", name, "isValid"), args=()):
                return packet.headers[name].valid
            case Binary(op="&&", left=left, right=right):
                return self._truth(left, packet) and self._truth(right, packet)
            case Binary(op="||", left=left, right=right):
                return self._truth(left, packet) or self._truth(right, packet)
            case Binary(op=op, left=left, right=right):
                return _binary(op, self._value(left, packet), self._value(right, packet))
        raise Mistake(f"no such expression: {of}")

    def _named(self, path: tuple[str, ...], of: Name, packet: Packet) -> Value:
        match path:
            case (name,) if name in packet.locals:
                return packet.locals[name]
            case (name,) if name in self.program.constants:
                return self.program.constants[name]
            case ("m", name):
                return packet.metadata[name], packet.widths[name]
            case ("hdr", header, name):
                return packet.headers[header].values[name], packet.headers[header].widths[name]
            case ("standard", name):
                return packet.standard[name], self._width_of(of, packet)
        raise Mistake(f"no `{'.'.join(path)}`")


def _binary(op: str, left: Value, right: Value) -> Value:
    if isinstance(left, bool) or isinstance(right, bool):
        raise Mistake(f"`{op}` of a bool")
    (a, wide), (b, other) = left, right
    if op == "++":
        if not wide or not other:
            raise Mistake("what is joined has a width")
        return a << other | b, wide + other
    width = wide or other
    if wide and other and wide != other:
        raise Mistake(f"`{op}` of bit<{wide}> and bit<{other}>")
    match op:
        case "==":
            return a == b
        case "!=":
            return a != b
        case "<":
            return a < b
        case ">":
            return a > b
        case "<=":
            return a <= b
        case ">=":
            return a >= b
    if not width:
        raise Mistake(f"`{op}` of two numbers without a width")
    mask = (1 << width) - 1
    match op:
        case "+":
            return a + b & mask, width
        case "-":
            return a - b & mask, width
        case "&":
            return a & b, width
        case "|":
            return a | b, width
        case "^":
            return a ^ b, width
    raise Mistake(f"no `{op}`")


def _fits(wanted: int | tuple[int, int], key: int) -> bool:
    return wanted[0] <= key <= wanted[1] if isinstance(wanted, tuple) else wanted == key


def _checksum(data: bytes) -> int:
    total = sum(int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


__all__ = ["DROPPED", "Entry", "Mistake", "Switch", "Table"]
