# SPDX-License-Identifier: Apache-2.0
"""Gives emitted nodes their places in the policy's own text, so that tracebacks, breakpoints and coverage point
there.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TypeVar

from transect.base.span import Span

N = TypeVar("N", bound=ast.AST)
Lines = Callable[[str, int], str]  # (path, line) → the text of that line, or ""


def no_lines(path: str, line: int) -> str:
    """Stands in for a missing text: columns in lines that are not ASCII are then slightly wrong."""
    return ""


class Places:
    """The places of one function's nodes; what was inlined from another file gets the place of the statement around
    it.
    """

    def __init__(self, path: str, lines: Lines = no_lines) -> None:
        self.path = path
        self.lines = lines

    def put(self, node: N, span: Span) -> N:
        """The node, at that place."""
        if span.path == self.path and span.line > 0 and not hasattr(node, "lineno"):
            # Our columns count characters, those of `ast` count bytes.
            for prefix, line, column in (
                ("", span.line, span.column),
                ("end_", span.end_line, span.end_column),
            ):
                setattr(node, f"{prefix}lineno", line)
                setattr(node, f"{prefix}col_offset", self._bytes(line, column))
        return node

    def _bytes(self, line: int, column: int) -> int:
        text = self.lines(self.path, line)
        return column if text.isascii() else len(text[:column].encode())
