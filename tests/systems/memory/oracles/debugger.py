# SPDX-License-Identifier: Apache-2.0
"""drgn on a memory file: types come from BTF by a finder, memory through the linear map and the image, and where
modules are, through our walk of the page tables."""

from __future__ import annotations

from typing import Any

import drgn

from transect.linux.btf import Btf, Kind, Member
from transect.linux.physical import FileMemory
from transect.memory.machine import Machine

MASK = (1 << 64) - 1
MODULES = 0xFFFFFFFF80000000 + (1 << 30)  # where x86-64 has modules, behind its image
TAGGED = {
    drgn.TypeKind.STRUCT: Kind.STRUCT,
    drgn.TypeKind.UNION: Kind.UNION,
    drgn.TypeKind.ENUM: Kind.ENUM,
    drgn.TypeKind.TYPEDEF: Kind.TYPEDEF,
    drgn.TypeKind.INT: Kind.INT,
    drgn.TypeKind.BOOL: Kind.INT,
}


class Types:
    """BTF as drgn's types, made as they are asked for."""

    def __init__(self, program: drgn.Program, btf: Btf) -> None:
        self.program, self.btf = program, btf
        self._made: dict[int, drgn.Type] = {}

    def find(
        self, program: drgn.Program, kinds: drgn.TypeKindSet, name: str, filename: str | None
    ) -> drgn.Type | None:
        """A type finder."""
        wanted = [kind for drgns, kind in TAGGED.items() if drgns in kinds]
        found = self.btf.named(name, *wanted) if wanted else None
        return None if found is None else self.type(found.id)

    def type(self, number: int) -> drgn.Type:
        if number not in self._made:
            self._made[number] = self._make(number)
        return self._made[number]

    def _make(self, number: int) -> drgn.Type:
        found, program = self.btf.type(number), self.program
        match found.kind:
            case Kind.INT if found.name == "_Bool":
                return program.bool_type(found.name, found.size)
            case Kind.INT:
                return program.int_type(found.name, found.size, found.signed)
            case Kind.PTR:
                return program.pointer_type(self.type(found.target))
            case Kind.ARRAY:
                return program.array_type(self.type(found.target), found.length)
            case Kind.STRUCT | Kind.UNION:
                make: Any = program.struct_type if found.kind is Kind.STRUCT else program.union_type
                return make(found.name or None, found.size, [self._member(m) for m in found.members])
            case Kind.ENUM | Kind.ENUM64:
                values = [drgn.TypeEnumerator(name, value) for name, value in found.values]
                base = program.int_type("int", found.size, True)
                return program.enum_type(found.name or None, base, values)
            case Kind.TYPEDEF:
                return program.typedef_type(found.name, self.type(found.target))
            case Kind.CONST | Kind.VOLATILE | Kind.RESTRICT | Kind.TYPE_TAG:
                return self.type(found.target)
            case Kind.FUNC_PROTO:
                return program.function_type(program.void_type(), [], False)
            case Kind.FWD:
                return program.struct_type(found.name)
            case _:
                return program.void_type()

    def _member(self, member: Member) -> drgn.TypeMember:
        def made() -> Any:
            kind = self.type(member.type)
            return drgn.Object(self.program, kind, bit_field_size=member.bits) if member.bits else kind

        return drgn.TypeMember(made, member.name or None, member.bit_offset)


def program(machine: Machine) -> drgn.Program:
    """A program of drgn for a kernel whose memory is a file."""
    made = drgn.Program(drgn.Platform(drgn.Architecture.X86_64))
    memory, where = machine.physical, machine.where
    assert isinstance(memory, FileMemory)
    top = max(r.end for r in memory.ranges)
    image = machine.running(machine.text)
    made.add_memory_segment(MODULES, 1 << 30, lambda address, count, *_: machine.read(address & MASK, count))
    for start, size, physical in ((where.linear, top, 0), (image, machine.image_size, where.base)):
        made.add_memory_segment(
            start, size, lambda _, count, offset, __, at=physical: memory.read(at + offset, count)
        )
    made.register_type_finder("btf", Types(made, machine.known.btf).find, enable_index=0)
    return made


def at(made: drgn.Program, machine: Machine, kind: str, symbol: str) -> drgn.Object:
    """The object of that type at a symbol."""
    return drgn.Object(made, made.type(kind), address=machine.symbol(symbol))
