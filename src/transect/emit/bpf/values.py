# SPDX-License-Identifier: Apache-2.0
"""How values look in BPF: every one is a word of 64 bits, an option is a word with a flag, a view is what it stands
for.  Types without such a form (floats, texts, sets, structs) are refused, never approximated.
"""

from __future__ import annotations

from transect.core.types import (
    BoolType,
    CounterType,
    DurationType,
    EnumType,
    InstantType,
    IntType,
    KeyType,
    OptionType,
    Type,
    UnitType,
    ViewType,
)
from transect.emit.c import tree as c

S64, U64, BOOL, OPTION = c.Named("s64"), c.Named("u64"), c.Named("bool"), c.Named("ts_option")


def is_word(t: Type) -> bool:
    """Whether one word holds a value of the type."""
    return isinstance(t, IntType | BoolType | InstantType | DurationType | EnumType)


def is_stored(t: Type) -> bool:
    """Whether state may hold it."""
    return is_word(t) or (isinstance(t, OptionType) and is_word(t.item)) or isinstance(t, CounterType)


def is_local(t: Type) -> bool:
    """Whether a local variable, parameter or result may be of the type."""
    return is_stored(t) or isinstance(t, ViewType | KeyType | UnitType)


def words(t: Type) -> int:
    """How many words of state it takes."""
    return 2 if isinstance(t, OptionType) else 1


def is_unsigned(t: Type) -> bool:
    return isinstance(t, IntType) and not t.signed and t.bits == 64


def narrow(t: Type) -> c.CType | None:
    """The C type that a storage integer truncates to."""
    if isinstance(t, IntType) and t.bits < 64:
        return c.Named(f"{'s' if t.signed else 'u'}{t.bits}")
    return None


def value_type(t: Type) -> c.CType:
    match t:
        case BoolType():
            return BOOL
        case OptionType():
            return OPTION
        case UnitType():
            return c.VOID
        case _ if is_unsigned(t):
            return U64
        case _:
            return S64
