# SPDX-License-Identifier: Apache-2.0
"""How values of an old type become values of a new one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from transect.base.counted import counted
from transect.core.codec import limits
from transect.core.types import (
    ArrayType,
    BytesType,
    EnumType,
    IntType,
    OptionType,
    StructField,
    StructType,
    TableType,
    TextType,
    TupleType,
    Type,
    spell,
)
from transect.core.values import Record, equal, field_of, from_plain, size, zero


class Change(IntEnum):
    """How a type has changed, from harmless to impossible."""

    SAME = 0
    WIDER = 1  # every value has a place
    SMALLER = 2  # less room: most values have a place
    NARROWER = 3  # the way back from WIDER: an integer of fewer bits, fewer fields or members
    OTHER = 4


@dataclass(frozen=True, slots=True)
class Relation:
    change: Change
    reason: str = ""  # of the largest change, in words

    def __or__(self, other: Relation) -> Relation:
        return other if other.change > self.change else self


SAME = Relation(Change.SAME)


class NotFitting(ValueError):
    """A value that has no place in the new type; says which."""


def relation(old: Type, new: Type) -> Relation:
    """How `new` differs from `old`."""
    if old == new:
        return SAME
    match old, new:
        case IntType(), IntType() if old.signed == new.signed and _kind(old) == _kind(new):
            return _sized(old.bits, new.bits, "bits", Change.NARROWER)
        case TextType(bound=a), TextType(bound=b):
            return _sized(a or 0, b or 0, "bytes", Change.SMALLER)
        case BytesType(bound=a), BytesType(bound=b):
            return _sized(a or 0, b or 0, "bytes", Change.SMALLER)
        case EnumType(), EnumType():
            return _members(old, new)
        case StructType(), StructType():
            return _fields(old, new)
        case TupleType(items=a), TupleType(items=b) if len(a) == len(b):
            return _all([relation(x, y) for x, y in zip(a, b, strict=True)])
        case OptionType(item=a), OptionType(item=b):
            return relation(a, b)
        case TableType(), TableType() if old.kind is new.kind:
            return _all(
                [
                    _room(old, new),
                    relation(old.key, new.key),
                    relation(old.value, new.value),
                ]
            )
        case ArrayType(), ArrayType():
            return _sized(old.length, new.length, "items", Change.SMALLER) | relation(old.item, new.item)
        case _:
            return Relation(Change.OTHER, f"`{spell(old)}` became `{spell(new)}`, which is another kind")


def _kind(t: IntType) -> str:
    """`u64` is a kind of its own; all narrower integers are storage of `int`."""
    return "u64" if t.bits == 64 and not t.signed else "int"


def _all(relations: list[Relation]) -> Relation:
    found = SAME
    for one in relations:
        found |= one
    return found


def _sized(old: int, new: int, unit: str, smaller: Change) -> Relation:
    if old == new:
        return SAME
    return Relation(Change.WIDER if new > old else smaller, f"{old} {unit} became {new}")


def _room(old: TableType, new: TableType) -> Relation:
    """How the capacity of a table changed.  A table kept by client cannot fill, since its number is a hint."""
    return SAME if new.most is None else _sized(old.capacity, new.capacity, "entries", Change.SMALLER)


def _members(old: EnumType, new: EnumType) -> Relation:
    lost, added = set(old.members) - set(new.members), set(new.members) - set(old.members)
    if lost and added:
        return Relation(Change.OTHER, f"members of `{old.name}` have changed")
    if lost:
        return Relation(
            Change.NARROWER, f"`{old.name}` has no {' nor '.join(sorted(n for n, _ in lost))} any more"
        )
    return Relation(Change.WIDER, f"`{old.name}` has more members") if added else SAME


def _fields(old: StructType, new: StructType) -> Relation:
    found = SAME if old.name == new.name else Relation(Change.WIDER, f"`{old.name}` is called `{new.name}`")
    for f in new.fields:
        before = old.field(f.name)
        if before is not None:
            found |= relation(before.type, f.type)
        elif f.required:
            found |= Relation(Change.OTHER, f"`{new.name}.{f.name}` is new and has no default")
        else:
            found |= Relation(Change.WIDER, f"`{new.name}.{f.name}` is new")
    lost = [f.name for f in old.fields if new.field(f.name) is None]
    if lost:
        found |= Relation(Change.NARROWER, f"`{new.name}` has no `{lost[0]}` any more")
    return found


# ---------------------------------------------------------------- values


def converted(value: Any, old: Type, new: Type) -> Any:
    """The value, in plain form, as one of the new type.  Raises `NotFitting`; the types must be related."""
    match old, new:
        case IntType(), IntType():
            low, high = limits(new.bits, new.signed)
            return _fitting(low <= value <= high, value, f"{value} does not fit `{spell(new)}`")
        case (TextType(), TextType(bound=bound)) | (BytesType(), BytesType(bound=bound)):
            fits = bound is None or size(value) <= bound
            return _fitting(fits, value, f"{value!r} is longer than {bound} bytes")
        case EnumType(), EnumType():
            lost = value in {n for _, n in old.members} - {n for _, n in new.members}
            return _fitting(not lost, value, f"`{new.name}` has no {value}")
        case StructType(), StructType():
            return _struct(value, old, new)
        case TupleType(items=a), TupleType(items=b):
            return tuple(converted(v, x, y) for v, x, y in zip(value, a, b, strict=True))
        case OptionType(item=a), OptionType(item=b):
            return None if value is None else converted(value, a, b)
        case TableType(), TableType():
            fits = new.most is None or len(value) <= new.most
            _fitting(fits, value, f"{counted(len(value), 'entry', 'entries')} do not fit into {new.most}")
            return [(converted(k, old.key, new.key), converted(v, old.value, new.value)) for k, v in value]
        case ArrayType(), ArrayType():
            return _array(value, old, new)
        case _:
            assert old == new, f"{spell(old)} and {spell(new)} are not related"
            return value


def _fitting(fits: bool, value: Any, why: str) -> Any:
    if not fits:
        raise NotFitting(why)
    return value


def first_value(f: StructField) -> Any:
    """The first value of a struct's field: its default, else its type's zero."""
    return zero(f.type) if f.required else from_plain(f.type, f.default)


def _struct(value: Any, old: StructType, new: StructType) -> Record:
    for f in old.fields:
        if new.field(f.name) is None and not equal(field_of(value, f.name), first_value(f)):
            raise NotFitting(f"`{new.name}` has no `{f.name}`, which is {field_of(value, f.name)!r}")
    fields = {}
    for f in new.fields:
        before = old.field(f.name)
        fields[f.name] = converted(field_of(value, f.name), before.type, f.type) if before else first_value(f)
    return Record(new.name, fields)


def _array(value: list[Any], old: ArrayType, new: ArrayType) -> list[Any]:
    for i, item in enumerate(value[new.length :], new.length):
        if not equal(item, zero(old.item)):
            raise NotFitting(f"item {i} is {item!r}, and there are {new.length} items")
    kept = [converted(item, old.item, new.item) for item in value[: new.length]]
    return kept + [zero(new.item) for _ in range(new.length - len(kept))]
