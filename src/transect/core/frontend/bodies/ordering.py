# SPDX-License-Identifier: Apache-2.0
"""The order of evaluation: values get names where the tree would evaluate them in another order than the text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from transect.core import ir
from transect.core.frontend.bodies.facts import changes_state
from transect.core.ir import Effect, Expr, TableRead
from transect.core.types import (
    TableKind,
    TableType,
)
from transect.core.walk import walk

if TYPE_CHECKING:
    from transect.core.frontend.bodies.typing import Typing


def _acts(typing: Typing, e: Expr) -> bool:
    """Whether the time of evaluation matters, even beside expressions that only read."""
    return changes_state(e) or any(_asks(typing, node) for node in walk(e))


def _asks(typing: Typing, node: object) -> bool:
    match node:
        case ir.Intrinsic(name=name):
            declared = typing.policy.intrinsics.get(name)
            quiet = declared is None or declared.effect in (Effect.PURE, Effect.CLOCK)
            return name in ("rand", "rand_below") or not quiet
        case ir.Lookup(op=TableRead.AT | TableRead.GET | TableRead.GET_OR, field=field):
            t = typing.policy.fields[field].type if field in typing.policy.fields else None
            return isinstance(t, TableType) and t.kind is TableKind.LRU
        case _:
            return False


def named(typing: Typing, values: Sequence[Expr]) -> tuple[tuple[Expr, ...], tuple[tuple[str, Expr], ...]]:
    """The values, replaced by names where the tree's order of evaluation would differ from the text's and that matters;
    and what each name stands for.
    """
    if not any(_acts(typing, e) for e in values):
        return tuple(values), ()
    kept: list[Expr] = []
    lets: list[tuple[str, Expr]] = []
    for e in values:
        if isinstance(e, ir.Const | ir.Local):
            kept.append(e)
        else:
            lets.append((typing.scope.unique("given", e.type), e))
            kept.append(ir.Local(lets[-1][0], type=e.type, span=e.span))
    return tuple(kept), tuple(lets)


def after(lets: Sequence[tuple[str, Expr]], e: Expr) -> Expr:
    """The expression, once these have been evaluated in their order."""
    for name, value in reversed(lets):
        e = ir.LetIn(name, value, e, type=e.type, span=e.span)
    return e
