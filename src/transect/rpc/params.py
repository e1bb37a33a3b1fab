# SPDX-License-Identifier: Apache-2.0
"""Parameters of a running element: what a text means as a value, and an image with one field changed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from transect.core.codec import CodecError, Reader, encode, stored
from transect.core.frontend.surface import DURATION_UNITS
from transect.core.ir import FieldKind, Program, StateField
from transect.core.types import (
    BoolType,
    BytesType,
    DurationType,
    EnumType,
    FloatType,
    IntType,
    TextType,
    Type,
    spell,
)

UNITS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000} | DURATION_UNITS


class BadParameter(ValueError):
    """No such parameter, or no such value; the text says what there is."""


def find(programs: Sequence[Program], name: str) -> tuple[int, StateField]:
    """The element and field that `limit` or `Acl.limit` names.  Raises BadParameter."""
    element, _, field = name.rpartition(".")
    known = [
        (i, program.name, f)
        for i, program in enumerate(programs)
        for f in program.state
        if f.kind is FieldKind.PARAM
    ]
    found = [(i, f) for i, policy, f in known if f.name == field and element in ("", policy)]
    if len(found) == 1:
        return found[0]
    names = ", ".join(f"{policy}.{f.name}" for _, policy, f in known) or "none"
    problem = "several elements have" if found else "there is no"
    raise BadParameter(f"{problem} parameter `{name}`; there are: {names}")


def value_of(t: Type, text: str) -> object:
    """What the text means as a value of that type: `20`, `0.5`, `true`, `10 ms`, `RED`.  Raises BadParameter."""
    try:
        value = _read(t, text.strip())
        encode(t, value)  # the bounds of numbers and texts
    except (ValueError, OverflowError, CodecError) as wrong:
        raise BadParameter(f"`{text}` is no value of type {spell(t)}; {_example(t)}") from wrong
    return value


def _read(t: Type, text: str) -> object:
    match t:
        case IntType():
            number = int(text.replace("_", ""), 0)
            low, high = (
                (-(1 << (t.bits - 1)), (1 << (t.bits - 1)) - 1) if t.signed else (0, (1 << t.bits) - 1)
            )
            if not low <= number <= high:
                raise ValueError(text)
            return number
        case BoolType():
            if text.lower() not in ("true", "false"):
                raise ValueError(text)
            return text.lower() == "true"
        case FloatType():
            return float(text)
        case DurationType():
            return _duration(text)
        case TextType():
            return text
        case BytesType():
            return text.encode()
        case EnumType():
            return dict(t.members)[text] if text in dict(t.members) else int(text, 0)
        case _:
            raise ValueError(text)


def _duration(text: str) -> int:
    """In nanoseconds; `10 ms`, `1.5s`, `ms(10)`."""
    found = re.fullmatch(r"(-?[\d_.]+)\s*([a-z]+)", text) or re.fullmatch(r"([a-z]+)\((-?[\d_.]+)\)", text)
    if found is None:
        raise ValueError(text)
    number, unit = found.groups() if found[2] in UNITS else reversed(found.groups())
    if unit not in UNITS:
        raise ValueError(text)
    return round(float(number) * UNITS[unit]) if "." in number else int(number.replace("_", "")) * UNITS[unit]


def _example(t: Type) -> str:
    match t:
        case DurationType():
            return "write a number with a unit: `10 ms`, `2 s`"
        case EnumType():
            return f"write one of {', '.join(name for name, _ in t.members)}"
        case BoolType():
            return "write `true` or `false`"
        case TextType(bound=bound) | BytesType(bound=bound):
            return f"write a text of at most {bound} bytes"
        case _:
            return "write a number"


def patched(program: Program, image: bytes, field: str, value: object) -> tuple[bytes, object]:
    """The image with another value in one field, and the value that was there.  Raises CodecError.

    Only what comes before the field is read, so that parameters, which mostly come first, cost little.
    """
    reader = Reader(image)
    for f in stored(program.state):
        start = reader.at
        before = reader.value(f.type)
        if f.name == field:
            return image[:start] + encode(f.type, value) + image[reader.at :], before
        reader.integer(8)
    raise AssertionError(f"{program.name} keeps no field {field}")
