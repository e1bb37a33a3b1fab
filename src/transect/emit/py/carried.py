# SPDX-License-Identifier: Apache-2.0
"""What one request keeps for a policy, taken over by the next version of that policy."""

from __future__ import annotations

from typing import Any

from transect.core.ir import FieldKind


def carry_locals(old: Any, new: Any, request: Any) -> None:
    """Give the new policy object the values that the old one keeps with a request: those of the same name and type;
    the others begin anew."""
    kept = getattr(request, "__locals__", {})
    before = kept.pop(old.__state__, None)
    if before is None:
        return
    from transect.emit.py.policy import local_values

    olds, news = type(old).__fields__, type(new).__fields__
    same = [
        name
        for name, f in news.items()
        if FieldKind(f.kind) is FieldKind.LOCAL and name in olds and olds[name].type == f.type
    ]
    if not same:
        return
    after = local_values(request, new.__state__, type(new).__local__)
    for name in same:
        setattr(after, name, getattr(before, name))
