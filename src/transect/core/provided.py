# SPDX-License-Identifier: Apache-2.0
"""Pure functions which a stratum gives its policies: `rpc.seal` is `seal` of `transect/rpc/functions.py`.

Python's own text of such a function is its meaning, for the interpreter and for emitted Python; emitted C calls the
stratum's runtime.  The module is found by name when it is first asked for, so that `core` imports no stratum.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache


@cache
def provided(name: str) -> Callable[..., object] | None:
    """The function of that full name (`stratum.function`); None when it is no function of a stratum."""
    stratum, dot, function = name.partition(".")
    if not dot or "." in function:
        return None
    try:
        module = importlib.import_module(f"transect.{stratum}.functions")
    except ModuleNotFoundError:
        return None
    found: Callable[..., object] | None = getattr(module, function, None)
    return found
