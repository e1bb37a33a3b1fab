# SPDX-License-Identifier: Apache-2.0
"""A parameter's value as an operator writes it on a command line, and as it is shown: `5`, `0.25`, `true`, `100ms`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from transect.core.frontend.constants import fit
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
    StructField,
    StructType,
    TextType,
    TupleType,
    Type,
    UnionType,
    spell,
)
from transect.core.values import field_of, struct_name

UNITS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "min": 60_000_000_000}  # ns


def parse_value(text: str, t: Type) -> object:
    """The value of type `t` that the text says; ValueError says what to write instead."""
    value = _parsed(text.strip(), t)
    ok, plain = fit(value, t)
    if not ok:
        raise ValueError(f"`{text}` does not fit in `{spell(t)}`")
    return plain


def _parsed(text: str, t: Type) -> object:
    match t:
        case OptionType(item=item):
            return None if text == "none" else _parsed(text, item)
        case BoolType():
            return _one_of(text.lower(), {"true": True, "false": False})
        case EnumType(members=members):
            return _one_of(text, dict(members))
        case DurationType():
            return _duration(text)
        case TextType():
            return text
        case BytesType():
            return text.encode()
        case IntType() | InstantType():
            return _number(text, lambda t: int(t, 0), "a whole number")
        case FloatType():
            return _number(text, float, "a number")
        case _:
            raise ValueError(f"a `{spell(t)}` cannot be set from a command line")


def _one_of(text: str, known: dict[str, object] | dict[str, bool] | dict[str, int]) -> object:
    if text not in known:
        raise ValueError(f"`{text}` is none of {', '.join(known)}")
    return known[text]


def _number(text: str, kind: Callable[[str], int | float], what: str) -> int | float:
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"`{text}` is not {what}") from None


def _duration(text: str) -> int:
    found = re.fullmatch(r"(-?\d+(?:\.\d+)?)\s*([a-z]+)", text)
    if found is None or found.group(2) not in UNITS:
        raise ValueError(f"`{text}` is not a duration; write a number with {', '.join(UNITS)}: `100ms`")
    number, unit = found.groups()
    return round(float(number) * UNITS[unit]) if "." in number else int(number) * UNITS[unit]


def show_value(value: object, t: Type) -> str:
    """The text that `parse_value` reads as this value."""
    match t, value:
        case OptionType(), None:
            return "none"
        case OptionType(item=item), _:
            return show_value(value, item)
        case BoolType(), _:
            return "true" if value else "false"
        case EnumType(members=members), int():
            return next((name for name, number in members if number == value), str(int(value)))
        case DurationType(), int():
            return _shown_duration(value)
        case BytesType(), bytes():
            return value.decode(errors="backslashreplace")
        case _:
            return str(value)


def _shown_duration(ns: int) -> str:
    """In the largest unit that needs no fraction."""
    fitting = [u for u, size in UNITS.items() if ns % size == 0] if ns else ["s"]
    return f"{ns // UNITS[fitting[-1]]}{fitting[-1]}"


def spelled(value: Any, t: Type, name_of: Callable[[int], str] = str) -> str:
    """Any value as a person reads it; `name_of`: of a stratum's identity."""
    match t:
        case KeyType():
            return name_of(value)
        case OptionType(item=item):
            return "none" if value is None else spelled(value, item, name_of)
        case TupleType(items=items):
            return ", ".join(spelled(v, item, name_of) for v, item in zip(value, items, strict=True))
        case StructType(fields=fields):
            return ", ".join(f"{f.name} {spelled(field_of(value, f.name), f.type, name_of)}" for f in fields)
        case UnionType(cases=cases):
            return called(value, next(case for case in cases if case.name == struct_name(value)), name_of)
        case _:
            return show_value(value, t)


def called(value: Any, t: StructType, name_of: Callable[[int], str] = str) -> str:
    """A verdict as the policy makes it: `Reject(PERMISSION_DENIED, "acl")`; what it leaves empty is left out."""
    values = [(f, field_of(value, f.name)) for f in t.fields]
    return f"{t.name}({', '.join(_argument(f, v, name_of) for f, v in values if v is not None)})"


def _argument(f: StructField, value: Any, name_of: Callable[[int], str]) -> str:
    t = f.type.item if isinstance(f.type, OptionType) else f.type
    said = json.dumps(value, ensure_ascii=False) if isinstance(t, TextType) else spelled(value, t, name_of)
    return f"{f.name}={said}" if isinstance(f.type, OptionType) else said
