# SPDX-License-Identifier: Apache-2.0
"""Values that come into a policy from outside: accepted if a field of their type can hold them, else an error."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, NoReturn

from transect.core.types import (
    BoolType,
    BytesType,
    DurationType,
    EnumType,
    FloatType,
    InstantType,
    IntType,
    KeyType,
    OptionType,
    StructType,
    TextType,
    TupleType,
    Type,
    spell,
)
from transect.core.values import copied, is_struct, size, struct_name
from transect.emit.py.ranges import of_type


def admit(t: Type, value: Any, what: str) -> Any:
    """The value as one of type t, a copy of its own; TypeError or ValueError, beginning with `what`, if it is none."""
    match t:
        case OptionType(item=item):
            return None if value is None else admit(item, value, what)
        case TupleType(items=items):
            if not isinstance(value, tuple) or len(value) != len(items):
                _refuse(t, value, what)
            return tuple(admit(i, v, what) for i, v in zip(items, value, strict=True))
        case StructType(name=name):
            if not is_struct(value) or struct_name(value) != name:
                _refuse(t, value, what)
            return copied(value)
        case _:
            return _plain(t, value, what)


def _plain(t: Type, value: Any, what: str) -> Any:
    match t:
        case BoolType() if isinstance(value, bool):
            return value
        case FloatType() if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        case IntType() | InstantType() | DurationType() | EnumType() if isinstance(value, int):
            return _integer(t, value, what)
        case TextType(bound=bound) if isinstance(value, str):
            return _text(value, bound, what)
        case BytesType(bound=bound) if isinstance(value, bytes):
            return _text(value, bound, what)
        case KeyType() if isinstance(value, Hashable):
            return value
        case _:
            _refuse(t, value, what)


def _integer(t: Type, value: int, what: str) -> int:
    if isinstance(value, bool):
        _refuse(t, value, what)
    low, high = of_type(t)
    if not low <= value <= high:
        raise ValueError(f"{what}: {value} is outside of {spell(t)} ({low} … {high})")
    return value if isinstance(t, EnumType) else int(value)


def _text(value: str | bytes, bound: int | None, what: str) -> str | bytes:
    if bound is not None and size(value) > bound:
        raise ValueError(f"{what}: {size(value)} bytes do not fit its {bound}")
    return value


def _refuse(t: Type, value: object, what: str) -> NoReturn:
    raise TypeError(f"{what}: `{spell(t)}` is wanted, not {value!r}")
