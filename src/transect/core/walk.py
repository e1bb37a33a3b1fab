# SPDX-License-Identifier: Apache-2.0
"""Going through a tree without naming every node: for passes which change a few nodes and copy the rest.

Children come in the order of the node's fields, which is not always the order of evaluation.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias, TypeVar, get_args

from transect.core.ir import Case, Expr, Pattern, Place, Source, Stmt

Node: TypeAlias = Expr | Stmt | Source | Place | Pattern | Case
N = TypeVar("N", bound=Node)

NODES: tuple[type[Any], ...] = get_args(Node)
_LEAVES = frozenset(
    {"type", "span", "name", "op", "targets", "path", "part", "index", "bound", "step", "field"}
)


# The fields of a node class which may hold nodes.
_FIELDS = {cls: tuple(f.name for f in dataclasses.fields(cls) if f.name not in _LEAVES) for cls in NODES}


def _collect(value: Any, found: list[Node]) -> None:
    if type(value) in _FIELDS:
        found.append(value)
    elif type(value) is tuple:  # of nodes, or of (name, pattern)
        for item in value:
            _collect(item, found)


def children(node: Node) -> list[Node]:
    """The nodes directly below."""
    found: list[Node] = []
    for name in _FIELDS[type(node)]:
        value = getattr(node, name)
        if type(value) in _FIELDS:  # as most are: every pass comes by here
            found.append(value)
        else:
            _collect(value, found)
    return found


def walk(node: Node) -> Iterator[Node]:
    """The node, then everything below it, parents first, in the order of fields."""
    rest = [node]  # a stack: trees may be deeper than Python's own
    while rest:
        here = rest.pop()
        yield here
        if _FIELDS[type(here)]:
            below = children(here)
            below.reverse()
            rest += below


def _mapped(value: Any, f: Callable[[Any], Any]) -> Any:
    if isinstance(value, NODES):
        return f(value)
    if isinstance(value, tuple):
        items = tuple(_mapped(item, f) for item in value)
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    return value


def map_children(node: N, f: Callable[[Any], Any]) -> N:
    """The node with `f` of each node directly below in its place; the same object when nothing changed.

    `f` must give a node that may stand where the old one stood.
    """
    old = {name: getattr(node, name) for name in _FIELDS[type(node)]}
    new = {name: _mapped(value, f) for name, value in old.items()}
    changed = {name: value for name, value in new.items() if value is not old[name]}
    return dataclasses.replace(node, **changed) if changed else node
