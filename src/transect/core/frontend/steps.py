# SPDX-License-Identifier: Apache-2.0
"""Handlers whose loops and helpers, multiplied out, exceed the steps allowed for one call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from transect.base.diagnostic import Diagnostics, Label
from transect.base.span import Span
from transect.core import ir
from transect.core.frontend.flow import walk_block
from transect.core.walk import Node, children

if TYPE_CHECKING:
    from transect.core.bound import Bound
    from transect.core.bounds import Steps

_MULTIPLIES = (ir.For, ir.Reduce, ir.MakeSet, ir.Call)
_SHOWN = 10**18  # larger numbers are shown as "more than" this


def check_steps(program: ir.Program, diagnostics: Diagnostics) -> None:
    """Add the handlers that are too long.  A handler without loops and helpers takes at most as many steps as its text
    is long.
    """
    functions = [*program.functions, *program.handlers]
    if not any(isinstance(node, _MULTIPLIES) for f in functions for node in walk_block(f.body)):
        return
    from transect.core.bounds import STEPS_LIMIT, Steps  # most policies need none of it

    steps = Steps(program)
    for handler in program.handlers:
        total = steps.of(handler)
        if total > STEPS_LIMIT:
            at, here = longest(handler, steps, STEPS_LIMIT)
            diagnostics.error(
                "P051",
                f"a call of `{handler.name}` may take {spelled(total)} steps, and {STEPS_LIMIT:,} are the most",
                at,
                label=f"{spelled(here)} steps",
                others=() if at == handler.span else (Label(handler.span, "the handler"),),
                help="lower the bound of a loop or the size of what it goes over, or keep in state what is found anew"
                " each time",
            )


def longest(function: ir.Function, steps: Steps, limit: int) -> tuple[Span, int]:
    """The innermost place which takes more than the limit by itself, and its steps."""
    at, total = function.span, steps.of(function)
    given: Mapping[str, Bound] = {}
    below: list[Node] = list(function.body)
    while below:
        costs = [steps.within(function, node, given) for node in below]
        most = max(costs)
        if most <= limit:
            break
        node, total = below[costs.index(most)], most
        at = getattr(node, "span", at)
        below = children(node)
        if isinstance(node, ir.Call):
            given = steps.called(function, node, given)
            function = steps.program.function(node.function)
            below += function.body
    return at, total


def spelled(steps: int) -> str:
    return f"{steps:,}" if steps < _SHOWN else "over 10^18"
