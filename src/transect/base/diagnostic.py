# SPDX-License-Identifier: Apache-2.0
"""Diagnostics: what is wrong with a user's policy, where, and what to write instead.

They are collected, never raised one by one, so that a file's errors all show in one go.  `render.py` prints them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum

from transect.base.record import record
from transect.base.span import Span


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@record
class Label:
    """A second place which helps to understand a diagnostic, and what is to be seen there."""

    span: Span
    text: str


@record
class Diagnostic:
    severity: Severity
    code: str  # P006; has a page in transect/errors
    message: str
    span: Span
    label: str = ""  # printed beside the carets
    others: tuple[Label, ...] = ()
    help: str = ""  # what to write instead
    note: str = ""

    @property
    def is_error(self) -> bool:
        return self.severity is Severity.ERROR


class Diagnostics:
    """The diagnostics of one compilation, in the order in which they were found, each once."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, Span, str], Diagnostic] = {}

    def add(self, diagnostic: Diagnostic) -> None:
        self._found.setdefault((diagnostic.code, diagnostic.span, diagnostic.message), diagnostic)

    def error(
        self,
        code: str,
        message: str,
        span: Span,
        *,
        label: str = "",
        others: Iterable[Label] = (),
        help: str = "",
        note: str = "",
    ) -> None:
        self.add(Diagnostic(Severity.ERROR, code, message, span, label, tuple(others), help, note))

    def warning(
        self,
        code: str,
        message: str,
        span: Span,
        *,
        label: str = "",
        others: Iterable[Label] = (),
        help: str = "",
        note: str = "",
    ) -> None:
        self.add(Diagnostic(Severity.WARNING, code, message, span, label, tuple(others), help, note))

    @property
    def failed(self) -> bool:
        return any(d.is_error for d in self._found.values())

    def __iter__(self) -> Iterator[Diagnostic]:
        return iter(sorted(self._found.values(), key=lambda d: (d.span.path, d.span.line, d.span.column)))

    def __len__(self) -> int:
        return len(self._found)


def closest(name: str, known: Iterable[str], likeness: float = 0.7) -> str | None:
    """The known name that a misspelt one most likely means, or None.  `likeness`: the least similarity, from 0 to 1;
    long names that begin alike count as similar.
    """
    import difflib  # imported only after a mistake: it costs time

    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=likeness)
    return matches[0] if matches else None
