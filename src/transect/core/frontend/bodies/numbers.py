# SPDX-License-Identifier: Apache-2.0
"""Numbers that have no type of their own yet: literals, and a module's constants that are written as literals."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from transect.core.frontend.modules import ConstantDef
from transect.core.frontend.plain import number

if TYPE_CHECKING:
    from transect.core.frontend.bodies.typing import Typing


def constant_number(typing: Typing, node: ast.expr, within: ConstantDef | None = None) -> int | None:
    """The integer that a module's constant stands for, or None."""
    return number(
        typing.world, typing.module if within is None else within.module, node, (within,) if within else ()
    )


def flexible(typing: Typing, node: ast.expr) -> bool:
    """Whether the node is a number that takes the type of its context."""
    match node:
        case ast.Constant(value=int() | float()):
            return not isinstance(node.value, bool)
        case ast.UnaryOp(op=ast.USub() | ast.Invert(), operand=operand):
            return flexible(typing, operand)
        case ast.BinOp(left=left, right=right):
            return flexible(typing, left) and flexible(typing, right)
        case ast.Name(id=name) if typing.scope.lookup(name) is None:
            binding = typing.world.binding(typing.module, node)
            return (
                isinstance(binding, ConstantDef)
                and isinstance(binding.node.annotation, ast.Name)
                and constant_number(typing, node) is not None
            )
        case _:
            return False
