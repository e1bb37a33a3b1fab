# SPDX-License-Identifier: Apache-2.0
"""The binary encoding of values by their type: for state images, logs and control.  Emitted C writes the same bytes.

Little-endian, no padding, no tags beyond those a type needs; the reader knows the type.  Reading is strict: bytes that
are missing, left over, out of range or in another order than the writer's raise `CodecError`.

| type                                     | bytes                                                              |
|------------------------------------------|--------------------------------------------------------------------|
| int of any width, times, enum, key       | 8 (unsigned for unsigned integers and keys)                        |
| bool                                     | 1: 0 or 1                                                          |
| float                                    | 8 (IEEE 754 binary64; every NaN as 0x7ff8000000000000)             |
| text, bytes                              | u32 size, then the bytes                                           |
| tuple, struct                            | the items in order                                                 |
| option                                   | u8 tag, then the value if 1                                        |
| union                                    | u8 index of the case, then the struct                              |
| set, sequence; map of outside data       | u32 count, then the items; (key, value) pairs                      |
| table, tally, ordered, lru               | u32 count, then (key, value) pairs in order of iteration           |
| array; counter; histogram                | the items; 8; 64 × 8                                               |
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

from transect.base.counted import counted
from transect.core.ir import FieldKind, StateField
from transect.core.tables import BUCKETS, Counter, Histogram, Table
from transect.core.types import (
    U64,
    ArrayType,
    BoolType,
    BytesType,
    CounterType,
    DictType,
    DurationType,
    EnumType,
    FloatType,
    HistogramType,
    InstantType,
    IntType,
    KeyType,
    OptionType,
    SeqType,
    SetType,
    StructType,
    TableKind,
    TableType,
    TextType,
    TupleType,
    Type,
    UnionType,
    UnitType,
    ViewType,
    spell,
)
from transect.core.values import Record, field_of, struct_name

_NAN = struct.pack(
    "<Q", 0x7FF8 << 48
)  # the one encoding of every NaN, since the bits of a NaN depend on the machine

Make = Callable[[StructType, dict[str, object]], object]
"""Builds the value of a struct from its fields."""


class CodecError(ValueError):
    """Bytes that are no encoding of the type, or a value that the type cannot hold."""


@dataclass(frozen=True, slots=True)
class Slot:
    """What a state field holds, in plain form, and how many stores found no room.

    A `Table`, `Counter` … of `tables.py` may stand for its plain form when it is written.
    Plain form: a table is a list of (key, value) pairs in order of iteration (an lru's least recent first; a tally's
    stored zeros included); an array a list; a counter an int; a histogram a list of 64 ints.
    """

    value: Any
    overflow: int = 0


# ---------------------------------------------------------------- writing


def encode(t: Type, value: object) -> bytes:
    """The value's bytes.  Raises `CodecError` when the type cannot hold it."""
    out = bytearray()
    write(out, t, value)
    return bytes(out)


def write(out: bytearray, t: Type, value: Any, bounded: bool = False) -> None:
    """Append the value's bytes.  `bounded`: texts must keep to their bounds, as in state; other values need not."""
    match t:
        case IntType(bits=bits, signed=signed):
            _write_integer(out, value, bits, signed)
        case InstantType() | DurationType() | EnumType():
            _write_integer(out, value, 64, True)
        case CounterType():
            _write_integer(out, value.value if isinstance(value, Counter) else value, 64, False)
        case KeyType():
            _write_integer(out, value, 64, False)
        case BoolType():
            _expect(isinstance(value, bool), "a bool", value)
            out.append(value)
        case FloatType():
            _expect(isinstance(value, float), "a float", value)
            out += float_bytes(value)
        case TextType(bound=bound):
            _expect(isinstance(value, str), "a text", value)
            _write_sized(out, _utf8(value), bound if bounded else None)
        case BytesType(bound=bound):
            _expect(isinstance(value, bytes), "bytes", value)
            _write_sized(out, value, bound if bounded else None)
        case UnitType():
            _expect(value is None, "None", value)
        case OptionType(item=item):
            out.append(value is not None)
            if value is not None:
                write(out, item, value, bounded)
        case TupleType(items=items):
            _expect(isinstance(value, tuple) and len(value) == len(items), f"{len(items)} items", value)
            for item_type, item in zip(items, value, strict=True):
                write(out, item_type, item, bounded)
        case StructType(fields=fields):
            for f in fields:
                write(out, f.type, _attribute(value, f.name), bounded)
        case UnionType(cases=cases):
            index = _case_of(t, value)
            out.append(index)
            write(out, cases[index], value, bounded)
        case SetType(item=item) | SeqType(item=item):
            _write_items(out, item, list(value), bounded)
        case DictType(key=key_type, value=value_type):
            _write_pairs(out, key_type, value_type, list(value.items()), bounded)
        case TableType():
            pairs = value.entries() if isinstance(value, Table) else list(value)
            _check_entries(t, pairs)
            _write_pairs(out, t.key, t.value, pairs, bounded)
        case ArrayType(item=item, length=length):
            _expect_count(value, length)
            _write_each(out, item, value, bounded)
        case HistogramType():
            buckets = value.buckets if isinstance(value, Histogram) else value
            _expect_count(buckets, BUCKETS)
            _write_each(out, U64, buckets, bounded)
        case ViewType():
            raise CodecError(f"{spell(t)} is a reference to outside data: it has no encoding")
        case _:
            assert_never(t)


def float_bytes(value: float) -> bytes:
    """The bytes of a float as it leaves a policy: every NaN is written as the same one."""
    return _NAN if value != value else struct.pack("<d", value)


def _expect(holds: bool, wanted: str, value: object) -> None:
    if not holds:
        raise CodecError(f"expected {wanted}, found {value!r}")


def limits(bits: int, signed: bool) -> tuple[int, int]:
    """The smallest and the largest integer of that width."""
    return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)


def _write_integer(out: bytearray, value: Any, bits: int, signed: bool) -> None:
    _expect(isinstance(value, int) and not isinstance(value, bool), "an integer", value)
    low, high = limits(bits, signed)
    _expect(low <= value <= high, f"an integer in [{low}, {high}]", value)
    out += int(value).to_bytes(8, "little", signed=signed)


def _utf8(value: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise CodecError(f"{value!r} is not valid UTF-8") from error


def _write_sized(out: bytearray, data: bytes, bound: int | None) -> None:
    _expect(bound is None or len(data) <= bound, f"at most {bound} bytes", data)
    out += len(data).to_bytes(4, "little")
    out += data


def _write_items(out: bytearray, item: Type, values: Sequence[Any], bounded: bool) -> None:
    out += len(values).to_bytes(4, "little")
    _write_each(out, item, values, bounded)


def _write_pairs(out: bytearray, key: Type, value: Type, pairs: Sequence[Any], bounded: bool) -> None:
    _write_items(out, TupleType((key, value)), pairs, bounded)


def _write_each(out: bytearray, item: Type, values: Iterable[Any], bounded: bool) -> None:
    for value in values:
        write(out, item, value, bounded)


def _expect_count(values: Sequence[Any], wanted: int) -> None:
    _expect(len(values) == wanted, f"{wanted} items", values)


def _attribute(value: object, name: str) -> object:
    try:
        return field_of(value, name)
    except (AttributeError, KeyError) as error:
        raise CodecError(f"{value!r} has no field {name}") from error


def _case_of(t: UnionType, value: object) -> int:
    name = struct_name(value)
    for index, case in enumerate(t.cases):
        if case.name == name:
            return index
    raise CodecError(f"{name} is no case of {t.name}")


# ---------------------------------------------------------------- reading


def record(t: StructType, fields: dict[str, object]) -> object:
    """A struct as the interpreter holds it."""
    return Record(t.name, fields)


class Reader:
    """Takes values off the front of some bytes."""

    def __init__(self, data: bytes, make: Make = record, bounded: bool = False) -> None:
        self.data = data
        self.at = 0  # bytes taken so far
        self._make = make
        self._bounds = bounded  # whether texts must keep to their bounds

    @property
    def left(self) -> int:
        """Bytes not yet taken."""
        return len(self.data) - self.at

    def take(self, size: int) -> bytes:
        if size > self.left:
            raise CodecError(f"cut short: {size} bytes wanted at {self.at}, {self.left} are left")
        self.at += size
        return self.data[self.at - size : self.at]

    def integer(self, size: int, signed: bool = False) -> int:
        return int.from_bytes(self.take(size), "little", signed=signed)

    def sized(self) -> bytes:
        """A u32 size and that many bytes."""
        return self.take(self.integer(4))

    def end(self) -> None:
        """Raise unless everything was taken."""
        if self.left:
            raise CodecError(f"{self.left} bytes are left over at {self.at}")

    def value(self, t: Type) -> Any:
        """The next value of that type, in plain form."""
        match t:
            case IntType(bits=bits, signed=signed):
                return self._integer(bits, signed)
            case InstantType() | DurationType():
                return self._integer(64, True)
            case EnumType():
                return self._member(t)
            case KeyType() | CounterType():
                return self._integer(64, False)
            case BoolType():
                return self._flag("bool")
            case FloatType():
                return struct.unpack("<d", self.take(8))[0]
            case TextType(bound=bound):
                return self._text(self._bounded(bound))
            case BytesType(bound=bound):
                return self._bounded(bound)
            case UnitType():
                return None
            case OptionType(item=item):
                return self.value(item) if self._flag("option") else None
            case TupleType(items=items):
                return tuple(self.value(item) for item in items)
            case StructType(fields=fields):
                return self._make(t, {f.name: self.value(f.type) for f in fields})
            case UnionType(cases=cases):
                index = self.integer(1)
                if index >= len(cases):
                    raise CodecError(f"{t.name} has no case {index}")
                return self.value(cases[index])
            case SetType(item=item):
                return dict.fromkeys(self._items(item))
            case SeqType(item=item):
                return tuple(self._items(item))
            case DictType(key=key, value=value):
                return dict(self._pairs(key, value))
            case TableType():
                pairs = self._pairs(t.key, t.value)
                _check_entries(t, pairs)
                return pairs
            case ArrayType(item=item, length=length):
                return [self.value(item) for _ in range(length)]
            case HistogramType():
                return [self.integer(8) for _ in range(BUCKETS)]
            case ViewType():
                raise CodecError(f"{spell(t)} is a reference to outside data: it has no encoding")
            case _:
                assert_never(t)

    def _integer(self, bits: int, signed: bool) -> int:
        value = self.integer(8, signed)
        low, high = limits(bits, signed)
        if not low <= value <= high:
            raise CodecError(f"{value} is out of range for {spell(IntType(bits, signed))}")
        return value

    def _member(self, t: EnumType) -> int:
        value = self.integer(8, True)
        if not t.open and all(value != number for _, number in t.members):
            raise CodecError(f"{t.name} has no member {value}")
        return value

    def _flag(self, what: str) -> bool:
        flag = self.integer(1)
        if flag > 1:
            raise CodecError(f"{flag} is no {what} tag")
        return bool(flag)

    def _bounded(self, bound: int | None) -> bytes:
        data = self.sized()
        if self._bounds and bound is not None and len(data) > bound:
            raise CodecError(f"{len(data)} bytes, where the bound is {bound}")
        return data

    def _text(self, data: bytes) -> str:
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise CodecError(f"{data!r} is not valid UTF-8") from error

    def _items(self, item: Type) -> list[Any]:
        return [self.value(item) for _ in range(self._count())]

    def _pairs(self, key: Type, value: Type) -> list[tuple[Any, Any]]:
        return [(self.value(key), self.value(value)) for _ in range(self._count())]

    def _count(self) -> int:
        """A u32 count of items, each of which takes at least one byte."""
        count = self.integer(4)
        if count > self.left:
            raise CodecError(f"cut short: {count} items wanted at {self.at}, {self.left} bytes are left")
        return count


def _check_entries(t: TableType, pairs: list[tuple[Any, Any]]) -> None:
    keys = [key for key, _ in pairs]
    if t.most is not None and len(keys) > t.most:
        raise CodecError(f"{counted(len(keys), 'entry', 'entries')}, where the capacity is {t.most}")
    if len(set(keys)) < len(keys):
        raise CodecError("a key occurs twice")
    if t.kind is TableKind.ORDERED and any(a > b for a, b in itertools.pairwise(keys)):
        raise CodecError("the keys of an ordered table do not ascend")


def decode(t: Type, data: bytes, make: Make = record) -> Any:
    """The value that the bytes encode.  Raises `CodecError`, also if some bytes are left over."""
    reader = Reader(data, make)
    value = reader.value(t)
    reader.end()
    return value


# ---------------------------------------------------------------- state images


def stored(fields: Iterable[StateField]) -> tuple[StateField, ...]:
    """The fields that a state image holds: all but those of one RPC and those that the adapter keeps."""
    return tuple(f for f in fields if f.kind in (FieldKind.STATE, FieldKind.PARAM))


def encode_state(fields: Iterable[StateField], state: Mapping[str, Slot]) -> bytes:
    """The image of a policy's state: each stored field's value, then its u64 overflow count."""
    out = bytearray()
    for f in stored(fields):
        write(out, f.type, state[f.name].value, bounded=True)
        _write_integer(out, state[f.name].overflow, 64, False)
    return bytes(out)


def decode_state(fields: Iterable[StateField], image: bytes, make: Make = record) -> dict[str, Slot]:
    """What an image holds, by field.  Raises `CodecError` when it is no image of these fields."""
    reader = Reader(image, make, bounded=True)
    state = {f.name: Slot(reader.value(f.type), reader.integer(8)) for f in stored(fields)}
    reader.end()
    return state
