# SPDX-License-Identifier: Apache-2.0
"""Which functions emitted handlers may call, and where their text imports each from."""

from __future__ import annotations

VALUES = (
    "MISFIT",
    "contains",
    "copied",
    "equal",
    "float_div",
    "float_max",
    "float_min",
    "floordiv",
    "floordiv_u64",
    "lower",
    "modulo",
    "mul_div",
    "mul_div_u64",
    "narrow",
    "parse_int",
    "partition",
    "saturate",
    "saturate_u64",
    "set_and",
    "set_sub",
    "set_xor",
    "shift_left",
    "shift_left_u64",
    "shift_right",
    "size",
    "storer",
    "strip",
    "wrap",
    "wrap_u64",
)
OPERATIONS = ("maximum", "minimum")
STABLE = ("hash64",)
RUNTIME = ("compare", "first_max", "first_min", "sum_of_floats")

SOURCES = {
    "transect.core.operations": OPERATIONS,
    "transect.core.stable": STABLE,
    "transect.core.values": VALUES,
    "transect.emit.py.runtime": RUNTIME,
}
IMPORTED = {name: module for module, names in SOURCES.items() for name in names}
BUILTINS = frozenset(
    {"abs", "all", "any", "dict", "float", "int", "len", "list", "max", "min", "object", "range", "sum"}
)
