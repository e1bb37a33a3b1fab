# SPDX-License-Identifier: Apache-2.0
"""The closed union of types.  A type is a value: two types are the same when they compare equal."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

from transect.base.record import record


@record
class IntType:
    """`int` (64, signed), `u64` (64, unsigned); fewer bits are storage only: loads widen to `int`, stores truncate."""

    bits: int = 64
    signed: bool = True


@record
class BoolType:
    pass


@record
class FloatType:
    """IEEE 754 binary64."""


@record
class TextType:
    """Valid UTF-8.  `bound` is in bytes; None: a slice of a message or a constant, of any length."""

    bound: int | None = None


@record
class BytesType:
    """`bound` is in bytes; None: a slice of a message or a constant, of any length."""

    bound: int | None = None


@record
class InstantType:
    """Nanoseconds since an epoch of the runtime's choice (signed 64 bits)."""


@record
class DurationType:
    """Nanoseconds (signed 64 bits)."""


@record
class EnumType:
    """An integer with named values.  `open`: other values may come from outside (a `match` then needs `case _`)."""

    name: str
    members: tuple[tuple[str, int], ...]
    open: bool = True


@record
class StructField:
    name: str
    type: Type
    # A plain Python value, of a struct a tuple of its fields'; `required`: whether there is one
    default: object = None
    required: bool = True


@record
class StructType:
    """A value: reading, binding and passing copy."""

    name: str
    fields: tuple[StructField, ...]

    def field(self, name: str) -> StructField | None:
        return next((f for f in self.fields if f.name == name), None)


@record
class TupleType:
    items: tuple[Type, ...]


@record
class OptionType:
    """`T | None`; never nested."""

    item: Type


@record
class UnionType:
    """One of several structs, told apart by their names: for example a hook's verdict."""

    name: str
    cases: tuple[StructType, ...]


@record
class ViewType:
    """A reference to outside data, valid for one call.  The fields are in `Program.views[name]`; views may recur."""

    name: str
    arguments: tuple[Type, ...] = ()  # Rpc[Ask, Answer]


@record
class KeyType:
    """A stratum's own identity (`Client`, `Task`): comparable, hashable, usable as a key, otherwise opaque."""

    name: str


@record
class UnitType:
    """The type of `None` as a result."""


@record
class SetType:
    """A local set; at most `bound` members; iterated in order of first insertion."""

    item: Type
    bound: int | None = None  # None: bounded by the outside data it was made from


@record
class SeqType:
    """A sequence of outside data: a repeated field of a view, `waiting`."""

    item: Type


@record
class DictType:
    """A map of outside data: a map field of a view."""

    key: Type
    value: Type


class TableKind(StrEnum):
    TABLE = "table"
    TALLY = "tally"  # missing keys read 0
    LRU = "lru"  # a full one evicts the least recently used
    ORDERED = "ordered"  # iterated by ascending key


@record
class TableType:
    kind: TableKind
    key: Type
    value: Type
    capacity: int  # entries; a hint, where clients are the keys

    @property
    def most(self) -> int | None:
        """How many entries there may be; None: one for each client, and it cannot fill.

        An entry whose key is a stratum's own identity lives as long as that client or task.  An `lru` evicts, whatever
        its keys are.
        """
        grows = isinstance(self.key, KeyType) and self.kind is not TableKind.LRU
        return None if grows else self.capacity


@record
class ArrayType:
    item: Type
    length: int


@record
class CounterType:
    """Counts up; read by the operator, not by verdicts."""


@record
class HistogramType:
    """Observations in powers-of-two buckets; read by the operator, not by verdicts."""


Type: TypeAlias = (
    IntType
    | BoolType
    | FloatType
    | TextType
    | BytesType
    | InstantType
    | DurationType
    | EnumType
    | StructType
    | TupleType
    | OptionType
    | UnionType
    | ViewType
    | KeyType
    | UnitType
    | SetType
    | SeqType
    | DictType
    | TableType
    | ArrayType
    | CounterType
    | HistogramType
)

INT = IntType()
U64 = IntType(64, False)
BOOL = BoolType()
FLOAT = FloatType()
TEXT = TextType()
BYTES = BytesType()
INSTANT = InstantType()
DURATION = DurationType()
UNIT = UnitType()


class Sync(StrEnum):
    NONE = "none"
    EVENTUAL = "eventual"
    STRONG = "strong"


@record
class Options:
    """Options of a state field: where it lives, how its copies agree, whether it survives a restart.  Part of the
    schema hash.
    """

    scope: str = "instance"
    sync: Sync = Sync.NONE
    merge: str | None = None  # sum, max, min, last
    persist: bool = False
    exclusive: bool = False
    was: str | None = None


DEFAULT_OPTIONS = Options()

STORAGE = {
    f"{'i' if signed else 'u'}{bits}": IntType(bits, signed)
    for bits in (8, 16, 32)
    for signed in (True, False)
}

_SPELLED: dict[type, str] = {
    BoolType: "bool",
    FloatType: "float",
    TextType: "str",
    BytesType: "bytes",
    InstantType: "Instant",
    DurationType: "Duration",
    UnitType: "None",
    CounterType: "Counter",
    HistogramType: "Histogram",
}


def spell(t: Type) -> str:
    """The type as a policy author writes it."""
    match t:
        case IntType(bits=64, signed=signed):
            return "int" if signed else "u64"
        case IntType(bits=bits, signed=signed):
            return f"{'i' if signed else 'u'}{bits}"
        case EnumType(name=name) | StructType(name=name) | UnionType(name=name) | KeyType(name=name):
            return name
        case ViewType(name=name, arguments=arguments):
            return f"{name}[{', '.join(map(spell, arguments))}]" if arguments else name
        case TupleType(items=items):
            return f"tuple[{', '.join(map(spell, items))}]"
        case OptionType(item=item):
            return f"{spell(item)} | None"
        case SetType(item=item):
            return f"set[{spell(item)}]"
        case SeqType(item=item):
            return f"Seq[{spell(item)}]"
        case DictType(key=key, value=value):
            return f"Mapping[{spell(key)}, {spell(value)}]"
        case TableType(kind=kind, key=key, value=value):
            return f"{_TABLE_NAME[kind]}[{spell(key)}, {spell(value)}]"
        case ArrayType(item=item):
            return f"Array[{spell(item)}]"
        case _:
            return _SPELLED[type(t)]


def an(t: Type) -> str:
    """The type with its article, in backquotes, as a message says it: an `int`, a `str`."""
    name = spell(t)
    return f"an `{name}`" if name[0] in "aeioAEIO" else f"a `{name}`"


_TABLE_NAME = {
    TableKind.TABLE: "Map",
    TableKind.TALLY: "Tally",
    TableKind.LRU: "Map",
    TableKind.ORDERED: "Ordered",
}


def is_key(t: Type) -> bool:
    """Whether it may be the key of a table or the member of a set."""
    match t:
        case (
            IntType()
            | BoolType()
            | TextType()
            | BytesType()
            | EnumType()
            | KeyType()
            | InstantType()
            | DurationType()
        ):
            return True
        case TupleType(items=items):
            return all(map(is_key, items))
        case _:
            return False


def is_value(t: Type) -> bool:
    """Whether it may be stored in state."""
    match t:
        case StructType(fields=fields):
            return all(is_value(f.type) for f in fields)
        case TupleType(items=items):
            return all(map(is_value, items))
        case OptionType(item=item):
            return is_value(item)
        case FloatType():
            return True
        case _:
            return is_key(t)


__all__ = [
    name
    for name in globals()
    if not name.startswith("_") and name not in ("annotations", "dataclass", "field")
]
