# SPDX-License-Identifier: Apache-2.0
"""State as BPF holds it, in words of 64 bits: conversion to values and back, and to the state image of all strata.

A word of a narrow integer may hold more than its bits, since updates are atomic and truncation happens when it is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from transect.core.codec import Slot, decode_state, encode_state
from transect.core.schema import Schema
from transect.core.types import ArrayType, BoolType, IntType, OptionType, TableType, Type

Fields = Mapping[str, Sequence[int]]  # the words of each field that is no table
Tables = Mapping[str, Mapping[int, int]]


def value_of(t: Type, words: Sequence[int]) -> object:
    match t:
        case ArrayType(item=item):
            return [value_of(item, [word]) for word in words]
        case OptionType(item=item):
            return value_of(item, words[1:]) if words[0] else None
        case BoolType():
            return bool(words[0])
        case IntType(bits=bits, signed=signed):
            cut = words[0] % (1 << bits)
            return cut - (1 << bits) if signed and cut >> (bits - 1) else cut
        case _:
            return words[0]


def words_of(t: Type, value: Any) -> list[int]:
    match t:
        case ArrayType(item=item):
            return [word for one in value for word in words_of(item, one)]
        case OptionType(item=item):
            return [0, 0] if value is None else [1, *words_of(item, value)]
        case _:
            return [int(value)]


def image_of(schema: Schema, fields: Fields, tables: Tables) -> bytes:
    """The image of a state; a table that is not given has its first content."""
    slots = {f.name: f.initial for f in schema.fields}
    for f in schema.fields:
        if isinstance(f.type, TableType):
            key, value = f.type.key, f.type.value
            found = tables.get(f.name, {})
            slots[f.name] = Slot([(value_of(key, [k]), value_of(value, [v])) for k, v in found.items()])
        elif fields.get(f.name):
            slots[f.name] = Slot(value_of(f.type, fields[f.name]))
    return encode_state(schema.declared, slots)


def from_image(schema: Schema, image: bytes) -> tuple[dict[str, list[int]], dict[str, dict[int, int]]]:
    """The words of its fields, and its tables."""
    fields: dict[str, list[int]] = {}
    tables: dict[str, dict[int, int]] = {}
    slots = decode_state(schema.declared, image)
    for f in schema.fields:
        if isinstance(f.type, TableType):
            tables[f.name] = {int(key): int(value) for key, value in slots[f.name].value}
        else:
            fields[f.name] = words_of(f.type, slots[f.name].value)
    return fields, tables
