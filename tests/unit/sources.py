# SPDX-License-Identifier: Apache-2.0
"""The parts of a source file, each with the function that it stands in."""

from __future__ import annotations

import ast
from collections.abc import Iterator


def parts(tree: ast.AST, where: str = "") -> Iterator[tuple[str, ast.AST]]:
    """(function, node) of all below; of what stands in no function the name is empty."""
    for node in ast.iter_child_nodes(tree):
        yield where, node
        inner = where
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inner = f"{where}.{node.name}".removeprefix(".")
        yield from parts(node, inner)
