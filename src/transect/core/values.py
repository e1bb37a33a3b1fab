# SPDX-License-Identifier: Apache-2.0
"""What values are and how they compute, as plain functions: shared by the interpreter, emitted Python and folding.

Python carries a policy's values as int, bool, float, str, bytes and tuple; an Option is the value or None; a set is a
dict with None values (order of first insertion); a struct has its fields as attributes and is never changed in place
by anything here.
"""

from __future__ import annotations

import copy
import dataclasses
import enum
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from transect.core.types import (
    BoolType,
    BytesType,
    FloatType,
    IntType,
    OptionType,
    StructType,
    TextType,
    TupleType,
    Type,
)

INT_MIN, INT_MAX, U64_MAX = -(2**63), 2**63 - 1, 2**64 - 1

# ---------------------------------------------------------------- integers


def wrap(x: int) -> int:
    """To `int`: the value modulo 2**64, signed."""
    return x if -0x8000000000000000 <= x <= 0x7FFFFFFFFFFFFFFF else ((x + 2**63) & U64_MAX) - 2**63


def wrap_u64(x: int) -> int:
    """To `u64`: the value modulo 2**64."""
    return x & U64_MAX


def narrow(x: int, bits: int, signed: bool) -> int:
    """As stored in so many bits."""
    x &= (1 << bits) - 1
    return x - (1 << bits) if signed and x >> (bits - 1) else x


def floordiv(a: int, b: int) -> int:
    """`a // b` of `int`; 0 when b is 0."""
    return wrap(a // b) if b else 0


def floordiv_u64(a: int, b: int) -> int:
    """`a // b` of `u64`; 0 when b is 0."""
    return a // b if b else 0


def modulo(a: int, b: int) -> int:
    """`a % b`, with the sign of b; a when b is 0.  The same for `int` and `u64`."""
    return a % b if b else a


def shift_left(a: int, count: int) -> int:
    """`a << count` of `int`; the count modulo 64."""
    return wrap(a << (count & 63))


def shift_left_u64(a: int, count: int) -> int:
    """`a << count` of `u64`; the count modulo 64."""
    return wrap_u64(a << (count & 63))


def shift_right(a: int, count: int) -> int:
    """`a >> count`, arithmetic for `int` and logical for `u64`; the count modulo 64."""
    return a >> (count & 63)


def mul_div(a: int, b: int, c: int) -> int:
    """`a * b // c` with a product of 128 bits, cut to 64; 0 when c is 0."""
    return wrap(a * b // c) if c else 0


def saturate(x: float) -> int:
    """To `int`, towards zero; NaN is 0, beyond the range is its end."""
    if math.isnan(x):
        return 0
    return INT_MAX if x >= 2.0**63 else INT_MIN if x < -(2.0**63) else int(x)


def saturate_u64(x: float) -> int:
    """To `u64`, towards zero; NaN and negative are 0, beyond the range is its end."""
    if math.isnan(x) or x <= 0:
        return 0
    return U64_MAX if x >= 2.0**64 else int(x)


def mul_div_u64(a: int, b: int, c: int) -> int:
    """`mul_div` of `u64`."""
    return wrap_u64(a * b // c) if c else 0


# ---------------------------------------------------------------- floats


def float_div(a: float, b: float) -> float:
    """IEEE 754 division: by zero it is an infinity, or NaN."""
    if b:
        return a / b
    if a == 0 or math.isnan(a) or math.isnan(b):
        return math.nan
    return math.copysign(math.inf, a) * math.copysign(1.0, b)


def float_min(a: float, b: float) -> float:
    """The smaller; the first of equals; NaN never wins against a number."""
    return b if b < a or (a != a and b == b) else a


def float_max(a: float, b: float) -> float:
    """The larger; the first of equals; NaN never wins against a number."""
    return b if b > a or (a != a and b == b) else a


# ---------------------------------------------------------------- texts


BLANKS = " \t\n\r\v\f"


def lower(text: str) -> str:
    """With a letter of ASCII in the place of each capital one; all else is kept."""
    return text.encode().lower().decode()


def strip(text: str) -> str:
    """Without blanks of ASCII at its ends."""
    return text.strip(BLANKS)


def partition(text: str, separator: str) -> tuple[str, str, str]:
    """What is before, at, and after the first separator; where there is none, or it is empty, all is before it."""
    return text.partition(separator) if separator else (text, "", "")


def parse_int(text: str) -> int | None:
    """The number that a text is in decimal; None: it is none, or does not fit into an `int`."""
    digits = text[1:] if text.startswith("-") else text
    significant = digits.lstrip("0")
    if not (digits.isascii() and digits.isdigit()) or len(significant) > 19:
        return None
    number = int(significant or "0")
    number = -number if digits != text else number
    return number if INT_MIN <= number <= INT_MAX else None


def size(value: str | bytes) -> int:
    """In bytes: `len` of a text."""
    return len(value) if isinstance(value, bytes) or value.isascii() else len(value.encode())


def formatted(value: object) -> str:
    """A part of an f-string; an enum is its number."""
    return str(int(value)) if isinstance(value, int) and not isinstance(value, bool) else str(value)


# ---------------------------------------------------------------- structs


def from_plain(t: Type, plain: Any) -> Any:
    """The value that a struct field's default stands for: of a struct it is a tuple of its fields."""
    match t:
        case StructType(name=name, fields=fields):
            values = zip(fields, plain, strict=True)
            return Record(name, {f.name: from_plain(f.type, value) for f, value in values})
        case TupleType(items=items):
            return tuple(from_plain(item, value) for item, value in zip(items, plain, strict=True))
        case OptionType(item=item) if plain is not None:
            return from_plain(item, plain)
        case _:
            return plain


def to_plain(value: Any) -> Any:
    """The way back."""
    if isinstance(value, Record):
        return tuple(map(to_plain, value.__fields__.values()))
    return tuple(map(to_plain, value)) if isinstance(value, tuple) else value


class Record:
    """A struct or a verdict as the interpreter holds it: a name and fields, read as attributes; immutable.

    Its own attributes have names that no field may have.
    """

    __slots__ = ("__fields__", "__name__")
    __name__: str
    __fields__: dict[str, Any]

    def __init__(self, name: str, fields: Mapping[str, object]) -> None:
        object.__setattr__(self, "__name__", name)
        object.__setattr__(self, "__fields__", dict(fields))

    def __getattr__(self, name: str) -> Any:
        # Not looked up by attribute: copying and unpickling ask before __init__ has run.
        fields = object.__getattribute__(self, "__fields__")
        if name in fields:
            return fields[name]
        raise AttributeError(f"{self.__name__} has no field {name!r}")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a {self.__name__} is a value and cannot change")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Record) and equal(self, other)

    def __hash__(self) -> int:
        return hash((self.__name__, tuple(self.__fields__.values())))

    def __copy__(self) -> Record:
        return self

    def __deepcopy__(self, memo: object) -> Record:
        return self

    def __repr__(self) -> str:
        return f"{self.__name__}({', '.join(f'{k}={v!r}' for k, v in self.__fields__.items())})"


def is_struct(value: object) -> bool:
    """Whether it is a struct or verdict, of the interpreter or of emitted Python."""
    return isinstance(value, Record) or (dataclasses.is_dataclass(value) and not isinstance(value, type))


def struct_name(value: object) -> str:
    """The name of the struct type of a struct."""
    return value.__name__ if isinstance(value, Record) else type(value).__name__


def struct_fields(value: Any) -> dict[str, Any]:
    """The fields of a struct in their order."""
    if isinstance(value, Record):
        return value.__fields__
    return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}


def field_of(value: Any, name: str) -> Any:
    """A field of a struct.  Raises KeyError when it has none of that name, AttributeError when the value is not a
    struct.
    """
    if isinstance(value, Record):
        return value.__fields__[name]
    if name not in type(value).__dataclass_fields__:
        raise KeyError(name)
    return getattr(value, name)


def replaced(value: Any, path: tuple[str, ...], new: object) -> Any:
    """A copy of the struct with `new` at the field that the path names."""
    if not path:
        return new
    name, *rest = path
    inner = replaced(field_of(value, name), tuple(rest), new)
    if isinstance(value, Record):
        return Record(value.__name__, {**value.__fields__, name: inner})
    changed = copy.copy(value)
    setattr(changed, name, inner)
    return changed


def copied(value: Any) -> Any:
    """A value that nobody else can change: structs of emitted Python are copied, within tuples and structs too."""
    if isinstance(value, tuple):
        return tuple(map(copied, value))
    if isinstance(value, Record) or not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    changed = copy.copy(value)
    for f in dataclasses.fields(value):
        inner = getattr(changed, f.name)
        if isinstance(inner, tuple) or dataclasses.is_dataclass(inner):
            setattr(changed, f.name, copied(inner))
    return changed


# ---------------------------------------------------------------- comparing


def equal(a: Any, b: Any) -> bool:
    """`==` of any two values of one type.  Item by item: Python's own takes a NaN in a tuple for equal to itself."""
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    if is_struct(a):
        if not is_struct(b) or struct_name(a) != struct_name(b):
            return False
        return all(map(equal, struct_fields(a).values(), struct_fields(b).values()))
    return bool(a == b)


def less(a: Any, b: Any) -> bool:
    """`<` of any two values of one type: tuples by the first items that are not equal, texts by bytes."""
    if isinstance(a, tuple):
        for x, y in zip(a, b, strict=True):
            if not equal(x, y):
                return less(x, y)
        return False
    # The order of code points is the order of their UTF-8 bytes.
    return bool(a < b)


def smaller(best: Any, new: Any) -> bool:
    """Whether `new` takes the place of `best` in `min`: NaN never does, and gives way to any number."""
    return less(new, best) or (isinstance(best, float) and best != best and new == new)


def larger(best: Any, new: Any) -> bool:
    """Whether `new` takes the place of `best` in `max`: NaN never does, and gives way to any number."""
    return less(best, new) or (isinstance(best, float) and best != best and new == new)


def contains(items: Iterable[Any], item: Any) -> bool:
    """Membership in a sequence; NaN is in none."""
    return any(equal(item, other) for other in items)


def normal(value: Any) -> Any:
    """A form in which values of the interpreter, of emitted Python and of C compare equal when they are the same.

    It tells 0.0 from -0.0, makes all NaNs the same, and turns an enum's member into its number.
    """
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, float):
        return "nan" if math.isnan(value) else value.hex()
    if isinstance(value, tuple | list):
        return tuple(map(normal, value))
    if isinstance(value, dict):
        return tuple((normal(k), normal(v)) for k, v in value.items())
    if is_struct(value):
        return (struct_name(value), tuple((k, normal(v)) for k, v in struct_fields(value).items()))
    return value


# ---------------------------------------------------------------- sets


def make_set(items: Iterable[Any]) -> dict[Any, None]:
    """A set in order of first insertion."""
    return dict.fromkeys(items)


def set_or(a: dict[Any, None], b: dict[Any, None]) -> dict[Any, None]:
    """`a | b`: those of a, then the others of b."""
    return {**a, **b}


def set_and(a: dict[Any, None], b: dict[Any, None]) -> dict[Any, None]:
    """`a & b`, in the order of a."""
    return {x: None for x in a if x in b}


def set_sub(a: dict[Any, None], b: dict[Any, None]) -> dict[Any, None]:
    """`a - b`, in the order of a."""
    return {x: None for x in a if x not in b}


def set_xor(a: dict[Any, None], b: dict[Any, None]) -> dict[Any, None]:
    """`a ^ b`: those of a alone, then those of b alone."""
    return set_or(set_sub(a, b), set_sub(b, a))


# ---------------------------------------------------------------- storing


class Misfit:
    """What `storer` answers when a text is longer than its bound."""


MISFIT = Misfit()
Storer = Callable[[Any], Any]


def _narrower(t: IntType) -> Storer:
    return lambda x: narrow(x, t.bits, t.signed)


def _bounded(bound: int) -> Storer:
    return lambda x: x if size(x) <= bound else MISFIT


def _optional(inner: Storer) -> Storer:
    return lambda x: None if x is None else inner(x)


def _tuple(inner: tuple[Storer | None, ...]) -> Storer:
    def store(value: tuple[Any, ...]) -> Any:
        items = tuple(f(x) if f else x for f, x in zip(inner, value, strict=True))
        return MISFIT if any(x is MISFIT for x in items) else items

    return store


def _struct(inner: dict[str, Storer | None]) -> Storer:
    def store(value: Any) -> Any:
        fields = {name: f(getattr(value, name)) if f else getattr(value, name) for name, f in inner.items()}
        if any(x is MISFIT for x in fields.values()):
            return MISFIT
        if isinstance(value, Record):
            return Record(value.__name__, fields)
        changed = copy.copy(value)  # a copy of our own, whatever the policy does with the one it holds
        for name, x in fields.items():
            setattr(changed, name, x)
        return changed

    return store


def storer(t: Type, *, check: bool = True) -> Storer | None:
    """What storing does to a value of the type: narrow integers truncate, structs are copied, a text anywhere in it
    that is beyond its bound gives MISFIT (not with `check=False`).  None if storing changes nothing."""
    match t:
        case IntType(bits=bits) if bits < 64:
            return _narrower(t)
        case TextType(bound=int(bound)) | BytesType(bound=int(bound)) if check:
            return _bounded(bound)
        case OptionType(item=item):
            inner = storer(item, check=check)
            return _optional(inner) if inner else None
        case TupleType(items=items):
            within = tuple(storer(item, check=check) for item in items)
            return _tuple(within) if any(within) else None
        case StructType(fields=fields):
            return _struct({f.name: storer(f.type, check=check) for f in fields})
        case _:
            return None


def is_mutable(t: Type) -> bool:
    """Whether emitted Python holds it in an object that can change: a struct, or something with one inside."""
    match t:
        case StructType():
            return True
        case OptionType(item=item):
            return is_mutable(item)
        case TupleType(items=items):
            return any(map(is_mutable, items))
        case _:
            return False


def zero(t: Type) -> Any:
    """The type's zero: 0, False, 0.0, empty, None; of a struct, every field's zero."""
    match t:
        case BoolType():
            return False
        case FloatType():
            return 0.0
        case TextType():
            return ""
        case BytesType():
            return b""
        case TupleType(items=items):
            return tuple(map(zero, items))
        case StructType(name=name, fields=fields):
            return Record(name, {f.name: zero(f.type) for f in fields})
        case OptionType():
            return None
        case _:
            return 0
