# SPDX-License-Identifier: Apache-2.0
"""A three-way merge: what RPCs still do to the state of an old version goes over to the new one, which began as a copy.

RPCs end on the version that began them, so that two copies of a state live for a while.  `base` is the old copy at the
moment when the new one was made of it, `theirs` is what the old copy has become, `ours` is the new copy as it is now.
A number becomes ours + theirs - base: nothing that is counted is lost or counted twice, and what an old RPC took (a
place in a queue, a token) it gives back to the new copy.  Any other value is taken from the copy that changed it; where
both did, from the new one (of two instants, the later).  A field's `merge=` may say otherwise: `max`, `min`, or `last`
(the old RPC's value).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from transect.core.codec import Slot, decode_state, encode_state, limits
from transect.core.schema import Schema, SchemaField
from transect.core.types import (
    ArrayType,
    CounterType,
    DurationType,
    FloatType,
    HistogramType,
    InstantType,
    IntType,
    StructType,
    TableKind,
    TableType,
    TupleType,
    Type,
)
from transect.core.values import Record, narrow, normal, struct_fields

ABSENT = object()  # in place of a value that a table does not have


def merged(base: bytes, theirs: bytes, ours: bytes, of: Schema) -> bytes:
    """`ours` with what happened between `base` and `theirs`; all three are images of the schema `of`."""
    if base == theirs:
        return ours
    images = [decode_state(of.declared, image) for image in (base, theirs, ours)]
    state = {f.name: _slot(f, *(image[f.name] for image in images)) for f in of.fields}
    return encode_state(of.declared, state)


def _slot(f: SchemaField, base: Slot, theirs: Slot, ours: Slot) -> Slot:
    overflow = ours.overflow + theirs.overflow - base.overflow
    rule = f.options.merge or ""
    if isinstance(f.type, TableType):
        entries, lost = _table(f.type, rule, base.value, theirs.value, ours.value)
        return Slot(entries, overflow + lost)
    return Slot(_value(f.type, rule, base.value, theirs.value, ours.value), overflow)


def _value(t: Type, rule: str, base: Any, theirs: Any, ours: Any) -> Any:
    if normal(theirs) == normal(base):
        return ours
    if normal(ours) == normal(base):
        return theirs
    match t:
        case IntType() | DurationType() | CounterType() | FloatType() | InstantType():
            return _number(t, rule, base, theirs, ours)
        case StructType(name=name, fields=fields):
            parts = [struct_fields(value) for value in (base, theirs, ours)]
            made = {f.name: _value(f.type, rule, *(part[f.name] for part in parts)) for f in fields}
            return Record(name, made)
        case TupleType(items=items):
            return tuple(_value(i, rule, *vs) for i, *vs in zip(items, base, theirs, ours, strict=True))
        case ArrayType(item=item):
            return [_value(item, rule, *values) for values in zip(base, theirs, ours, strict=True)]
        case HistogramType():
            return [_number(CounterType(), "", *counts) for counts in zip(base, theirs, ours, strict=True)]
        case _:
            return theirs if rule == "last" else ours


def _number(t: Type, rule: str, base: Any, theirs: Any, ours: Any) -> Any:
    match rule:
        case "max":
            return max(theirs, ours)
        case "min":
            return min(theirs, ours)
        case "last":
            return theirs
    match t:
        case InstantType():  # a moment does not add up
            return max(theirs, ours)
        case FloatType():
            return ours + (theirs - base)
        case CounterType():
            return narrow(ours + theirs - base, 64, False)
        case IntType(bits=bits, signed=signed):
            low, high = limits(bits, signed)
            moved = ours + theirs - base
            return moved if low <= moved <= high else narrow(moved, bits, signed)
        case _:
            return narrow(ours + theirs - base, 64, True)


Entries = Iterable[tuple[Any, Any]]


def _table(t: TableType, rule: str, base: Entries, theirs: Entries, ours: Entries) -> tuple[Entries, int]:
    """The merged entries, those of the new copy first, and how many had no room."""
    before, after, now = ({_key(k): (k, v) for k, v in entries} for entries in (base, theirs, ours))
    lost = 0
    for key in [*after, *(key for key in before if key not in after)]:
        was, became, kept = (_at(entries, key) for entries in (before, after, now))
        if became is ABSENT:
            if kept is not ABSENT and normal(kept) == normal(was):
                del now[key]
            continue
        adds = _adds(t.value)
        if kept is not ABSENT:
            origin = (0 if adds else kept) if was is ABSENT else was
            now[key] = now[key][0], _value(t.value, rule, origin, became, kept)
        elif was is ABSENT or (t.kind is TableKind.TALLY and adds and normal(became) != normal(was)):
            value = became if was is ABSENT else _value(t.value, rule, was, became, 0)
            if t.most is None or len(now) < t.most:
                now[key] = after[key][0], value
            elif t.kind is not TableKind.LRU:
                lost += 1
    entries = list(now.values())
    return sorted(entries) if t.kind is TableKind.ORDERED else entries, lost


def _adds(t: Type) -> bool:
    """Whether values of the type are numbers, which both copies began at 0."""
    return isinstance(t, IntType | DurationType | FloatType)


def _key(key: Any) -> Any:
    return normal(key)


def _at(entries: Mapping[Any, tuple[Any, Any]], key: Any) -> Any:
    return entries[key][1] if key in entries else ABSENT
