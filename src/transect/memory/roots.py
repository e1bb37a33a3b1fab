# SPDX-License-Identifier: Apache-2.0
"""The containers that `transect.memory.linux` names: what each of its functions without arguments walks."""

from __future__ import annotations

import inspect
from functools import cache

from transect.memory import linux
from transect.memory.layout import Layout


@cache
def layouts_of_roots() -> dict[str, Layout]:
    """By the name of the function, as programs call it (`memory.tasks`)."""
    found: dict[str, Layout] = {}
    for name, function in vars(linux).items():
        if inspect.isfunction(function) and not inspect.signature(function).parameters:
            try:
                layout = function()
            except NotImplementedError:
                continue  # `asked.py` answers it
            if isinstance(layout, Layout):
                found[f"memory.{name}"] = layout
    return found
