# SPDX-License-Identifier: Apache-2.0
"""The shipped element that does nothing, for measuring what any element costs."""

from __future__ import annotations

from typing import Any

from transect.base.shipped import path_of
from transect.core.frontend import compile_file
from transect.core.ir import Program
from transect.emit.py.load import load_text


def program() -> Program:
    """Its program."""
    (found,) = compile_file(path_of("null")).programs
    return found


def null() -> Any:
    """A policy object of it."""
    return load_text(path_of("null").read_text(encoding="utf-8")).Null()
