# SPDX-License-Identifier: Apache-2.0
"""Walking reaches every node, and mapping rebuilds just what changed."""

from __future__ import annotations

import dataclasses
from typing import Any

from transect.base.span import NOWHERE
from transect.core import ir, walk
from transect.core.types import BOOL, INT, StructType


def number(n: int) -> ir.Const:
    return ir.Const(type=INT, span=NOWHERE, value=n)


SUM = ir.Binary(type=INT, span=NOWHERE, op=ir.BinaryOp.ADD, left=number(1), right=number(2))
SWITCH = ir.Switch(
    SUM,
    (
        ir.Case(
            ir.MatchStruct(StructType("S", ()), (("x", ir.MatchConst(number(3))), ("y", ir.MatchAny("n")))),
            ir.Const(type=BOOL, span=NOWHERE, value=True),
            (ir.Return(number(4), NOWHERE),),
            NOWHERE,
        ),
    ),
    NOWHERE,
)


def numbers(node: walk.Node) -> list[Any]:
    return [n.value for n in walk.walk(node) if isinstance(n, ir.Const)]


def test_walking_reaches_everything_parents_first() -> None:
    assert [type(n).__name__ for n in walk.walk(SUM)] == ["Binary", "Const", "Const"]
    assert numbers(SWITCH) == [1, 2, 3, True, 4]


def test_mapping_that_changes_nothing_gives_the_same_object() -> None:
    assert walk.map_children(SWITCH, lambda n: n) is SWITCH


def test_mapping_rebuilds_around_a_change() -> None:
    def bump(node: Any) -> Any:
        if isinstance(node, ir.Const) and isinstance(node.value, int) and node.type == INT:
            return dataclasses.replace(node, value=node.value + 10)
        return walk.map_children(node, bump)

    assert numbers(bump(SWITCH)) == [11, 12, 13, True, 14]
    assert numbers(SWITCH) == [1, 2, 3, True, 4]


def test_no_field_that_holds_nodes_is_left_out() -> None:
    """By the annotations: whatever names a node type is a child."""
    kinds = {"Expr", "Stmt", "Source", "Place", "Pattern", "Block", "Const", "Case"}
    for cls in walk.NODES:
        for f in dataclasses.fields(cls):
            words = set(str(f.type).replace("[", " ").replace("]", " ").replace(",", " ").split())
            assert bool(words & kinds) <= (f.name in walk._FIELDS[cls]), f"{cls.__name__}.{f.name}"
