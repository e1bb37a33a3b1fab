# SPDX-License-Identifier: Apache-2.0
"""Pure functions which a stratum gives its policies: `rpc.seal` is `seal` of `transect/rpc/functions/__init__.py`.

Python's own text of such a function is its meaning, for the interpreter and for emitted Python; emitted C calls the
stratum's runtime.  The module is found by name when it is first asked for, so that `core` imports no stratum.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache

STRATA = ("rpc", "llm", "cpu", "memory")


@cache
def provided(name: str) -> Callable[..., object] | None:
    """The function of that full name (`stratum.function`); None when it is no function of a stratum."""
    stratum, _, function = name.partition(".")
    return _functions(stratum).get(function) if stratum in STRATA else None


@cache
def _functions(stratum: str) -> dict[str, Callable[..., object]]:
    """What the stratum's `functions` module marks as functions for policies, by name."""
    try:
        module = importlib.import_module(f"transect.{stratum}.functions")
    except ModuleNotFoundError as missing:
        if missing.name != f"transect.{stratum}.functions":
            raise
        return {}
    return {name: f for name, f in vars(module).items() if getattr(f, "__intrinsic__", False)}
