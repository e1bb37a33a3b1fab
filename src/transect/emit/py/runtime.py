# SPDX-License-Identifier: Apache-2.0
"""What emitted text calls, beside the arithmetic of `core/values.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from transect.core import operations
from transect.core.ir import CompareOp
from transect.core.values import larger, smaller
from transect.emit.py.policy import Origin, policy
from transect.emit.py.state import Field, State, hook

__all__ = ["Field", "Origin", "State", "compare", "first_max", "first_min", "hook", "policy", "sum_of_floats"]


def sum_of_floats(values: Iterable[float]) -> float:
    """The sum from left to right; from 3.12 on Python's own `sum` rounds differently."""
    total = 0.0
    for value in values:
        total += value
    return total


def compare(op: str, a: Any, b: Any) -> bool:
    """`a op b` of tuples with floats."""
    return operations.compare(CompareOp(op), a, b)


def first_min(items: Iterable[Any], *, key: Callable[[Any], Any] | None = None, default: Any = None) -> Any:
    """`min` where there may be NaN: the first of equals; NaN never wins, the first wins when all are NaN."""
    return _best(items, key, default, smaller)


def first_max(items: Iterable[Any], *, key: Callable[[Any], Any] | None = None, default: Any = None) -> Any:
    """`max` where there may be NaN: the first of equals; NaN never wins, the first wins when all are NaN."""
    return _best(items, key, default, larger)


def _best(
    items: Iterable[Any],
    key: Callable[[Any], Any] | None,
    default: Any,
    better: Callable[[Any, Any], bool],
) -> Any:
    best, best_value, found = default, None, False
    for item in items:
        value = key(item) if key else item
        if not found or better(best_value, value):
            best, best_value, found = item, value, True
    return best
