# SPDX-License-Identifier: Apache-2.0
"""Base classes of what a policy file declares, and what happens when a policy is built under CPython.

A policy object is always the compiled version: building one compiles the class from its source text and returns an
instance of the emitted subclass, so nobody can run the raw class, whose meaning would be another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, dataclass_transform

from transect.lang.functions import PolicyError

T = TypeVar("T")

compile_class: Callable[[type[Any]], type[Any]] | None = None
"""Compiles a raw policy class to its emitted subclass.  `transect/__init__.py` puts the compiler here, so that this
package, which policy authors import, depends on nothing above it."""


class Policy:
    """Something which decides what happens next.  Strata and shapes derive their base classes from it."""

    def __new__(cls, *args: object, **kwargs: object) -> Any:
        if "__transect__" in cls.__dict__:  # an emitted class
            return super().__new__(cls)
        if compile_class is None:
            raise PolicyError("the compiler is not loaded; `import transect` first")
        return super().__new__(compile_class(cls))


class OldState:
    """The fields of an earlier version, for `migrate(self, old: V1)`: `class V1(OldState)` names the old fields."""


class Key:
    """An identity which a stratum hands out (`Client`, `Task`): comparable, usable as a key, otherwise opaque.

    In tests any hashable value serves.
    """


class View:
    """Outside data as a policy sees it: a class which names just the fields that the policy reads.

    Under CPython a view is built from its fields, for tests: `Ask(user="bob")`; a field not given has its type's zero.
    """

    def __init__(self, **fields: object) -> None:
        known = {name for cls in type(self).__mro__ for name in cls.__dict__.get("__annotations__", {})}
        for name, value in fields.items():
            if name not in known:
                raise TypeError(
                    f"{type(self).__name__} has no field {name!r}; it has {', '.join(sorted(known)) or 'none'}"
                )
            setattr(self, name, value)

    def __init_subclass__(cls, *, writable: bool = False) -> None:
        """`writable`: policies may write the fields (used by strata; those derived inherit it)."""


@dataclass_transform()
def struct(cls: type[T], /) -> type[T]:
    """A value with named fields, each with a type and perhaps a default: reading, binding and passing copy."""
    return dataclass(slots=True)(cls)
