# SPDX-License-Identifier: Apache-2.0
"""Base classes of what a policy file declares, and what happens when a policy is built under CPython.

A policy object is always the compiled version: building one compiles the class from its source text and returns an
instance of the emitted subclass, so nobody can run the raw class, which Python would give another meaning.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Hashable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, fields
from functools import partial, wraps
from types import FunctionType
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast, dataclass_transform

import transect
from transect.lang.functions import PolicyError
from transect.lang.state import Declared
from transect.lang.zeros import NoZero, annotation_of, zero

T = TypeVar("T")


class Policy:
    """Something which decides what happens next.  Strata and shapes derive their base classes from it."""

    def __new__(cls, *args: object, **kwargs: object) -> Self:
        """Build the emitted policy.  Raises `PolicyError` with the diagnostics when the class has errors."""
        emitted = cls if "__transect__" in cls.__dict__ else transect.compile_class(cls)
        return cast(Self, object.__new__(emitted))

    def __init_subclass__(cls) -> None:
        """Replace each handler as written by one that refuses to run."""
        if "__transect__" not in cls.__dict__:
            for name, value in list(vars(cls).items()):
                if isinstance(value, FunctionType):
                    setattr(cls, name, _raw(value))


def _raw(handler: FunctionType) -> Callable[..., Any]:
    """What stands in for a handler as written: Python would run it with another meaning than the targets do."""

    @wraps(handler)
    def refuse(*args: object, **kwargs: object) -> Any:
        call = f"policy.{handler.__name__}(…)"
        raise PolicyError(
            f"`{handler.__qualname__}` has no meaning by itself; build the policy and call `{call}`"
        )

    return refuse


class OldState:
    """The fields of an earlier version, for `migrate(self, old: V1)`: `class V1(OldState)` names the old fields."""


class Key:
    """An identity which a stratum hands out (`Client`, `Task`): comparable, usable as a key, otherwise opaque.

    In tests any hashable value serves, and so does `Client("alice")`: two of the same name are equal.
    """

    def __init__(self, name: Hashable = None, /) -> None:
        self._name = name

    def __eq__(self, other: object) -> bool:
        if self is other or not isinstance(other, Key):
            return self is other
        return type(self) is type(other) and self._name is not None and self._name == other._name

    def __hash__(self) -> int:
        return hash((type(self), id(self) if self._name is None else self._name))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'' if self._name is None else repr(self._name)})"


class View:
    """Outside data as a policy sees it: a class which names just the fields that the policy reads.

    Under CPython a view is built from its fields, for tests: `Ask(user="bob")`; a field not given has its type's zero.
    A mapping from names to values serves as a view, too, also inside another view.
    """

    def __init__(self, fields: Mapping[str, object] | None = None, /, **more: object) -> None:
        for name, value in {**(fields or {}), **more}.items():
            setattr(self, name, value)

    def __init_subclass__(cls, *, writable: bool = False) -> None:
        """`writable`: policies may write the fields (used by strata; derived views inherit this)."""

    def __repr__(self) -> str:
        fields = ", ".join(f"{k}={v!r}" for k, v in vars(self).items() if not k.startswith("_"))
        return f"{type(self).__name__}({fields})"

    if not TYPE_CHECKING:  # a type checker would accept any name as a field

        def __setattr__(self, name: str, value: object) -> None:
            if not name.startswith("_"):
                value = _as_view(_annotation(self, name, TypeError), value)
            object.__setattr__(self, name, value)

        def __getattr__(self, name: str) -> object:
            if name.startswith("_"):
                raise AttributeError(name)
            annotation = _annotation(self, name, AttributeError)
            try:
                value = zero(annotation)
            except NoZero:
                cls = type(self).__name__
                raise AttributeError(
                    f"this {cls} was built without `{name}`; write `{cls}({name}=…)`"
                ) from None
            object.__setattr__(self, name, value)
            return value


def _annotation(view: View, name: str, error: type[Exception]) -> object:
    try:
        return annotation_of(type(view), name)
    except KeyError:
        known = sorted({field for cls in type(view).__mro__ for field in inspect.get_annotations(cls)})
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean `{close[0]}`?" if close else f"it has {', '.join(known) or 'none'}"
        raise error(f"{type(view).__name__} has no field `{name}`; {hint}") from None


def _as_view(annotation: object, value: object) -> object:
    if isinstance(annotation, type) and issubclass(annotation, View) and isinstance(value, Mapping):
        return annotation(cast("Mapping[str, object]", value))
    return value


@dataclass_transform()
def struct(cls: type[T], /) -> type[T]:
    """A value with named fields, each with a type and perhaps a default: it is copied when read, bound to a name or
    passed.
    """
    for name, value in list(vars(cls).items()):
        if isinstance(value, Declared):  # `text(64)`, `blob(64)`: a bound, and a default
            setattr(cls, name, value.arguments[1])
        elif hasattr(value, "__dataclass_fields__"):  # a struct: each object gets its own copy
            setattr(cls, name, field(default_factory=partial(deepcopy, value)))
    made = dataclass(slots=True)(cls)
    made.__copy__ = _copier(made)  # type: ignore[attr-defined]  # Python's own takes ten times as long
    return made


def _copier(cls: type[T]) -> Callable[[T], T]:
    names = [f.name for f in fields(cast(Any, cls))]

    def copy(value: T) -> T:
        return cls(*[getattr(value, name) for name in names])

    return copy
