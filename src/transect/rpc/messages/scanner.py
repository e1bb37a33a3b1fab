# SPDX-License-Identifier: Apache-2.0
"""Reading a serialised message in pure Python, by a plan: the same walk as the emitted C, for carriers without a
compiler, for replay and as the oracle.

One full walk; the last occurrence of a field wins; occurrences of a sub-message are merged; a known field with another
wire type is an unknown field; so is a number that a closed enum does not name.  All this is as in protobuf, except that
only fields of the plan are checked for UTF-8.  Map fields keep the order in which their keys first appeared; unknown
fields within an entry are skipped, as in C++, Java and Go (Python's upb treats the whole entry as unknown).
"""

from __future__ import annotations

import struct
from typing import Any

from transect.rpc.messages.plan import Plan, Plans, Slot
from transect.rpc.messages.wire import Kind, Presence, ProtoField, Wire

MAX_DEPTH = 100  # nested messages and groups, as protobuf's own readers have it
MAX_SIZE = (1 << 31) - 1  # bytes of a message, and of one sized field


class Malformed(Exception):
    """Bytes that are no protobuf message, or text that is not UTF-8."""


class NumberZero(Malformed):
    """A field numbered 0.  Python's protobuf (upb) skips one within an unknown group; others do not."""


class Node:
    """What a scan found in one message."""

    __slots__ = ("dirty", "has", "pieces", "plan", "values")

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.values: list[Any] = [_nothing(slot) for slot in plan.visible]
        self.has = 0  # bit i: slot i is present
        self.dirty = 0  # bit i: slot i was assigned since
        self.pieces: list[bytes] = []  # the occurrences of this message, in order

    def copy(self) -> Node:
        """Another node, which later assignments to this one do not change."""
        made = Node.__new__(Node)
        made.plan, made.has, made.dirty, made.pieces = self.plan, self.has, self.dirty, list(self.pieces)
        made.values = [_copied(value) for value in self.values]
        return made

    def present(self, slot: Slot) -> bool:
        return bool(self.has >> slot.index & 1)


def _copied(value: Any) -> Any:
    """Items of repeated fields and maps are never assigned; sub-messages may be."""
    return value.copy() if isinstance(value, Node | list | dict) else value


def _nothing(slot: Slot) -> Any:
    """The value of an absent field."""
    match slot.field.presence:
        case Presence.REPEATED:
            return []
        case Presence.MAP:
            return {}
        case _:
            return default_of(slot.field)


def default_of(f: ProtoField) -> Any:
    if f.default is not None:
        return f.default
    match f.kind:
        case Kind.STRING:
            return ""
        case Kind.BYTES:
            return b""
        case Kind.BOOL:
            return False
        case Kind.FLOAT | Kind.DOUBLE:
            return 0.0
        case Kind.MESSAGE | Kind.GROUP:
            return None
        case _:
            return 0


def scan(plans: Plans, message: str, data: bytes) -> Node:
    """The fields of a serialised message; raises `Malformed`."""
    if len(data) > MAX_SIZE:
        raise Malformed("a message is longer than 2 GiB")
    node = Node(plans[message])
    _Scan(plans).message(node, data, MAX_DEPTH)
    return node


class _Scan:
    def __init__(self, plans: Plans) -> None:
        self.plans = plans

    def message(self, node: Node, data: bytes, depth: int) -> None:
        """Merge one occurrence of a message into its node."""
        node.pieces.append(data)
        at, end, by_tag = 0, len(data), node.plan.by_tag
        while at < end:
            tag, at = read_tag(data, at)
            slot = by_tag.get(tag)
            if slot is None:
                at = skip(data, at, tag, depth)
            else:
                raw, at = read_raw(data, at, tag, depth)
                self._take(node, slot, tag, raw, depth)

    def _take(self, node: Node, slot: Slot, tag: int, raw: Any, depth: int) -> None:
        match slot.field.presence:
            case Presence.REPEATED:
                self._add(node, slot, tag, raw, depth)
            case Presence.MAP:
                self._entry(node.values[slot.index], slot, raw, depth)
            case _ if slot.field.kind.nested:
                self._nested(node, slot, raw, depth)
            case _:
                if not is_known(slot.field, raw):
                    return
                if slot.field.oneof:
                    _end_rivals(node, slot)
                if not slot.hidden:
                    node.values[slot.index] = value_of(slot.field, raw)
                    node.has |= 1 << slot.index

    def _nested(self, node: Node, slot: Slot, raw: bytes, depth: int) -> None:
        _end_rivals(node, slot)
        if slot.hidden:
            return
        if not node.present(slot):
            node.values[slot.index] = Node(self.plans[slot.inner])
            node.has |= 1 << slot.index
        self.message(node.values[slot.index], raw, deeper(depth))

    def _add(self, node: Node, slot: Slot, tag: int, raw: Any, depth: int) -> None:
        items, f = node.values[slot.index], slot.field
        if f.kind.nested:
            items.append(self._whole(slot.inner, raw, depth))
        elif f.kind.packable and tag == f.packed_tag:
            items += [value_of(f, one) for one in unpack(f, raw) if is_known(f, one)]
        elif is_known(f, raw):
            items.append(value_of(f, raw))

    def _whole(self, message: str, raw: bytes, depth: int) -> Node:
        node = Node(self.plans[message])
        self.message(node, raw, deeper(depth))
        return node

    def _entry(self, entries: dict[Any, Any], slot: Slot, data: bytes, depth: int) -> None:
        assert slot.key is not None and slot.value is not None
        depth = deeper(depth)
        key, value = default_of(slot.key), default_of(slot.value)
        if slot.value.kind.nested:
            value = Node(self.plans[slot.inner])
        at, end, known = 0, len(data), True
        while at < end:
            tag, at = read_tag(data, at)
            if tag not in (slot.key.tag, slot.value.tag):
                at = skip(data, at, tag, depth)
                continue
            raw, at = read_raw(data, at, tag, depth)
            if tag == slot.key.tag:
                key = value_of(slot.key, raw)
            elif slot.value.kind.nested:
                self.message(value, raw, deeper(depth))
            elif is_known(slot.value, raw):
                value = value_of(slot.value, raw)
            else:
                known = False
        if known:  # an entry with a number that its closed enum does not name is an unknown field as a whole
            entries[key] = value


def _end_rivals(node: Node, slot: Slot) -> None:
    for rival in node.plan.rivals(slot):
        node.values[rival.index] = _nothing(rival)
        node.has &= ~(1 << rival.index)


def deeper(depth: int) -> int:
    if depth == 0:
        raise Malformed(f"nested deeper than {MAX_DEPTH}")
    return depth - 1


# ---------------------------------------------------------------- bytes


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """A varint of at most ten bytes; bits beyond 64 are dropped."""
    value = 0
    for i, byte in enumerate(data[at : at + 10]):
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at + i + 1
    raise Malformed("a varint is cut short, or longer than ten bytes")


def read_tag(data: bytes, at: int) -> tuple[int, int]:
    """A tag has at most five bytes and 32 bits; field numbers begin with 1."""
    start = at
    tag, at = read_varint(data, at)
    if at - start > 5 or tag > 0xFFFF_FFFF or tag & 7 > Wire.FIXED32:
        raise Malformed("no field has such a tag")
    if tag < 8:
        raise NumberZero("fields are numbered from 1")
    return tag, at


def read_size(data: bytes, at: int) -> tuple[int, int]:
    start = at
    size, at = read_varint(data, at)
    if at - start > 5 or size > MAX_SIZE or size > len(data) - at:
        raise Malformed("a field is longer than the message")
    return size, at


def read_raw(data: bytes, at: int, tag: int, depth: int) -> tuple[Any, int]:
    """The next field's content: an int (also for fixed widths), or bytes; for a group, the bytes within it."""
    match tag & 7:
        case Wire.VARINT:
            return read_varint(data, at)
        case Wire.FIXED64:
            return _fixed(data, at, 8)
        case Wire.FIXED32:
            return _fixed(data, at, 4)
        case Wire.SIZED:
            size, at = read_size(data, at)
            return data[at : at + size], at + size
        case Wire.START_GROUP:
            end, after = _group(data, at, tag, depth)
            return data[at:end], after
        case _:
            raise Malformed("a group ends which did not begin")


def skip(data: bytes, at: int, tag: int, depth: int) -> int:
    """The end of the field whose tag has been read."""
    return read_raw(data, at, tag, depth)[1]


def _fixed(data: bytes, at: int, width: int) -> tuple[int, int]:
    if len(data) - at < width:
        raise Malformed("a number is cut short")
    return int.from_bytes(data[at : at + width], "little"), at + width


def _group(data: bytes, at: int, start: int, depth: int) -> tuple[int, int]:
    """Where a group's content ends, and where the next field begins."""
    depth = deeper(depth)
    while at < len(data):
        before = at
        tag, at = read_tag(data, at)
        if tag & 7 == Wire.END_GROUP:
            if tag >> 3 != start >> 3:
                raise Malformed("another group ends than began")
            return before, at
        at = skip(data, at, tag, depth)
    raise Malformed("a group is cut short")


def unpack(f: ProtoField, run: bytes) -> list[int]:
    """The raw values of a packed run."""
    values: list[int] = []
    at = 0
    while at < len(run):
        raw, at = read_raw(run, at, f.kind.wire, 0)
        values.append(raw)
    return values


def is_known(f: ProtoField, raw: Any) -> bool:
    """Whether a closed enum names the number."""
    if f.enum is None or not f.enum.closed:
        return True
    number = signed(raw, 32)
    return any(number == known for _, known in f.enum.members)


def signed(raw: int, bits: int) -> int:
    raw &= (1 << bits) - 1
    return raw - (1 << bits) if raw >> (bits - 1) else raw


def value_of(f: ProtoField, raw: Any) -> Any:
    """The Python value of a field's raw content."""
    match f.kind:
        case Kind.STRING:
            try:
                return raw.decode()
            except UnicodeDecodeError as error:
                raise Malformed(f"{f.name} is not UTF-8") from error
        case Kind.BYTES:
            return raw
        case Kind.BOOL:
            return raw != 0
        case Kind.INT32 | Kind.SFIXED32 | Kind.ENUM:
            return signed(raw, 32)
        case Kind.INT64 | Kind.SFIXED64:
            return signed(raw, 64)
        case Kind.UINT32 | Kind.FIXED32:
            return raw & 0xFFFF_FFFF
        case Kind.UINT64 | Kind.FIXED64:
            return raw
        case Kind.SINT32:
            return _zigzag(raw & 0xFFFF_FFFF)
        case Kind.SINT64:
            return _zigzag(raw)
        case Kind.FLOAT:
            return struct.unpack("<f", raw.to_bytes(4, "little"))[0]
        case Kind.DOUBLE:
            return struct.unpack("<d", raw.to_bytes(8, "little"))[0]
        case _:
            raise AssertionError(f"{f.kind} has no plain value")


def _zigzag(raw: int) -> int:
    return raw >> 1 ^ -(raw & 1)
