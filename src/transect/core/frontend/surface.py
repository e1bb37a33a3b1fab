# SPDX-License-Identifier: Apache-2.0
"""The names of the language itself, as tables: what `transect.lang` gives, and which standard names have a meaning."""

from __future__ import annotations

from transect.core.types import BOOL, BYTES, DURATION, FLOAT, INSTANT, INT, STORAGE, TEXT, U64, UNIT, Type

PLAIN_TYPES: dict[str, Type] = {
    "int": INT,
    "u64": U64,
    "bool": BOOL,
    "float": FLOAT,
    "str": TEXT,
    "bytes": BYTES,
    "Instant": INSTANT,
    "Duration": DURATION,
    "None": UNIT,
    **STORAGE,
}
"""Types without arguments.  `int`, `bool`, `float`, `str`, `bytes` need no import."""

TABLES = frozenset({"Map", "Tally", "Ordered", "Array"})
CONSTRUCTORS = frozenset(
    {
        "table",
        "tally",
        "lru",
        "ordered",
        "array",
        "param",
        "local",
        "state",
        "counter",
        "histogram",
        "text",
        "blob",
        "given",
    }
)
DURATION_UNITS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "seconds": 1_000_000_000}
CASTS: dict[str, Type] = {"as_int": INT, "as_u64": U64, "as_float": FLOAT}
FUNCTIONS = (
    frozenset(
        {"now", "rand", "rand_below", "mul_div", "fits", "as_text", "parse_int", "hash64", "trace", "drop"}
    )
    | set(DURATION_UNITS)
    | set(CASTS)
)
CLASSES = frozenset({"Policy", "View", "Key", "OldState"})
DECORATORS = frozenset(
    {"struct", "helper", "intrinsic", "nonempty", "ends", "requires", "ensures", "invariant"}
)
FOR_STRATA = frozenset({"intrinsic"})  # marks that the sources of a stratum alone may have
WRAPPERS = frozenset({"Secret", "Param", "Local", "Counter", "Histogram", "Sequence", "Mapping"})

LANG_NAMES = (
    frozenset(PLAIN_TYPES) - {"int", "bool", "float", "str", "bytes", "None"}
    | TABLES
    | CONSTRUCTORS
    | FUNCTIONS
    | CLASSES
    | DECORATORS
    | WRAPPERS
)

OUTSIDE_NAMES: dict[str, frozenset[str]] = {
    "__future__": frozenset({"annotations"}),
    "typing": frozenset(
        {"Final", "TypeAlias", "TYPE_CHECKING", "Any", "Generic", "TypeVar", "Annotated", "ClassVar"}
    ),
    "collections.abc": frozenset({"Sequence", "Mapping"}),
    "enum": frozenset({"IntEnum"}),
}
"""Standard modules and the names of them that a policy file may import."""

BUILTIN_FUNCTIONS = frozenset({"len", "min", "max", "sum", "any", "all", "abs", "range", "enumerate", "set"})

REDUCTIONS = frozenset({"min", "max", "sum", "any", "all"})
