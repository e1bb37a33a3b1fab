# SPDX-License-Identifier: Apache-2.0
"""Bounds of texts and bytes: `text(64)` and `blob(64)` where something is declared, 64 bytes where nothing is said."""

from __future__ import annotations

import ast

from transect.core.frontend.modules import Module, surface_name
from transect.core.types import BytesType, OptionType, TextType, TupleType, Type


def bounded_text(module: Module, t: Type, value: ast.expr | None) -> tuple[Type, ast.expr | None]:
    """The type with the bound that `text(64)` or `blob(64)` gives, and what is left as the default."""
    match value:
        case ast.Call(func=function, args=[ast.Constant(value=int(size)), *rest]) if (
            kind := surface_name(module, function)
        ) in ("text", "blob"):
            return _with_bound(t, kind, size), rest[0] if rest else None
        case _:
            return t, value


def _with_bound(t: Type, kind: str, size: int) -> Type:
    """The type with that bound on every text (or bytes) in it."""
    match t:
        case TextType() if kind == "text":
            return TextType(size)
        case BytesType() if kind == "blob":
            return BytesType(size)
        case OptionType(item=item):
            return OptionType(_with_bound(item, kind, size))
        case TupleType(items=items):
            return TupleType(tuple(_with_bound(item, kind, size) for item in items))
        case _:
            return t


DEFAULT_BOUND = 64  # bytes, for stored text without a bound of its own


def with_default_bound(t: Type) -> Type:
    """The type as it is stored: every text in it has a bound."""
    match t:
        case TextType(bound=None):
            return TextType(DEFAULT_BOUND)
        case BytesType(bound=None):
            return BytesType(DEFAULT_BOUND)
        case OptionType(item=item):
            return OptionType(with_default_bound(item))
        case TupleType(items=items):
            return TupleType(tuple(map(with_default_bound, items)))
        case _:
            return t
