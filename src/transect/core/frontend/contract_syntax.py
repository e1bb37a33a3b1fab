# SPDX-License-Identifier: Apache-2.0
"""Contracts (`@requires`, `@ensures`, `@invariant`) become helpers of the policy that nobody calls.

They are moved out of the decorators before anything else looks at the tree: so they are checked and typed as helpers
are, keep their place in the file, and are not part of the program.  `contracts.py` keeps them, for `transect prove`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

ON_HANDLERS = ("requires", "ensures")
ON_CLASSES = ("invariant",)
PREFIX = "_contract_"


def without_contracts(tree: ast.Module) -> ast.Module:
    """The tree with each contract as a helper at the end of its class.  Changes the tree in place."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            node.body += list(_helpers(node))
    return tree


def _helpers(cls: ast.ClassDef) -> Iterator[ast.stmt]:
    yield from _taken(cls, ON_CLASSES, "", [], None)
    for node in [n for n in cls.body if isinstance(n, ast.FunctionDef)]:
        params = [*node.args.posonlyargs, *node.args.args][1:]
        yield from _taken(node, ON_HANDLERS, node.name, params, node.returns)


def _taken(
    owner: ast.ClassDef | ast.FunctionDef,
    marks: tuple[str, ...],
    hook: str,
    params: list[ast.arg],
    returns: ast.expr | None,
) -> Iterator[ast.stmt]:
    """Take the contracts off a class or handler; what is no lambda of the right shape stays, and is refused there."""
    left: list[ast.expr] = []
    for number, decorator in enumerate(owner.decorator_list):
        match decorator:
            case ast.Call(func=ast.Name(id=kind), args=[ast.Lambda() as condition], keywords=[]) if (
                kind in marks
            ):
                helper = _helper(f"{PREFIX}{kind}_{number}_{hook}", condition, params, returns)
                if helper is not None:
                    yield helper
                    continue
            case _:
                pass
        left.append(decorator)
    owner.decorator_list = left


def _helper(
    name: str, condition: ast.Lambda, params: list[ast.arg], returns: ast.expr | None
) -> ast.FunctionDef | None:
    """A method with the lambda's names and the handler's types; None when their numbers do not fit."""
    args = condition.args.args
    plain = not (condition.args.vararg or condition.args.kwarg or condition.args.kwonlyargs)
    types = [p.annotation for p in params]
    if name.startswith(f"{PREFIX}ensures"):
        if not (isinstance(returns, ast.Constant) and returns.value is None):
            types.append(returns)
    if not plain or len(args) != len(types) + 1:
        return None
    typed = [ast.copy_location(ast.arg(a.arg, t), a) for a, t in zip(args[1:], types, strict=True)]
    first = ast.copy_location(ast.arg(args[0].arg), args[0])
    body = ast.copy_location(ast.Return(condition.body), condition.body)
    bool_type = ast.copy_location(ast.Name("bool", ast.Load()), condition)
    made = ast.FunctionDef(
        name=name,
        args=ast.arguments([], [first, *typed], None, [], [], None, []),
        body=[body],
        decorator_list=[],
        returns=bool_type,
        type_comment=None,
    )
    made.type_params = []  # type: ignore[attr-defined,unused-ignore]  # read from Python 3.12 on
    return ast.copy_location(made, condition)
