# SPDX-License-Identifier: Apache-2.0
"""The operators of numbers, as the language's own table has them: a new one is tried wherever all are."""

from __future__ import annotations

from transect.core.ir import BinaryOp
from transect.core.rules import BINARY

NAMED = (BinaryOp.MIN.value, BinaryOp.MAX.value)  # written as calls in a policy


def infix(rule: str) -> tuple[str, ...]:
    """Those between two operands that have this rule (`iii`: of two integers, an integer)."""
    return tuple(op for op in every(rule) if op not in NAMED)


def every(rule: str) -> tuple[str, ...]:
    """Those, and `min` and `max`."""
    return tuple(op.value for op, rules in BINARY.items() if rule in rules)
