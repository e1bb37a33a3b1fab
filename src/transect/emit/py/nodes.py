# SPDX-License-Identifier: Apache-2.0
"""Short constructors for the nodes of Python's `ast` that emitted policies consist of."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable, Sequence
from typing import TypeVar

D = TypeVar("D", ast.FunctionDef, ast.ClassDef)

SELF = "self"  # the state that a handler works on
OUTSIDE = "outside"  # where a handler gets time, randomness and other answers from
LOCAL = "local"  # the values of one RPC


def name(identifier: str) -> ast.Name:
    return ast.Name(identifier, ast.Load())


def target(identifier: str) -> ast.Name:
    return ast.Name(identifier, ast.Store())


def attribute(base: ast.expr, member: str) -> ast.Attribute:
    return ast.Attribute(base, member, ast.Load())


def member(holder: str, field: str) -> ast.Attribute:
    """`holder.field`."""
    return attribute(name(holder), field)


def constant(value: object) -> ast.expr:
    if isinstance(value, float) and math.isnan(value):
        return call("float", ast.Constant("nan"))
    assert value is None or isinstance(value, int | float | str | bytes), f"no literal for {value!r}"
    return ast.Constant(value)


def call(function: str | ast.expr, *args: ast.expr, **keywords: ast.expr) -> ast.Call:
    callee = name(function) if isinstance(function, str) else function
    return ast.Call(callee, list(args), [ast.keyword(key, value) for key, value in keywords.items()])


def method(base: ast.expr, function: str, *args: ast.expr) -> ast.Call:
    return call(attribute(base, function), *args)


def item(base: ast.expr, key: ast.expr) -> ast.Subscript:
    return ast.Subscript(base, key, ast.Load())


def tuple_of(items: Iterable[ast.expr]) -> ast.Tuple:
    return ast.Tuple(list(items), ast.Load())


def binary(left: ast.expr, operator: ast.operator, right: ast.expr) -> ast.BinOp:
    return ast.BinOp(left, operator, right)


def compare(left: ast.expr, operator: ast.cmpop, right: ast.expr) -> ast.Compare:
    return ast.Compare(left, [operator], [right])


def negate(operand: ast.expr) -> ast.expr:
    return ast.UnaryOp(ast.Not(), operand)


def both(left: ast.expr, operator: ast.boolop, right: ast.expr) -> ast.BoolOp:
    """`left and right`, as one node with the sides that are of the same operator."""
    sides = [
        s.values if isinstance(s, ast.BoolOp) and type(s.op) is type(operator) else [s] for s in (left, right)
    ]
    return ast.BoolOp(operator, [*sides[0], *sides[1]])


def assign(to: ast.expr, value: ast.expr) -> ast.Assign:
    return ast.Assign([stored(to)], value)


def stored(to: ast.expr) -> ast.expr:
    """The same place, as the target of an assignment."""
    assert isinstance(to, ast.Name | ast.Attribute | ast.Subscript), f"not a place: {ast.dump(to)}"
    to.ctx = ast.Store()
    return to


def parameters(names: Sequence[str]) -> ast.arguments:
    return ast.arguments(
        posonlyargs=[], args=[ast.arg(n) for n in names], kwonlyargs=[], kw_defaults=[], defaults=[]
    )


def lambda_of(names: Sequence[str], body: ast.expr) -> ast.Lambda:
    return ast.Lambda(parameters(names), body)


def targets(names: Sequence[str]) -> ast.expr:
    """What a loop assigns to."""
    if len(names) == 1:
        return target(names[0])
    return ast.Tuple([target(n) for n in names], ast.Store())


def generator(
    element: ast.expr, loop_targets: Sequence[str], source: ast.expr, cond: ast.expr | None
) -> ast.GeneratorExp:
    return ast.GeneratorExp(element, [comprehension(loop_targets, source, cond)])


def comprehension(loop_targets: Sequence[str], source: ast.expr, cond: ast.expr | None) -> ast.comprehension:
    return ast.comprehension(targets(loop_targets), source, [] if cond is None else [cond], 0)


def function(
    identifier: str, params: Sequence[str], body: list[ast.stmt], decorators: Iterable[ast.expr] = ()
) -> ast.FunctionDef:
    made = ast.FunctionDef(identifier, parameters(params), body, list(decorators))
    return _generic_over_nothing(made)


def class_of(
    identifier: str, bases: Iterable[ast.expr], body: list[ast.stmt], *decorators: ast.expr
) -> ast.ClassDef:
    made = ast.ClassDef(identifier, list(bases), [], body, list(decorators))
    return _generic_over_nothing(made)


def _generic_over_nothing(definition: D) -> D:
    """Python wants a list of type parameters from 3.12 on, and before has none."""
    if "type_params" in definition._fields:
        vars(definition)["type_params"] = []
    return definition


def docstring(text: str) -> list[ast.stmt]:
    return [ast.Expr(ast.Constant(text))] if text else []
