# SPDX-License-Identifier: Apache-2.0
"""What random programs are made of: types, constants at the edges, state fields."""

from __future__ import annotations

from dataclasses import dataclass

from tests.fuzz.choices import Choices
from transect.core.types import (
    BOOL,
    DURATION,
    FLOAT,
    INSTANT,
    INT,
    STORAGE,
    U64,
    BytesType,
    EnumType,
    IntType,
    KeyType,
    OptionType,
    StructField,
    StructType,
    TextType,
    TupleType,
    Type,
)

CLIENT = KeyType("Client")
COLOUR = EnumType("Colour", (("RED", 0), ("GREEN", 1), ("BLUE", 7)))
TEXT, BYTES = TextType(), BytesType()
PAIR = StructType(
    "Pair",
    (
        StructField("a", INT),
        StructField("b", STORAGE["u8"]),
        StructField("t", TextType(4)),
        StructField("f", FLOAT),
    ),
)
NEST = StructType(
    "Nest",
    (
        StructField("p", PAIR),
        StructField("o", OptionType(INT)),
        StructField("c", COLOUR),
        StructField("n", STORAGE["i16"]),
        StructField("d", DURATION),
        StructField("y", BytesType(3)),
    ),
)

PRELUDE = """\
from enum import IntEnum
from typing import Final

from transect.lang import (
    Array, Counter, Duration, Histogram, Instant, Map, Ordered, Param, Tally, array, as_float, as_int, as_text, as_u64,
    blob, counter, drop, fits, hash64, helper, histogram, i8, i16, i32, lru, ms, mul_div, now, ns, ordered, param,
    parse_int, rand, rand_below, seconds, state, struct, table, tally, text, trace, u8, u16, u32, u64, us,
)
from transect.shapes import Arbiter, Client


class Colour(IntEnum):
    RED = 0
    GREEN = 1
    BLUE = 7


@struct
class Pair:
    a: int
    b: u8 = 3
    t: str = text(4)
    f: float = 0.5


@struct
class Nest:
    p: Pair
    o: int | None
    c: Colour
    n: i16 = -2
    d: Duration = 5
    y: bytes = blob(3)


LIMIT: Final = 3
BIG: Final[u64] = 18446744073709551615
"""

TUPLES = (
    TupleType((INT, BOOL)),
    TupleType((TEXT, INT)),
    TupleType((INT, FLOAT)),
    TupleType((U64, COLOUR, BYTES)),
)
KEY_TUPLES = (TupleType((TextType(64), INT)), TupleType((INT, BOOL)), TupleType((STORAGE["u8"], COLOUR)))
NARROW = tuple(STORAGE.values())

VALUES: tuple[Type, ...] = (
    INT, U64, BOOL, FLOAT, TEXT, BYTES, INSTANT, DURATION, COLOUR, PAIR, NEST, *TUPLES,
    OptionType(INT), OptionType(TEXT), OptionType(FLOAT), OptionType(PAIR), OptionType(COLOUR), OptionType(U64),
    OptionType(BOOL), OptionType(BYTES), OptionType(DURATION), OptionType(INSTANT), OptionType(TUPLES[0]),
)  # fmt: skip
"""Types that expressions have: those of locals, parameters and results."""

ITEMS: tuple[Type, ...] = (
    INT,
    TEXT,
    U64,
    BOOL,
    BYTES,
    COLOUR,
    INSTANT,
    DURATION,
    TUPLES[0],
    TUPLES[1],
    CLIENT,
)
"""Types of members of sets."""


def loose(t: Type) -> Type:
    """The type that an expression has which reads storage of type t."""
    match t:
        case IntType(bits=bits) if bits < 64:
            return INT
        case TextType():
            return TEXT
        case BytesType():
            return BYTES
        case OptionType(item=item):
            return OptionType(loose(item))
        case TupleType(items=items):
            return TupleType(tuple(map(loose, items)))
        case _:
            return t


# ---------------------------------------------------------------- constants

_INTS = (
    0,
    1,
    2,
    -1,
    3,
    7,
    8,
    63,
    64,
    255,
    256,
    -128,
    1000,
    2**31,
    2**32 - 1,
    2**63 - 1,
    -(2**63),
    -(2**63) + 1,
)
_U64S = (0, 1, 2, 3, 255, 2**32, 2**63 - 1, 2**63, 2**64 - 1)
_FLOATS = (
    "0.0",
    "1.0",
    "0.5",
    "-1.5",
    "-0.0",
    "1e300",
    "5e-324",
    "9007199254740993.0",
    "1.8e19",
    "1e309",
    "-1e309",
)
_TEXTS = (
    "",
    "a",
    "ab",
    "abcd",
    "b",
    "é",
    "abcde",
    "a" * 64,
    "a" * 65,
    'q"\\\n',
    "z\0y",
    "€uro",
    "%d",
    "trigraph??/",
)
_BYTES = (b"", b"a", b"\x00\xff", b"abc", b"abcd", b"x" * 64, b"x" * 65, b'"\\')
_MEMBERS = ("Colour.RED", "Colour.GREEN", "Colour.BLUE")


def constant(c: Choices, t: Type) -> str:
    """A constant of the type, as a text that has this type wherever it stands."""
    match t:
        case IntType(bits=64, signed=False):
            return c.of((f"as_u64({c.of(_U64S[:7])})", "BIG", "as_u64(-3)"))
        case IntType():
            n = c.of(_INTS)
            return f"({n})" if n < 0 else c.of((str(n), str(n), str(n), "LIMIT"))
        case _ if t == FLOAT and c.chance(12):
            return "(1e309 - 1e309)"
        case _:
            return literal(c, t)


def literal(c: Choices, t: Type) -> str:
    """A literal that stands where the type is known."""
    if t == U64:
        return str(c.of(_U64S))
    if isinstance(t, IntType):
        low, high = (-(2 ** (t.bits - 1)), 2 ** (t.bits - 1) - 1) if t.signed else (0, 2**t.bits - 1)
        return str(c.of([n for n in _INTS if low <= n <= high]))
    if t == BOOL:
        return c.of(("False", "True"))
    if t == FLOAT:
        return c.of(_FLOATS)
    if t == INSTANT:
        return str(c.of(_INTS))
    if t == DURATION:
        return f"{c.of(('ns', 'us', 'ms', 'seconds'))}({c.of((0, 1, 5, 1000))})"
    if isinstance(t, TextType):
        return repr(c.of([x for x in _TEXTS if t.bound is None or len(x.encode()) <= t.bound]))
    if isinstance(t, BytesType):
        return repr(c.of([x for x in _BYTES if t.bound is None or len(x) <= t.bound]))
    if t == COLOUR:
        return c.of(_MEMBERS)
    raise AssertionError(f"no literal of {t}")


def bounded(t: Type) -> Type:
    """The type as it is stored: text without a bound of its own has one of 64 bytes."""
    return TextType(64) if t == TEXT else BytesType(64) if t == BYTES else t


_NEAR: dict[Type, tuple[str, ...]] = {
    INT: ("0", "1", "2", "3", "7", "(-1)"),
    U64: ("as_u64(0)", "as_u64(1)", "as_u64(2)", "as_u64(3)", "BIG"),
    TEXT: ("''", "'a'", "'ab'", "'b'", "'é'", "'abcd'"),
    BYTES: ("b''", "b'a'", "b'b'", "b'ab'", "b'\\xff'", "b'abc'"),
    INSTANT: ("0", "1", "2", "3", "(-1)"),
    DURATION: ("ns(0)", "ns(1)", "ns(2)", "us(1)", "ns(-1)"),
    BOOL: ("False", "True"),
}


def near(c: Choices, t: Type) -> str:
    """One of a few constants, more of them than a table holds; some do not fit its bound."""
    if isinstance(t, TupleType):
        return f"({', '.join(near(c, loose(i)) for i in t.items)})"
    return c.of(_MEMBERS if t == COLOUR else _NEAR[t])


def first_value(c: Choices, t: Type) -> str:
    """The first value of a state field."""
    match t:
        case OptionType(item=item):
            simple = isinstance(item, IntType) or item in (FLOAT, BOOL)
            return first_value(c, item) if simple and c.chance(40) else "None"
        case TupleType(items=items):
            return f"({', '.join(first_value(c, bounded(i)) for i in items)})"
        case StructType(name="Pair"):
            rest = f", b={literal(c, STORAGE['u8'])}, f={literal(c, FLOAT)}, t={literal(c, TextType(4))}"
            return f"Pair(a={literal(c, INT)}{rest if c.chance(50) else ''})"
        case StructType():
            return f"Nest(p={first_value(c, PAIR)}, o=None, c={literal(c, COLOUR)})"
        case _:
            return literal(c, t)


# ---------------------------------------------------------------- state


@dataclass(frozen=True)
class Field:
    name: str
    kind: str  # scalar, param, table, tally, lru, ordered, array, counter, histogram
    type: Type  # of a scalar, of a value
    key: Type | None = None
    size: int = 0

    @property
    def reads(self) -> Type:
        """The type that reading a value gives."""
        return loose(self.type)

    @property
    def asks(self) -> Type:
        """The type that a key is given as."""
        assert self.key is not None
        return loose(self.key)

    @property
    def is_map(self) -> bool:
        return self.kind in ("table", "lru", "ordered")

    @property
    def has_keys(self) -> bool:
        return self.key is not None


SPELLED = {IntType: "", TextType: "str", BytesType: "bytes"}
_SCALARS: tuple[Type, ...] = (
    INT, U64, BOOL, FLOAT, TextType(5), BytesType(3), INSTANT, DURATION, COLOUR, PAIR, NEST, *TUPLES, *NARROW,
    OptionType(INT), OptionType(TextType(64)), OptionType(FLOAT), OptionType(COLOUR), OptionType(PAIR),
    OptionType(CLIENT), OptionType(STORAGE["u8"]), OptionType(DURATION), OptionType(U64), OptionType(BOOL),
    OptionType(BytesType(64)), OptionType(INSTANT), OptionType(TUPLES[0]), TextType(64), BytesType(64),
)  # fmt: skip
_KEYS: tuple[Type, ...] = (
    INT, CLIENT, TextType(3), U64, BOOL, BytesType(2), COLOUR, STORAGE["u8"], STORAGE["i16"], INSTANT, DURATION,
    *KEY_TUPLES,
)  # fmt: skip
_NUMBERS: tuple[Type, ...] = (INT, U64, FLOAT, DURATION, *NARROW)
_PARAMS: tuple[Type, ...] = (INT, U64, BOOL, FLOAT, TEXT, BYTES, INSTANT, DURATION, COLOUR, STORAGE["u8"])


def spell(t: Type) -> str:
    from transect.core.types import spell as spelled

    return spelled(t)


def _combinations() -> list[tuple[str, Type]]:
    """What fields there are, by kind and type; structs, which have many places in them, four times."""
    stored = (*_SCALARS, *(PAIR, NEST) * 3)
    found = [("scalar", t) for t in stored] + [("param", t) for t in _PARAMS]
    found += [(kind, t) for kind in ("table", "lru", "ordered", "array") for t in stored]
    return found + [("tally", t) for t in _NUMBERS] * 2 + [("counter", INT), ("histogram", INT)]


COMBINATIONS = _combinations()


def field(c: Choices, name: str) -> tuple[Field, str]:
    """A state field and its declaration."""
    kind, t = c.of(COMBINATIONS)
    match kind:
        case "scalar":
            return Field(name, kind, t), f"{name}: {spell(t)} = {_scalar_value(c, t)}"
        case "param":
            declared = f"{name}: Param[{spell(t)}] = param({literal(c, bounded(t))})"
            return Field(name, kind, bounded(t)), declared
        case "counter" | "histogram":
            return Field(name, kind, INT), f"{name}: {kind.capitalize()} = {kind}()"
        case "array":
            size = c.of((1, 2, 4, 5))
            return Field(name, kind, t, INT, size), f"{name}: Array[{spell(t)}] = array({size})"
        case _:
            return _table(c, name, kind, t)


def ordering(c: Choices, name: str) -> tuple[Field, str]:
    """A tally of those who wait, and its declaration."""
    t = c.of(_NUMBERS)
    return Field(name, "tally", t, CLIENT, 4), f"{name}: Tally[Client, {spell(t)}] = tally(4)"


def _scalar_value(c: Choices, t: Type) -> str:
    match t:
        case TextType(bound=5):
            return c.of(("text(5)", "text(5, 'é')"))
        case BytesType(bound=3):
            return c.of(("blob(3)", "blob(3, b'xy')"))
        case _:
            value = first_value(c, t)
            return value if c.chance(80) else f"state({value})"


def _table(c: Choices, name: str, kind: str, value: Type) -> tuple[Field, str]:
    key = c.of([k for k in _KEYS if k != CLIENT or kind != "ordered"])  # clients have no order
    size = c.of((1, 2, 3, 4))
    options = "".join(_bound(option, t) for option, t in (("key", key), ("value", value)))
    wrapper = {"table": "Map", "lru": "Map", "tally": "Tally", "ordered": "Ordered"}[kind]
    declared = f"{name}: {wrapper}[{spell(key)}, {spell(value)}] = {kind}({size}{options})"
    return Field(name, kind, value, key, size), declared


def _bound(option: str, t: Type) -> str:
    match t:
        case TextType(bound=int(bound)) if bound != 64:
            return f", {option}=text({bound})"
        case BytesType(bound=int(bound)) if bound != 64:
            return f", {option}=blob({bound})"
        case _:
            return ""
