# SPDX-License-Identifier: Apache-2.0
"""Types of state as plain JSON values and back, for schemas that are stored and sent.

`"int"`, `"u8"`, `"bool"` …; everything else is an object with one key that names it: `{"text": 64}`,
`{"option": T}`, `{"tuple": [T, …]}`, `{"key": "Client"}`, `{"enum": …}`, `{"struct": …}`, `{"array": [T, n]}`,
`{"tally": [K, V, capacity]}` and likewise the other tables.
"""

from __future__ import annotations

from typing import Any

from transect.core.codec import decode, encode
from transect.core.types import (
    BOOL,
    DURATION,
    FLOAT,
    INSTANT,
    INT,
    STORAGE,
    U64,
    ArrayType,
    BytesType,
    CounterType,
    EnumType,
    HistogramType,
    KeyType,
    OptionType,
    StructField,
    StructType,
    TableKind,
    TableType,
    TextType,
    TupleType,
    Type,
    spell,
)
from transect.core.values import from_plain, to_plain

MOST = 1 << 32  # of any size: what front ends take is less

_PLAIN: dict[str, Type] = {
    "int": INT,
    "u64": U64,
    **STORAGE,
    "bool": BOOL,
    "float": FLOAT,
    "instant": INSTANT,
    "duration": DURATION,
    "counter": CounterType(),
    "histogram": HistogramType(),
}
_NAMES = {t: name for name, t in _PLAIN.items()}


class SchemaError(ValueError):
    """What is no schema, or of a version that is not known."""


def type_json(t: Type) -> Any:
    """The type as a JSON value."""
    if t in _NAMES:
        return _NAMES[t]
    match t:
        case TextType(bound=bound):
            return {"text": bound}
        case BytesType(bound=bound):
            return {"bytes": bound}
        case KeyType(name=name):
            return {"key": name}
        case OptionType(item=item):
            return {"option": type_json(item)}
        case TupleType(items=items):
            return {"tuple": [type_json(item) for item in items]}
        case EnumType(name=name, members=members, open=is_open):
            return {"enum": {"name": name, "open": is_open, "members": dict(members)}}
        case StructType(name=name, fields=fields):
            return {"struct": {"name": name, "fields": [_field_json(f) for f in fields]}}
        case TableType(kind=kind, key=key, value=value, capacity=capacity):
            return {str(kind): [type_json(key), type_json(value), capacity]}
        case ArrayType(item=item, length=length):
            return {"array": [type_json(item), length]}
        case _:
            raise AssertionError(f"{spell(t)} is no type of state")


def _field_json(f: StructField) -> dict[str, Any]:
    made: dict[str, Any] = {"name": f.name, "type": type_json(f.type)}
    if not f.required:
        made["default"] = encode(f.type, from_plain(f.type, f.default)).hex()
    return made


def type_from_json(data: Any) -> Type:
    """The type that a JSON value describes.  Raises `SchemaError`."""
    try:
        return _type(data)
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        RecursionError,
    ) as error:  # CodecError among them
        raise SchemaError(f"no type of state: {data!r:.200}") from error


def _size(data: Any) -> int:
    if type(data) is not int or not 0 <= data <= MOST:
        raise SchemaError(f"a size of {data!r:.40}")
    return data


def _number(data: Any) -> int:
    if type(data) is not int:
        raise SchemaError(f"no number: {data!r:.40}")
    return data


def _bound(data: Any) -> int | None:
    return None if data is None else _size(data)


def _name(data: Any) -> str:
    if not isinstance(data, str):
        raise SchemaError(f"a name that is no text: {data!r:.40}")
    return data


def _type(data: Any) -> Type:
    if isinstance(data, str):
        return _PLAIN[data]
    ((what, inner),) = data.items()
    match what:
        case "text":
            return TextType(_bound(inner))
        case "bytes":
            return BytesType(_bound(inner))
        case "key":
            return KeyType(_name(inner))
        case "option":
            return OptionType(_type(inner))
        case "tuple":
            return TupleType(tuple(map(_type, inner)))
        case "enum":
            members = tuple((name, _number(n)) for name, n in inner["members"].items())
            return EnumType(_name(inner["name"]), members, inner["open"] is True)
        case "struct":
            return StructType(_name(inner["name"]), tuple(map(_field, inner["fields"])))
        case "array":
            item, length = inner
            return ArrayType(_type(item), _size(length))
        case _:
            key, value, capacity = inner
            return TableType(TableKind(what), _type(key), _type(value), _size(capacity))


def _field(data: Any) -> StructField:
    t = _type(data["type"])
    if "default" not in data:
        return StructField(_name(data["name"]), t)
    return StructField(_name(data["name"]), t, to_plain(decode(t, bytes.fromhex(data["default"]))), False)
