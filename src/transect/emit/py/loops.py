# SPDX-License-Identifier: Apache-2.0
"""What loops go over, reductions and set comprehensions."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, assert_never

from transect.core import ir
from transect.core.ir import ReduceOp
from transect.core.types import DictType, FloatType
from transect.core.values import is_mutable
from transect.emit.py import nodes
from transect.emit.py.arithmetic import wrapped
from transect.emit.py.literals import has_float

if TYPE_CHECKING:
    from transect.emit.py.expressions import Expressions


def source(x: Expressions, s: ir.Source) -> ast.expr:
    """An iterable of what is there when the loop starts; tables give copies of their entries by themselves."""
    match s:
        case ir.OverRange(start=start, stop=stop, step=step):
            bounds = [x.plain(start), x.plain(stop), nodes.constant(step)]
            if step == 1:
                bounds.pop()
                if isinstance(start, ir.Const) and start.value == 0:
                    bounds.pop(0)
            return nodes.call("range", *bounds)
        case ir.OverState(field=field, part=part):
            return nodes.method(x.field(field), part.value)
        case ir.OverValue(value=value, part=part) if isinstance(value.type, DictType):
            return nodes.method(x.plain(value), part.value)
        case ir.OverValue(value=value):
            return x.plain(value)
        case _:
            assert_never(s)


def _loop(x: Expressions, e: ir.Reduce | ir.MakeSet) -> tuple[list[str], ast.expr, ast.expr | None]:
    """The names, source and condition of a comprehension, in the order in which they are evaluated."""
    with x.without_walrus():
        over = source(x, e.source)
    return [x.names[t] for t in e.targets], over, None if e.cond is None else x.plain(e.cond)


def make_set(x: Expressions, e: ir.MakeSet) -> ast.expr:
    names, over, cond = _loop(x, e)
    return ast.DictComp(x.plain(e.item), nodes.constant(None), [nodes.comprehension(names, over, cond)])


def reduce(x: Expressions, e: ir.Reduce) -> ast.expr:
    names, over, cond = _loop(x, e)
    match e.op:
        case ReduceOp.SUM:
            total = "sum_of_floats" if isinstance(e.type, FloatType) else "sum"
            result: ast.expr = nodes.call(total, _values(x, e, names, over, cond))
            return result if isinstance(e.type, FloatType) else wrapped(e.type, result)
        case ReduceOp.ANY | ReduceOp.ALL:
            return nodes.call(e.op.value, _values(x, e, names, over, cond))
        case ReduceOp.MIN | ReduceOp.MAX:
            return nodes.call(_extreme(e), _values(x, e, names, over, cond), **_default(x, e))
        case ReduceOp.ARGMIN | ReduceOp.ARGMAX:
            if cond is not None:
                over = nodes.generator(nodes.name(names[0]), names, over, cond)
            return nodes.call(_extreme(e), over, key=_key(x, e, names), **_default(x, e))
        case _:
            assert_never(e.op)


def _values(
    x: Expressions, e: ir.Reduce, names: list[str], over: ast.expr, cond: ast.expr | None
) -> ast.expr:
    if cond is None and len(names) == 1 and isinstance(e.value, ir.Local) and e.value.name == e.targets[0]:
        return over
    return nodes.generator(x.plain(e.value), names, over, cond)


def _key(x: Expressions, e: ir.Reduce, names: list[str]) -> ast.expr:
    match e.value:
        case ir.Lookup(op=ir.TableRead.TOTAL, field=field, args=(ir.Local(name=name),)) if (
            name == e.targets[0]
        ):
            return nodes.attribute(x.field(field), "get")
        case _:
            return nodes.lambda_of(names, x.plain(e.value))


def _extreme(e: ir.Reduce) -> str:
    """The function to call: Python's own `min` or `max`, unless there may be NaN."""
    smallest = e.op in (ReduceOp.MIN, ReduceOp.ARGMIN)
    if has_float(e.value.type) or is_mutable(e.value.type):
        return "first_min" if smallest else "first_max"
    return "min" if smallest else "max"


def _default(x: Expressions, e: ir.Reduce) -> dict[str, ast.expr]:
    return {} if e.default is None else {"default": x.owned(e.default)}
