# SPDX-License-Identifier: Apache-2.0
"""The decorator of nodes and types: a frozen dataclass with slots that costs little to define.

`dataclass(frozen=True, slots=True)` has Python compile six functions for each class, which for a hundred classes is a
third of the time of a whole `transect check`.  Here comparison, hash and text are shared code.  That nobody changes a
node is held by the type checker, which sees a frozen dataclass, and not looked after at run time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform

C = TypeVar("C")


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def node(cls: type[C]) -> type[C]:
    """Fields with `compare=False` take no part in comparison and hash."""
    return _shared(dataclasses.dataclass(slots=True, eq=False, repr=False)(cls))


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(dataclasses.field,))
def keyword_node(cls: type[C]) -> type[C]:
    """The same; its fields are given by keyword, those of classes that derive from it as they say."""
    return _shared(dataclasses.dataclass(slots=True, eq=False, repr=False, kw_only=True)(cls))


def _shared(cls: type[C]) -> type[C]:
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    key = _key([f.name for f in fields if f.compare])
    names = tuple(f.name for f in fields)
    own = vars(cls)

    def __eq__(self: Any, other: object) -> bool:
        return self is other or (type(other) is cls and key(self) == key(other))

    def __hash__(self: Any) -> int:
        return hash((cls.__name__, key(self)))

    def __repr__(self: Any) -> str:
        return f"{cls.__name__}({', '.join(f'{n}={getattr(self, n)!r}' for n in names)})"

    for function in (__eq__, __hash__, __repr__):
        # Python puts `__hash__ = None` into a class that defines `__eq__`.
        if own.get(function.__name__) is None:
            setattr(cls, function.__name__, function)
    return cls


def _key(names: list[str]) -> Callable[[Any], Any]:
    return attrgetter(*names) if names else lambda _: None
