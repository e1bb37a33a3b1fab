# SPDX-License-Identifier: Apache-2.0
"""Assigning fields of a scanned message, and writing the message back: fields that were not assigned keep their bytes.

The occurrences of a changed field are left out and its new value appended, so that the last one wins; the pieces of a
changed sub-message are joined, which is how protobuf merges them.  The emitted C writes the same bytes.
"""

from __future__ import annotations

import math
import struct
from typing import Any

from transect.core.codec import float_bytes
from transect.rpc.messages.plan import Slot
from transect.rpc.messages.scanner import MAX_DEPTH, Node, default_of, is_known, read_raw, read_tag, signed
from transect.rpc.messages.wire import BITS, Kind, Presence, ProtoField, Wire


def assign(node: Node, slot: Slot, value: Any) -> None:
    """Give a field a value, cut to its width; None removes the field (if it is absent already, nothing changes)."""
    if value is None:
        if not node.present(slot):
            return
        node.has &= ~(1 << slot.index)
        node.values[slot.index] = default_of(slot.field)
    else:
        for rival in node.plan.rivals(slot):
            node.has &= ~(1 << rival.index)
            node.values[rival.index] = default_of(rival.field)
        node.has |= 1 << slot.index
        node.values[slot.index] = stored(slot.field, value)
    node.dirty |= 1 << slot.index


def stored(f: ProtoField, value: Any) -> Any:
    """What the field reads after the value was assigned: integers are cut to its width, floats rounded to it."""
    if f.kind in BITS:
        bits, is_signed = BITS[f.kind]
        return signed(value, bits) if is_signed else value & (1 << bits) - 1
    if f.kind is Kind.FLOAT:
        return single(value)
    return value


def single(value: float) -> float:
    """The value rounded to a 32-bit float; infinite when it is too large."""
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


def changed(node: Node) -> bool:
    """Whether something was assigned here or in a sub-message."""
    return bool(node.dirty) or any(_inner_changed(node, slot) for slot in node.plan.visible if slot.entered)


def _inner_changed(node: Node, slot: Slot) -> bool:
    return node.present(slot) and changed(node.values[slot.index])


def rewrite(node: Node) -> bytes:
    """The message with what was assigned."""
    out = bytearray()
    gone = _gone(node)
    for piece in node.pieces:
        _copy(out, piece, node, gone)
    for slot in node.plan.visible:
        if slot.index in gone:
            _append(out, node, slot)
    return bytes(out)


def _gone(node: Node) -> set[int]:
    """Slots whose occurrences are left out: those that changed, and all members of a oneof of which one changed."""
    plan = node.plan
    direct = {
        s.index for s in plan.visible if node.dirty >> s.index & 1 or (s.entered and _inner_changed(node, s))
    }
    oneofs = {s.field.oneof for s in plan.visible if s.index in direct} - {""}
    return direct | {s.index for s in plan.visible if s.field.oneof in oneofs}


def _copy(out: bytearray, piece: bytes, node: Node, gone: set[int]) -> None:
    oneofs = {s.field.oneof for s in node.plan.visible if s.index in gone} - {""}
    at = 0
    while at < len(piece):
        start = at
        tag, at = read_tag(piece, at)
        raw, at = read_raw(piece, at, tag, MAX_DEPTH)
        slot = node.plan.by_tag.get(tag)
        dropped = (
            slot is not None
            and (slot.index in gone or slot.field.oneof in oneofs)
            and is_known(slot.field, raw)
        )
        if not dropped:
            out += piece[start:at]


def _append(out: bytearray, node: Node, slot: Slot) -> None:
    f, value = slot.field, node.values[slot.index]
    if f.presence is Presence.IMPLICIT:
        if not is_zero(value):
            put_field(out, f, value)
    elif node.present(slot):
        put_field(out, f, rewrite(value) if f.kind.nested else value)


def is_zero(value: Any) -> bool:
    """Whether a field without presence leaves the value out; -0.0 is sent."""
    return not value and not (isinstance(value, float) and math.copysign(1.0, value) < 0)


def put_field(out: bytearray, f: ProtoField, value: Any) -> None:
    put_varint(out, f.tag)
    match f.kind.wire:
        case Wire.VARINT:
            put_varint(out, _raw(f, value))
        case Wire.FIXED64:
            out += (
                float_bytes(value) if f.kind is Kind.DOUBLE else (value & (1 << 64) - 1).to_bytes(8, "little")
            )
        case Wire.FIXED32:
            out += (
                struct.pack("<f", math.nan if value != value else value)
                if f.kind is Kind.FLOAT
                else (value & (1 << 32) - 1).to_bytes(4, "little")
            )
        case Wire.START_GROUP:
            out += value
            put_varint(out, f.number << 3 | Wire.END_GROUP)
        case _:
            data = value.encode() if isinstance(value, str) else value
            put_varint(out, len(data))
            out += data


def _raw(f: ProtoField, value: int) -> int:
    """The varint of a value: negative numbers have ten bytes; the `sint` kinds are zigzag-encoded."""
    if f.kind in (Kind.SINT32, Kind.SINT64):
        return value << 1 if value >= 0 else ~(value << 1)
    return value & (1 << 64) - 1


def put_varint(out: bytearray, value: int) -> None:
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
