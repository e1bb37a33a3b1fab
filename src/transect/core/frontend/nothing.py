# SPDX-License-Identifier: Apache-2.0
"""None where a value is needed: a local that is never anything else, a part of a tuple, the result of a helper that
returns nothing.  What may be None has the type `T | None`; None alone has no form in a target.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from transect.base.diagnostic import Diagnostics
from transect.core import ir
from transect.core.types import DictType, SeqType, SetType, TupleType, Type, UnitType
from transect.core.walk import Node, children

_EXPRESSIONS = get_args(ir.Expr)


def check_values(body: ir.Block, diagnostics: Diagnostics) -> None:
    """Add each place of a function's body at which None stands for a value.  Types of locals are known by then."""
    for statement in body:
        for node in _nothing_in(statement):
            message, help = _explained(node)
            diagnostics.error("P011", message, node.span, label="None alone is not a value", help=help)


def _nothing_in(node: Node) -> Iterator[ir.Let | ir.Expr]:
    """The outermost nodes that hold None."""
    match node:
        case ir.Let(value=value) if _is_nothing(value.type):
            yield node
        case ir.Do(value=called) | ir.Return(value=ir.Call() | ir.Intrinsic() as called):
            for inner in children(called):
                yield from _nothing_in(inner)
        case ir.Case(guard=guard, body=body):  # patterns may name None
            for part in (*((guard,) if guard is not None else ()), *body):
                yield from _nothing_in(part)
        case ir.Local():  # said where it takes its value
            pass
        case _ if isinstance(node, _EXPRESSIONS) and _is_nothing(node.type):
            yield node
        case _:
            for inner in children(node):
                yield from _nothing_in(inner)


def _is_nothing(t: Type) -> bool:
    match t:
        case TupleType(items=items):
            return any(map(_is_nothing, items))
        case SetType(item=item) | SeqType(item=item):
            return _is_nothing(item)
        case DictType(key=key, value=value):
            return _is_nothing(key) or _is_nothing(value)
        case _:
            return isinstance(t, UnitType)


def _explained(node: ir.Let | ir.Expr) -> tuple[str, str]:
    """What is wrong, and what to write."""
    match node:
        case ir.Let(value=ir.Call() | ir.Intrinsic()) | ir.Call() | ir.Intrinsic():
            return "this call gives no value", "write the call as a line of its own"
        case ir.Let(name=name, value=value) if isinstance(value.type, UnitType):
            return (
                f"`{name}` is never anything but None",
                f"leave it out, or say what else: `{name}: int | None = None`",
            )
        case _:
            return (
                "there is None in this value",
                "put something else there, or say the type: `x: tuple[int | None, int] = …`",
            )
