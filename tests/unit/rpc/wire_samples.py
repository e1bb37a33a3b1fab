# SPDX-License-Identifier: Apache-2.0
"""Random serialised messages, whole and broken, and what google.protobuf reads in them: the oracle of both scanners."""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from transect.rpc.messages import protos
from transect.rpc.messages.plan import Plan, Plans, Slot
from transect.rpc.messages.rewriter import put_field, put_varint
from transect.rpc.messages.scanner import MAX_DEPTH, Malformed, Node, read_raw, read_tag, skip
from transect.rpc.messages.wire import Kind, Presence, ProtoField, ProtoMessage, ProtoService

FOLDER = Path(__file__).parent / "protos"
SPECIAL = (0, 1, 2, 3, 127, 128, 300, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1)
NAN_BITS = (0x7FF8 << 48, 0xFFF8 << 48, 0x7FF0 << 48 | 1, 0x7FC00000, 0xFFC00001, 0x7FA00000)
"""NaN as a double or a float: of either sign, quiet and signalling, with something in them."""
TEXTS = (
    b"",
    b"a",
    b"bob",
    "grün€𝄞".encode(),
    b"x" * 70,
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"ab\xe2\x82",
)


@cache
def descriptors() -> bytes:
    return protos.compile_protos([FOLDER / "sample.proto", FOLDER / "strict.proto"])


@cache
def pool() -> descriptor_pool.DescriptorPool:
    made = descriptor_pool.DescriptorPool()
    for file in FileDescriptorSet.FromString(descriptors()).file:
        made.AddSerializedFile(file.SerializeToString())
    return made


@cache
def message_class(name: str) -> Any:
    return message_factory.GetMessageClass(pool().FindMessageTypeByName(name))


@cache
def service(name: str) -> ProtoService:
    found = protos.from_set(descriptors()).service(name)
    assert found is not None
    return found


# ---------------------------------------------------------------- random bytes


class Maker:
    """Serialised messages of one type: valid, odd, and broken ones."""

    def __init__(self, seed: int, messages: dict[str, ProtoMessage], *, broken_text: bool = True) -> None:
        self.random = random.Random(seed)
        self.messages = messages
        self.texts = TEXTS if broken_text else TEXTS[:5]

    def message(self, name: str, depth: int = 0) -> bytes:
        out = bytearray()
        for _ in range(self.random.randrange(0, 7 if depth < 2 else 3)):
            self._field(out, name, depth)
        return bytes(out)

    def broken(self, name: str) -> bytes:
        """A message, now and then a large one, mutated in half of the cases."""
        pieces = 60 if self.random.random() < 0.02 else 1
        data = bytearray(b"".join(self.message(name) for _ in range(pieces)))
        if data and self.random.random() < 0.5:
            for _ in range(self.random.randrange(1, 4)):
                self._mutate(data)
        return bytes(data)

    def _mutate(self, data: bytearray) -> None:
        at = self.random.randrange(len(data) + 1)
        match self.random.randrange(5):
            case 0:
                del data[at:]
            case 1:
                data.insert(at, self.random.randrange(256))
            case 2 if at < len(data):
                data[at] ^= 1 << self.random.randrange(8)
            case 3 if at < len(data):
                del data[at]
            case _:
                data[at:at] = b"\x80" * self.random.randrange(1, 12)

    def _field(self, out: bytearray, name: str, depth: int) -> None:
        fields = self.messages[name].fields
        f = self.random.choice(fields)
        roll = self.random.random()
        if roll < 0.06:
            self._unknown(out, self.random.choice((f.number, 99, 2000, 536870911)))
        elif roll < 0.12:
            self._padded(out, f)
        elif f.presence is Presence.REPEATED and f.kind.packable and self.random.random() < 0.5:
            run = bytearray()
            for _ in range(self.random.randrange(4)):
                self._content(run, f, depth)
            self._sized(out, f.number, bytes(run))
        else:
            put_varint(out, f.tag)
            self._content(out, f, depth)

    def _content(self, out: bytearray, f: ProtoField, depth: int) -> None:
        match f.kind:
            case Kind.STRING:
                self._put_sized(out, self.random.choice(self.texts))
            case Kind.BYTES:
                self._put_sized(out, self.random.choice(TEXTS))
            case Kind.MESSAGE:
                self._put_sized(out, self.message(f.message, depth + 1) if depth < 4 else b"")
            case Kind.GROUP:
                out += self.message(f.message, depth + 1) if depth < 4 else b""
                put_varint(out, f.number << 3 | 4)
            case Kind.DOUBLE | Kind.FIXED64 | Kind.SFIXED64:
                out += self._number().to_bytes(8, "little")
            case Kind.FLOAT | Kind.FIXED32 | Kind.SFIXED32:
                out += (self._number() & 0xFFFFFFFF).to_bytes(4, "little")
            case Kind.BOOL | Kind.ENUM:
                self._put_long(out, self.random.choice((0, 1, 2, 3, self._number())))
            case _:
                self._put_long(out, self._number())

    def _number(self) -> int:
        if self.random.random() < 0.5:
            return self.random.choice((*SPECIAL, *NAN_BITS))
        return self.random.getrandbits(self.random.choice((7, 16, 32, 64)))

    def _put_long(self, out: bytearray, value: int) -> None:
        """A varint, now and then with useless bytes."""
        start = len(out)
        put_varint(out, value)
        if self.random.random() < 0.1:
            for _ in range(self.random.randrange(1, 12 - (len(out) - start))):
                out[-1] |= 0x80
                out.append(0)

    def _put_sized(self, out: bytearray, data: bytes) -> None:
        self._put_long(out, len(data)) if self.random.random() < 0.05 else put_varint(out, len(data))
        out += data

    def _sized(self, out: bytearray, number: int, data: bytes) -> None:
        put_varint(out, number << 3 | 2)
        self._put_sized(out, data)

    def _padded(self, out: bytearray, f: ProtoField) -> None:
        """A tag of more bytes than it needs."""
        self._put_long(out, f.tag)
        self._content(out, f, 4)

    def _unknown(self, out: bytearray, number: int) -> None:
        """A field under any wire type, right or wrong; groups with something in them."""
        wire = self.random.choice((0, 1, 2, 3, 5))
        put_varint(out, number << 3 | wire)
        match wire:
            case 0:
                self._put_long(out, self._number())
            case 1:
                out += bytes(8)
            case 2:
                self._put_sized(out, self.random.choice(TEXTS))
            case 5:
                out += bytes(4)
            case _:
                if self.random.random() < 0.5:
                    self._unknown(out, self.random.choice((1, 7, 99)))
                put_varint(out, number << 3 | 4)


# ---------------------------------------------------------------- one form for both readers


def plain(f: ProtoField, value: Any) -> Any:
    """Floats by their bits, so that NaN equals itself."""
    return (
        struct.pack("<d", value)
        if f.kind in (Kind.FLOAT, Kind.DOUBLE) and not math.isnan(value)
        else "nan"
        if f.kind in (Kind.FLOAT, Kind.DOUBLE)
        else value
    )


def from_google(message: Any, plans: Plans, plan: Plan) -> dict[str, Any]:
    """What google.protobuf found, for the fields of a plan."""
    return {s.field.name: _google_field(message, plans, s) for s in plan.visible}


def _google_field(message: Any, plans: Plans, slot: Slot) -> Any:
    f = slot.field
    if f.presence is Presence.EXPLICIT and not message.HasField(f.name):
        return ("absent", None if f.kind.nested else plain(f, getattr(message, f.name)))
    value = getattr(message, f.name)
    match f.presence:
        case Presence.MAP:
            assert slot.value is not None
            return {k: _one(plans, slot.inner, slot.value, value[k]) for k in value}
        case Presence.REPEATED:
            return [_one(plans, slot.inner, f, v) for v in value]
        case Presence.EXPLICIT:
            return ("present", _one(plans, slot.inner, f, value))
        case _:
            return plain(f, value)


def _one(plans: Plans, inner: str, f: ProtoField, value: Any) -> Any:
    return from_google(value, plans, plans[inner]) if inner else plain(f, value)


def from_node(node: Node, plans: Plans) -> dict[str, Any]:
    """What our scanner found, in the same form."""
    return {s.field.name: _node_field(node, plans, s) for s in node.plan.visible}


def _node_field(node: Node, plans: Plans, slot: Slot) -> Any:
    f, value = slot.field, node.values[slot.index]

    def one(of: ProtoField, v: Any) -> Any:
        return from_node(v, plans) if slot.inner else plain(of, v)

    match f.presence:
        case Presence.MAP:
            assert slot.value is not None
            return {k: one(slot.value, v) for k, v in value.items()}
        case Presence.REPEATED:
            return [one(f, v) for v in value]
        case Presence.EXPLICIT if node.present(slot):
            return ("present", one(f, value))
        case Presence.EXPLICIT:
            return ("absent", None if f.kind.nested else plain(f, value))
        case _:
            return plain(f, value)


def samples(seed: int, name: str, messages: dict[str, ProtoMessage], count: int) -> Iterator[bytes]:
    maker = Maker(seed, messages)
    for _ in range(count):
        yield maker.broken(name)


def tidy(data: bytes, message: ProtoMessage, messages: dict[str, ProtoMessage]) -> bytes:
    """The message without unknown fields in its map entries: for them Python's protobuf (upb) sets an entry aside."""
    out = bytearray()
    at = 0
    try:
        while at < len(data):
            start = at
            tag, at = read_tag(data, at)
            raw, at = read_raw(data, at, tag, MAX_DEPTH)
            f = next((f for f in message.fields if f.tag == tag and f.presence is Presence.MAP), None)
            if f is None:
                out += data[start:at]
            else:
                put_field(out, f, _known(raw, messages[f.message]))
    except Malformed:
        return data
    return bytes(out)


def _known(entry: bytes, message: ProtoMessage) -> bytes:
    out = bytearray()
    at = 0
    while at < len(entry):
        start = at
        tag, at = read_tag(entry, at)
        at = skip(entry, at, tag, MAX_DEPTH - 1)
        if tag in [f.tag for f in message.fields]:
            out += entry[start:at]
    return bytes(out)


def field_bytes(f: ProtoField, value: Any) -> bytes:
    out = bytearray()
    put_field(out, f, value)
    return bytes(out)


Reader = Callable[[bytes], dict[str, Any] | None]
