# SPDX-License-Identifier: Apache-2.0
"""BTF: the types of a kernel, as the kernel itself carries them (`/sys/kernel/btf/vmlinux`, section `.BTF`).

One pass finds where each type's record begins; a type is decoded when it is asked for.  Every number of the file is
checked before it is used, so any input ends in types or in `KernelDataError`.

Format: the kernel's documentation, `Documentation/bpf/btf.rst`.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

from transect.linux.errors import KernelDataError

MAGIC = 0xEB9F
HEADER = struct.Struct(
    "<HBBIIIII"
)  # magic, version, flags, header length, types: offset, size, strings: offset, size
RECORD = struct.Struct("<III")  # name, info, size or type
MEMBER = struct.Struct("<III")  # name, type, offset
WORD = struct.Struct("<I")
POINTER = 8  # bytes
DEPTH = 64  # typedefs, qualifiers and anonymous members within each other, at most


class Kind(IntEnum):
    """Kinds of types, by their numbers in the format."""

    VOID = 0
    INT = 1
    PTR = 2
    ARRAY = 3
    STRUCT = 4
    UNION = 5
    ENUM = 6
    FWD = 7
    TYPEDEF = 8
    VOLATILE = 9
    CONST = 10
    RESTRICT = 11
    FUNC = 12
    FUNC_PROTO = 13
    VAR = 14
    DATASEC = 15
    FLOAT = 16
    DECL_TAG = 17
    TYPE_TAG = 18
    ENUM64 = 19


# Bytes that follow the record: a fixed number, and a number for each of the record's `vlen` members.
_TAIL: dict[int, tuple[int, int]] = {
    Kind.INT: (4, 0),
    Kind.PTR: (0, 0),
    Kind.ARRAY: (12, 0),
    Kind.STRUCT: (0, 12),
    Kind.UNION: (0, 12),
    Kind.ENUM: (0, 8),
    Kind.FWD: (0, 0),
    Kind.TYPEDEF: (0, 0),
    Kind.VOLATILE: (0, 0),
    Kind.CONST: (0, 0),
    Kind.RESTRICT: (0, 0),
    Kind.FUNC: (0, 0),
    Kind.FUNC_PROTO: (0, 8),
    Kind.VAR: (4, 0),
    Kind.DATASEC: (0, 12),
    Kind.FLOAT: (0, 0),
    Kind.DECL_TAG: (4, 0),
    Kind.TYPE_TAG: (0, 0),
    Kind.ENUM64: (0, 12),
}
_TRANSPARENT = frozenset({Kind.TYPEDEF, Kind.VOLATILE, Kind.CONST, Kind.RESTRICT, Kind.TYPE_TAG})
_SIZED = frozenset({Kind.INT, Kind.STRUCT, Kind.UNION, Kind.ENUM, Kind.FLOAT, Kind.ENUM64, Kind.DATASEC})


@dataclass(frozen=True, slots=True)
class Member:
    """A member as it is declared."""

    name: str  # "" for an anonymous struct or union
    type: int
    bit_offset: int  # from the start of the struct
    bits: int  # width of a bit field; 0 for an ordinary member


@dataclass(frozen=True, slots=True)
class Type:
    """One type.  Which fields mean something depends on the kind."""

    id: int
    kind: Kind
    name: str
    size: int  # bytes: INT, STRUCT, UNION, ENUM, FLOAT, ENUM64
    target: int  # PTR, TYPEDEF, qualifiers, FUNC, VAR: the type it refers to; ARRAY: its elements
    length: int  # ARRAY: elements
    signed: bool  # INT, ENUM, ENUM64
    members: tuple[Member, ...]  # STRUCT, UNION
    values: tuple[tuple[str, int], ...]  # ENUM, ENUM64


@dataclass(frozen=True, slots=True)
class Field:
    """Where a field lies, after typedefs, qualifiers and anonymous members."""

    path: str  # `task_struct.se.run_node`
    offset: int  # bytes from the start of the outermost struct
    bit: int  # bit fields: the first bit within those bytes
    bits: int  # 0 for an ordinary field
    type: Type  # resolved


VOID = Type(0, Kind.VOID, "void", 0, 0, 0, False, (), ())


@dataclass(frozen=True, slots=True)
class Index:
    """Where the types of a BTF are."""

    at: Sequence[int]  # the record of each
    names: bytes | memoryview  # where the name of each is, in words of four bytes


class Btf:
    """The types of one kernel.  `base` is the kernel's BTF when this is a module's."""

    def __init__(self, data: bytes, base: Btf | None = None, index: Index | None = None) -> None:
        """`index`: that of the same data, kept from an earlier run.

        Raises `KernelDataError` when the data is no BTF or ends too early.
        """
        self._base = base
        self._first: int = 1 if base is None else base._first + len(base._at)
        self._first_string: int = 0 if base is None else base._strings_end
        types, self._strings = _sections(data)
        self._types = types
        self._strings_end: int = self._first_string + len(self._strings)
        self._at: Sequence[int] = _offsets(types) if index is None else index.at
        self._names: bytes = self._name_places() if index is None else bytes(index.names)
        self._numbers: dict[bytes, dict[int, int]] = {}
        self._decoded: dict[int, Type] = {}

    def __len__(self) -> int:
        return self._first + len(self._at)

    # ------------------------------------------------------------ types by number

    def type(self, number: int) -> Type:
        """The type of that number.  Raises `KernelDataError`."""
        if number == 0:
            return VOID
        if number < self._first:
            assert self._base is not None
            return self._base.type(number)
        if number not in self._decoded:
            self._decoded[number] = self._decode(number)
        return self._decoded[number]

    def _decode(self, number: int) -> Type:
        index = number - self._first
        if not 0 <= index < len(self._at):
            raise KernelDataError(f"BTF has no type {number}")
        at = self._at[index]
        name_at, info, size_or_type = RECORD.unpack_from(self._types, at)
        kind, count, flag = Kind(info >> 24 & 0x1F), info & 0xFFFF, bool(info >> 31)
        target, length, signed = (0 if kind in _SIZED else size_or_type), 0, False
        members: tuple[Member, ...] = ()
        values: tuple[tuple[str, int], ...] = ()
        at += RECORD.size
        match kind:
            case Kind.INT:
                signed = bool(self._types[at + 3] & 1)
            case Kind.ARRAY:
                target, _, length = MEMBER.unpack_from(self._types, at)
            case Kind.STRUCT | Kind.UNION:
                members = tuple(self._members(at, count, flag))
            case Kind.ENUM | Kind.ENUM64:
                signed = flag
                values = tuple(self._values(at, count, kind is Kind.ENUM64, signed))
            case _:
                pass
        size = size_or_type if kind in _SIZED else POINTER if kind is Kind.PTR else 0
        return Type(number, kind, self.string(name_at), size, target, length, signed, members, values)

    def _members(self, at: int, count: int, flag: bool) -> Iterator[Member]:
        for name, member, offset in MEMBER.iter_unpack(self._types[at : at + MEMBER.size * count]):
            yield Member(
                self.string(name), member, offset & 0xFFFFFF if flag else offset, offset >> 24 if flag else 0
            )

    def _values(self, at: int, count: int, wide: bool, signed: bool) -> Iterator[tuple[str, int]]:
        step, bits = (12, 64) if wide else (8, 32)
        for start in range(at, at + step * count, step):
            name = int.from_bytes(self._types[start : start + 4], "little")
            value = int.from_bytes(self._types[start + 4 : start + step], "little")
            yield self.string(name), value - (1 << bits) if signed and value >> (bits - 1) else value

    def string(self, at: int) -> str:
        """A name by its offset.  Raises `KernelDataError`."""
        if at < self._first_string:
            assert self._base is not None
            return self._base.string(at)
        at -= self._first_string
        end = self._strings.find(b"\0", at)
        if at >= len(self._strings) or end < 0:
            raise KernelDataError(f"BTF names a string at {at}, beyond its {len(self._strings)} bytes")
        return self._strings[at:end].decode("utf-8", "replace")

    # ------------------------------------------------------------ types by name

    @property
    def index(self) -> Index:
        """The index, to be kept for the next run."""
        return Index(self._at, self._names)

    def _name_places(self) -> bytes:
        words = _words(self._types)
        return array("I", [words[at // 4] for at in self._at]).tobytes()

    def _numbers_of(self, name: bytes) -> dict[int, int]:
        """Number of the first type of that name, by kind.

        The name is looked for among the strings, and its position then among the types.  If a file does not hold each
        string once and whole, as the kernel's build writes them, all types are searched.
        """
        if not name:
            return {}
        if name not in self._numbers:
            found: dict[int, int] = {}
            for place in self._places(name):
                self._add_named(found, place)
            self._numbers[name] = found or self._every_name.get(name, {})
        return self._numbers[name]

    def _places(self, name: bytes) -> Iterator[int]:
        """Where a string stands."""
        whole = b"\0%b\0" % name
        at = self._strings.find(whole)
        while at >= 0:
            yield self._first_string + at + 1
            at = self._strings.find(whole, at + 1)
        if self._base is not None:
            yield from self._base._places(name)

    def _add_named(self, found: dict[int, int], place: int) -> None:
        wanted = WORD.pack(place)
        at = self._names.find(wanted)
        while at >= 0:
            if at % 4 == 0:
                kind, number = self._kind(at // 4), self._first + at // 4
                found[kind] = min(found.get(kind, number), number)
            at = self._names.find(wanted, at + 1)

    def _kind(self, index: int) -> int:
        return self._types[self._at[index] + 7] & 0x1F

    @cached_property
    def _every_name(self) -> dict[bytes, dict[int, int]]:
        found: dict[bytes, dict[int, int]] = {}
        for index, (place,) in enumerate(WORD.iter_unpack(self._names)):
            if place:
                name = self.string(place).encode()
                found.setdefault(name, {}).setdefault(self._kind(index), self._first + index)
        return found

    def named(self, name: str, *kinds: Kind) -> Type | None:
        """The type of that name among the kinds (struct, union, typedef, enum, int when none is given)."""
        for kind in kinds or (Kind.STRUCT, Kind.UNION, Kind.TYPEDEF, Kind.ENUM, Kind.ENUM64, Kind.INT):
            if (number := self._numbers_of(name.encode()).get(kind)) is not None:
                return self.type(number)
        return None if self._base is None else self._base.named(name, *kinds)

    def struct(self, name: str) -> Type:
        """Raises `KernelDataError` when there is no struct or union of that name."""
        found = self.named(name, Kind.STRUCT, Kind.UNION)
        if found is None and (alias := self.named(name, Kind.TYPEDEF)) is not None:
            found = self.resolve(alias.id)
        if found is None or found.kind not in (Kind.STRUCT, Kind.UNION):
            raise KernelDataError(f"this kernel's BTF has no `struct {name}`")
        return found

    def names(self, kind: Kind) -> list[str]:
        """All names of a kind, for suggestions."""
        return [name.decode("utf-8", "replace") for name, kinds in self._every_name.items() if kind in kinds]

    @cached_property
    def constants(self) -> dict[str, int]:
        """Every member of every enum, anonymous ones too (`MOD_TEXT`, `PIDTYPE_PID`); the first of equal names."""
        found: dict[str, int] = {}
        for number, at in enumerate(self._at, self._first):
            if RECORD.unpack_from(self._types, at)[1] >> 24 & 0x1F in (Kind.ENUM, Kind.ENUM64):
                for name, value in self.type(number).values:
                    found.setdefault(name, value)
        return found

    # ------------------------------------------------------------ layout

    def resolve(self, number: int) -> Type:
        """The type behind typedefs and qualifiers."""
        for _ in range(DEPTH):
            found = self.type(number)
            if found.kind not in _TRANSPARENT:
                return found
            number = found.target
        raise KernelDataError(f"BTF type {number}: more than {DEPTH} typedefs in a chain")

    def size_of(self, number: int) -> int:
        """Bytes of a type."""
        size = 1
        for _ in range(DEPTH):
            found = self.resolve(number)
            if found.kind is not Kind.ARRAY:
                return size * found.size
            size *= found.length
            number = found.target
        raise KernelDataError(f"BTF type {number}: more than {DEPTH} arrays in each other")

    def field(self, struct: str | Type, path: str) -> Field:
        """Where `path` (`se.run_node`, `fs.start`, members of anonymous unions by their own name) lies.

        Raises `KernelDataError` which names the struct and the part that is not there.
        """
        current = self.struct(struct) if isinstance(struct, str) else struct
        name, offset, member = current.name, 0, None
        for part in path.split("."):
            member = self._find(current, part, 0, set())
            if member is None:
                raise KernelDataError(f"this kernel's `struct {current.name or name}` has no field `{part}`")
            offset += member.bit_offset
            current = self.resolve(member.type)
        assert member is not None
        bit = offset % 8 if member.bits else 0
        return Field(f"{name}.{path}", offset // 8, bit, member.bits, current)

    def has(self, struct: str, path: str) -> bool:
        """Whether the kernel has that field."""
        try:
            self.field(struct, path)
        except KernelDataError:
            return False
        return True

    def _find(self, owner: Type, name: str, bits: int, seen: set[int]) -> Member | None:
        """The member, with its offset from the start of `owner`; anonymous members are looked into, each type once."""
        if owner.id in seen or len(seen) > DEPTH:
            return None
        seen.add(owner.id)
        for m in owner.members:
            if m.name == name:
                return Member(m.name, m.type, bits + m.bit_offset, m.bits)
            if not m.name:
                inner = self._find(self.resolve(m.type), name, bits + m.bit_offset, seen)
                if inner is not None:
                    return inner
        return None


def _sections(data: bytes) -> tuple[bytes, bytes]:
    """The type and string sections."""
    if len(data) < HEADER.size:
        raise KernelDataError("this is no BTF: it is shorter than a header")
    magic, version, _, header, types_at, types_size, strings_at, strings_size = HEADER.unpack_from(data)
    if magic != MAGIC or version != 1 or header < HEADER.size:
        raise KernelDataError(f"this is no BTF of version 1 in little-endian order (magic {magic:#06x})")
    if header + max(types_at + types_size, strings_at + strings_size) > len(data):
        raise KernelDataError(f"this BTF is cut off: its sections go beyond its {len(data)} bytes")
    types = data[header + types_at : header + types_at + types_size]
    strings = data[header + strings_at : header + strings_at + strings_size]
    if not strings or strings[-1]:
        raise KernelDataError("the strings of this BTF have no end")
    return types, strings


def _words(types: bytes) -> memoryview:
    """The whole words of the types."""
    return memoryview(types)[: len(types) & ~3].cast("I")


def _offsets(types: bytes) -> list[int]:
    """Where each type's record begins."""
    found: list[int] = []
    at, size = 0, len(types)
    words = _words(types)
    tails = [_TAIL.get(kind) for kind in range(32)]
    while at < size:
        if at + RECORD.size > size:
            raise KernelDataError(f"BTF ends within type {len(found) + 1}")
        info = words[at // 4 + 1]  # all sizes are multiples of four
        tail = tails[info >> 24 & 0x1F]
        if tail is None:
            raise KernelDataError(f"BTF type {len(found) + 1} is of an unknown kind, {info >> 24 & 0x1F}")
        found.append(at)
        at += RECORD.size + tail[0] + tail[1] * (info & 0xFFFF)
    if at > size:
        raise KernelDataError(f"BTF ends within type {len(found)}")
    return found
