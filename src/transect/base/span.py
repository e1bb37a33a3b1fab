# SPDX-License-Identifier: Apache-2.0
"""Places in a source text.  Lines count from 1; columns count characters from 0, like Python's `ast`."""

from __future__ import annotations

from transect.base.record import record


@record
class Span:
    """A piece of one file, from (line, column) up to but not including (end_line, end_column)."""

    path: str
    line: int
    column: int
    end_line: int
    end_column: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column + 1}"

    def to(self, end: Span) -> Span:
        """The span from the start of this one to the end of another."""
        return Span(self.path, self.line, self.column, end.end_line, end.end_column)


NOWHERE = Span("<none>", 0, 0, 0, 0)


def lines_of(text: str) -> list[str]:
    """The lines as Python's own parser counts them: a form feed, for example, does not end one."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
