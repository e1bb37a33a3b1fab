# SPDX-License-Identifier: Apache-2.0
"""The zero of a view's field, by its annotation: the value of a field that a test leaves out."""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Mapping
from enum import Enum
from typing import Any


class NoZero(Exception):
    """The annotation names nothing that has a zero."""


def annotation_of(cls: type[Any], name: str) -> object:
    """The annotation of a field, as an object; KeyError when the class has no such field."""
    for owner in cls.__mro__:
        annotation = inspect.get_annotations(owner).get(name)
        if isinstance(annotation, str):
            return _resolved(owner, annotation)
        if annotation is not None:
            return annotation
    raise KeyError(name)


def _resolved(owner: type[Any], annotation: str) -> object:
    """What an annotation in quotes stands for where the class was written; the text itself if that cannot be found."""
    module = sys.modules.get(owner.__module__)
    try:
        return eval(annotation, dict(vars(module)) if module else {})
    except NameError:  # a class of a test function's own
        return annotation


def zero(annotation: object) -> object:
    """A fresh zero; NoZero when there is none."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return zero(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return None
    kind = origin or annotation
    if not isinstance(kind, type):
        raise NoZero
    if issubclass(kind, Enum):
        return next((member for member in kind if member.value == 0), 0)
    if issubclass(kind, Mapping):
        return {}
    if kind.__module__ == "collections.abc" or issubclass(kind, list | tuple):
        return ()
    return kind()
