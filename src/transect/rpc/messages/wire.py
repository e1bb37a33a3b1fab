# SPDX-License-Identifier: Apache-2.0
"""What is known of protobuf: kinds of fields, messages, services, as plain data; `protos.py` reads descriptors."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum


class Wire(IntEnum):
    """The last three bits of a tag; 6 and 7 are malformed."""

    VARINT = 0
    FIXED64 = 1
    SIZED = 2
    START_GROUP = 3
    END_GROUP = 4
    FIXED32 = 5


class Kind(StrEnum):
    DOUBLE = "double"
    FLOAT = "float"
    INT64 = "int64"
    UINT64 = "uint64"
    INT32 = "int32"
    FIXED64 = "fixed64"
    FIXED32 = "fixed32"
    BOOL = "bool"
    STRING = "string"
    GROUP = "group"  # a sub-message between two tags; also `DELIMITED` of the editions
    MESSAGE = "message"
    BYTES = "bytes"
    UINT32 = "uint32"
    ENUM = "enum"
    SFIXED32 = "sfixed32"
    SFIXED64 = "sfixed64"
    SINT32 = "sint32"
    SINT64 = "sint64"

    @property
    def wire(self) -> Wire:
        return _WIRES.get(self, Wire.VARINT)

    @property
    def packable(self) -> bool:
        return self.wire in (Wire.VARINT, Wire.FIXED64, Wire.FIXED32)

    @property
    def nested(self) -> bool:
        return self in (Kind.MESSAGE, Kind.GROUP)


_WIRES = {
    Kind.DOUBLE: Wire.FIXED64,
    Kind.FIXED64: Wire.FIXED64,
    Kind.SFIXED64: Wire.FIXED64,
    Kind.FLOAT: Wire.FIXED32,
    Kind.FIXED32: Wire.FIXED32,
    Kind.SFIXED32: Wire.FIXED32,
    Kind.STRING: Wire.SIZED,
    Kind.BYTES: Wire.SIZED,
    Kind.MESSAGE: Wire.SIZED,
    Kind.GROUP: Wire.START_GROUP,
}

BITS = {  # of integers: (bits, signed)
    Kind.INT32: (32, True),
    Kind.SINT32: (32, True),
    Kind.SFIXED32: (32, True),
    Kind.ENUM: (32, True),
    Kind.UINT32: (32, False),
    Kind.FIXED32: (32, False),
    Kind.INT64: (64, True),
    Kind.SINT64: (64, True),
    Kind.SFIXED64: (64, True),
    Kind.UINT64: (64, False),
    Kind.FIXED64: (64, False),
}


class Presence(StrEnum):
    IMPLICIT = "implicit"  # absent reads as the type's zero, and zero is not sent
    EXPLICIT = "explicit"  # `optional`, a member of a oneof, a sub-message
    REPEATED = "repeated"
    MAP = "map"


@dataclass(frozen=True, slots=True)
class ProtoEnum:
    name: str  # full
    members: tuple[tuple[str, int], ...]
    closed: bool  # proto2: a number without a name counts as an unknown field


@dataclass(frozen=True, slots=True)
class ProtoField:
    name: str
    number: int
    kind: Kind  # of a map: MESSAGE
    presence: Presence
    message: str = ""  # full name of the sub-message; of a map: of its entries
    enum: ProtoEnum | None = None
    default: object = None  # a plain value of the kind; None for nested, repeated and map fields
    oneof: str = ""  # name of its oneof, where that has at least two members

    @property
    def tag(self) -> int:
        return self.number << 3 | self.kind.wire

    @property
    def packed_tag(self) -> int:
        return self.number << 3 | Wire.SIZED


@dataclass(frozen=True, slots=True)
class ProtoMessage:
    name: str  # full: package.Outer.Inner
    file: str
    fields: tuple[ProtoField, ...]

    def field(self, name: str) -> ProtoField | None:
        return next((f for f in self.fields if f.name == name), None)


@dataclass(frozen=True, slots=True)
class ProtoMethod:
    name: str
    path: str  # /package.Service/Method
    request: str  # full names of messages
    reply: str
    client_streams: bool = False
    server_streams: bool = False

    @property
    def streams(self) -> bool:
        return self.client_streams or self.server_streams


@dataclass(frozen=True, slots=True)
class ProtoService:
    """A service, with every message that its methods can reach."""

    name: str  # full
    file: str
    methods: tuple[ProtoMethod, ...]
    messages: dict[str, ProtoMessage] = field(repr=False)

    def method(self, name: str) -> ProtoMethod | None:
        return next((m for m in self.methods if m.name == name), None)
