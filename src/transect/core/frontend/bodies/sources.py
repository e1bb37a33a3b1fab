# SPDX-License-Identifier: Apache-2.0
"""What is gone over: ranges, tables, arrays, sets, sequences and maps after the `in` of a loop."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import TYPE_CHECKING

from transect.base.record import record
from transect.core import ir
from transect.core.frontend.bodies import numbers, state
from transect.core.frontend.bodies.context import short
from transect.core.frontend.bodies.facts import interval
from transect.core.ir import Expr, OverRange, OverState, OverValue, Part, Source
from transect.core.types import (
    INT,
    ArrayType,
    DictType,
    OptionType,
    SeqType,
    SetType,
    TableKind,
    TableType,
    Type,
    an,
    spell,
)

if TYPE_CHECKING:
    from transect.core.frontend.bodies.typing import Typing


MAX_STEPS = 1 << 24


@record
class Walked:
    """A source with the types of its items and what is known about them inside the loop."""

    source: Source
    items: tuple[Type, ...]  # one, or two for items()
    size: int | None  # at most so many; None: as many as the outside data has
    key: int | None = None  # which target is the key of the table gone over


def alike(typing: Typing, nodes: Sequence[ast.expr], wanted: Type | None = None) -> list[Expr] | None:
    """Typed operands: bare numbers take the type of the first operand that has one of its own.

    Each is typed once, however deep they nest; numbers may be typed late, since they write nothing.
    """
    at = next((i for i, n in enumerate(nodes) if not numbers.flexible(typing, n)), None)
    anchor = None if at is None else typing.expression(nodes[at], wanted)
    if at is not None and anchor is None:
        return None
    kind = wanted if anchor is None else anchor.type
    typed = [anchor if i == at else typing.expression(n, kind) for i, n in enumerate(nodes)]
    good = [t for t in typed if t is not None]
    return good if len(good) == len(nodes) else None


# ------------------------------------------------------------ sources


def source(typing: Typing, node: ast.expr) -> Walked | None:
    """What stands after `in` of a loop."""
    match node:
        case ast.Call(func=function) if typing.language_name(function) == "range":
            return _range(typing, node)
        case ast.Call(func=function, args=[inner]) if typing.language_name(function) == "enumerate":
            return _enumerate(typing, node, inner)
        case ast.Call(
            func=ast.Attribute(value=value, attr="keys" | "values" | "items" as attr),
            args=[],
            keywords=[],
        ):
            return _parts(typing, node, value, Part(attr))
        case ast.Call(func=ast.Name(id="sorted" | "reversed" | "zip" | "map" | "filter" as name)):
            help = (
                "loop over an `ordered(…)` table, or reduce with `min` and `max`"
                if name == "sorted"
                else "loop over one thing by its index or keys"
            )
            typing.error(
                "P010",
                node,
                f"`{name}` is not part of the language",
                help,
                label="not something to go over",
            )
            return None
        case _:
            return _parts(typing, node, node, Part.KEYS)


def _range(typing: Typing, node: ast.Call) -> Walked | None:
    if node.keywords or not 1 <= len(node.args) <= 3:
        typing.error(
            "P010",
            node,
            "`range` takes a stop, a start and stop, or these and a step",
            "write `range(64)`",
            label="not a range",
        )
        return None
    args = [typing.value(a, INT, "the bound") for a in node.args]
    good = [a for a in args if a is not None]
    if len(good) < len(args):
        return None
    zero, one = (ir.Const(n, type=INT, span=typing.span(node)) for n in (0, 1))
    start, stop = (zero, good[0]) if len(good) == 1 else (good[0], good[1])
    step = good[2] if len(good) == 3 else one
    if not isinstance(step, ir.Const) or not isinstance(step.value, int) or step.value == 0:
        typing.error(
            "P010",
            node.args[-1],
            "the step of a range is a constant, not 0",
            "write a number",
            label="must be known when compiling",
        )
        return None
    return _bounded_range(typing, node, start, stop, step.value)


def _bounded_range(typing: Typing, node: ast.Call, start: Expr, stop: Expr, step: int) -> Walked | None:
    (low, _), (_, high) = interval(start, typing.facts), interval(stop, typing.facts)
    if step < 0:
        (_, low), (high, _) = interval(start, typing.facts), interval(stop, typing.facts)
    bound = max(0, -((low - high) // abs(step)) if step > 0 else -((high - low) // abs(step)))
    if bound > MAX_STEPS:
        at = node.args[0] if len(node.args) == 1 else node.args[1]
        typing.error(
            "P010",
            at,
            "loop bound is not a constant",
            f"write `for i in range(64)` and leave early with `break`, or `range(min({short(at)}, 64))`",
            label="must be known when compiling",
        )
        return None
    return Walked(OverRange(start, stop, step, bound, typing.span(node)), (INT,), bound)


def _enumerate(typing: Typing, node: ast.Call, inner: ast.expr) -> Walked | None:
    name = state.own(typing, inner)
    f = (
        state.state_field(typing, inner, name)
        if name is not None and isinstance(inner, ast.Attribute)
        else None
    )
    if f is None and name is not None:
        return None
    if f is None or not isinstance(f.type, ArrayType):
        typing.error(
            "P010",
            node,
            "`enumerate` goes over an array",
            "loop over the table's `items()`, or count in a local",
            label="not an array",
        )
        return None
    return Walked(OverState(f.name, Part.ITEMS, typing.span(node)), (INT, f.type.item), f.type.length, key=0)


def _parts(typing: Typing, node: ast.expr, value: ast.expr, part: Part) -> Walked | None:
    name = state.own(typing, value)
    if name is not None and isinstance(value, ast.Attribute):
        f = state.state_field(typing, value, name)
        if f is None:
            return None
        if isinstance(f.type, TableType):
            return _table(typing, node, f, f.type, part)
        if isinstance(f.type, ArrayType):
            if part is Part.KEYS and node is value:
                return Walked(
                    OverState(f.name, Part.VALUES, typing.span(node)), (f.type.item,), f.type.length
                )
            typing.error(
                "P031",
                node,
                "an array has no keys",
                "write `for v in self.a:` or `for i, v in enumerate(self.a):`",
                label="an array",
            )
            return None
    e = typing.expression(value)
    return None if e is None else _over_value(typing, node, e, part, method=node is not value)


def _table(typing: Typing, node: ast.expr, f: ir.StateField, t: TableType, part: Part) -> Walked | None:
    if t.kind is TableKind.LRU:
        typing.error(
            "P040",
            node,
            "an `lru` table cannot be gone over",
            "reading changes its order; keep a `table(…)`",
            label="no loops over `lru`",
        )
        return None
    items = {Part.KEYS: (t.key,), Part.VALUES: (t.value,), Part.ITEMS: (t.key, t.value)}[part]
    return Walked(
        OverState(f.name, part, typing.span(node)), items, t.most, None if part is Part.VALUES else 0
    )


def _over_value(typing: Typing, node: ast.expr, e: Expr, part: Part, method: bool) -> Walked | None:
    match e.type:
        case DictType(key=key, value=value):
            items = {Part.KEYS: (key,), Part.VALUES: (value,), Part.ITEMS: (key, value)}[part]
            return Walked(OverValue(e, part, typing.span(node)), items, None)
        case SetType(item=item, bound=bound) if not method:
            return Walked(OverValue(e, Part.VALUES, typing.span(node)), (item,), bound)
        case SeqType(item=item) if not method:
            return Walked(OverValue(e, Part.VALUES, typing.span(node)), (item,), None)
        case OptionType():
            typing.may_be_none(node, e.type)
        case _:
            typing.error(
                "P010",
                node,
                f"{an(e.type)} cannot be gone over",
                "loops go over ranges, tables, arrays, sets, sequences and maps",
                label=f"`{spell(e.type)}`",
            )
    return None
