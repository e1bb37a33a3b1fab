# SPDX-License-Identifier: Apache-2.0
"""The state of a policy object as bytes, in the encoding that every target shares, and back."""

from __future__ import annotations

from typing import Any

from transect.base.span import NOWHERE
from transect.core.codec import Slot, decode_state, encode_state
from transect.core.ir import FieldKind, StateField
from transect.core.tables import Array, Counter, Histogram, Table
from transect.core.types import StructType


def _declared(policy: Any) -> list[StateField]:
    fields = type(policy).__fields__.items()
    return [StateField(name, f.type, FieldKind(f.kind), None, span=NOWHERE) for name, f in fields]


def image(policy: Any) -> bytes:
    """The state as bytes."""
    state = policy.__state__
    with state.__lock__:
        fields = _declared(policy)
        kept = [f.name for f in fields if f.kind in (FieldKind.STATE, FieldKind.PARAM)]
        return encode_state(fields, {name: _slot(state, name) for name in kept})


def _slot(state: Any, name: str) -> Slot:
    value = getattr(state, name)
    return Slot(value, value.overflow if isinstance(value, Table | Array) else state.__overflow__[name])


def restore(policy: Any, data: bytes) -> None:
    """Take the state of an image of the same policy.  Raises `CodecError`, having changed nothing."""
    state = policy.__state__

    def make(t: StructType, fields: dict[str, object]) -> object:
        return type(policy).__structs__[t.name](**fields)

    slots = decode_state(_declared(policy), data, make)
    with state.__lock__:
        for name, slot in slots.items():
            match getattr(state, name):
                case Table() | Array() as many:
                    many.load(slot.value, slot.overflow)
                    continue
                case Counter() as counter:
                    counter.value = slot.value
                case Histogram() as histogram:
                    histogram.buckets = slot.value
                case _:
                    setattr(state, name, slot.value)
            state.__overflow__[name] = slot.overflow
