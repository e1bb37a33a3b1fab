# SPDX-License-Identifier: Apache-2.0
"""Pure functions which a stratum gives its policies: `rpc.seal` is `seal` of `transect/rpc/functions/__init__.py`.

Python's own text of such a function is its meaning, for the interpreter and for emitted Python; emitted C calls the
stratum's runtime.  The module is imported by name when its first function is asked for, since `core` stands below it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache

STRATA = ("rpc", "llm", "cpu", "memory")
MODULES = {"rpc": "transect.rpc.functions"}
"""Where a stratum's functions are; the others have none."""


@cache
def provided(name: str) -> Callable[..., object] | None:
    """The function of that full name (`stratum.function`); None when it is no function of a stratum."""
    stratum, _, function = name.partition(".")
    return _functions(stratum).get(function) if stratum in MODULES else None


@cache
def _functions(stratum: str) -> dict[str, Callable[..., object]]:
    """What the stratum's module marks as functions for policies, by name."""
    module = importlib.import_module(MODULES[stratum])
    return {name: f for name, f in vars(module).items() if getattr(f, "__intrinsic__", False)}
