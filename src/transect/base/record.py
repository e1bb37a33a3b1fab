# SPDX-License-Identifier: Apache-2.0
"""The decorator of nodes, types and facts: a frozen dataclass with slots that costs little to define.

`dataclass(frozen=True, slots=True)` has Python compile six functions for each class, which for a hundred classes is
half of the time of a whole `transect check`.  Here comparison, hash and text are shared code, and a constructor is
compiled when the first object is made.  The type checker, which sees a frozen dataclass, refuses to change a record; at
run time nothing checks this.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform

C = TypeVar("C")


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def record(cls: type[C]) -> type[C]:
    """Fields with `compare=False` take no part in comparison and hash."""
    return _shared(_defined(cls))


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(dataclasses.field,))
def keyword_record(cls: type[C]) -> type[C]:
    """The same, with fields given by keyword; a class that derives from it chooses for its own fields."""
    return _shared(_defined(cls, kw_only=True))


def _defined(cls: type[C], *, kw_only: bool = False) -> type[C]:
    if cls.__doc__ is None:  # else `dataclass` makes one with `inspect`, which takes 0.2 ms
        cls.__doc__ = cls.__name__
    return dataclasses.dataclass(slots=True, init=False, eq=False, repr=False, kw_only=kw_only)(cls)


def _shared(cls: type[C]) -> type[C]:
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    key = _key([f.name for f in fields if f.compare])
    names = tuple(f.name for f in fields)
    own = vars(cls)

    def __init__(self: Any, *given: Any, **named: Any) -> None:
        constructor = _constructor(fields)
        cls.__init__ = constructor  # type: ignore[method-assign]
        constructor(self, *given, **named)

    def __eq__(self: Any, other: object) -> bool:
        return self is other or (type(other) is cls and key(self) == key(other))

    def __hash__(self: Any) -> int:
        return hash((cls.__name__, key(self)))

    def __repr__(self: Any) -> str:
        return f"{cls.__name__}({', '.join(f'{n}={getattr(self, n)!r}' for n in names)})"

    for function in (__init__, __eq__, __hash__, __repr__):
        # Python puts `__hash__ = None` into a class that defines `__eq__`.
        if own.get(function.__name__) is None:
            setattr(cls, function.__name__, function)
    return cls


def _constructor(fields: tuple[dataclasses.Field[Any], ...]) -> Callable[..., None]:
    """`__init__` as a dataclass has it: by position, then by keyword; a factory makes a default for each object."""
    positional: list[str] = []
    keyword: list[str] = []
    body: list[str] = []
    scope: dict[str, Any] = {}
    for field in fields:
        parameter, value = field.name, field.name
        if field.default is not dataclasses.MISSING:
            scope[f"_{field.name}"] = field.default
            parameter = f"{field.name}=_{field.name}"
        elif field.default_factory is not dataclasses.MISSING:
            scope[f"_{field.name}"] = field.default_factory
            parameter, value = (
                f"{field.name}=None",
                f"_{field.name}() if {field.name} is None else {field.name}",
            )
        (keyword if field.kw_only else positional).append(parameter)
        body.append(f" self.{field.name} = {value}")
    star = ["*", *keyword] if keyword else []
    head = f"def __init__({', '.join(['self', *positional, *star])}):"
    exec("\n".join([head, *(body or [" pass"])]), scope)
    constructor: Callable[..., None] = scope["__init__"]
    return constructor


def _key(names: list[str]) -> Callable[[Any], Any]:
    return attrgetter(*names) if names else lambda _: None
