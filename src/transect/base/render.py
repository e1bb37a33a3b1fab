# SPDX-License-Identifier: Apache-2.0
"""Diagnostics as text for people: message, the lines concerned with marks under them, help and note.

    error[P006]: no state field `serving`
      --> bad.py:13:16
       |
     2 |     served: Tally[Client, int] = tally(64)
       |     ------ a field with a close name is declared here
    13 |         return self.serving[c]
       |                ^^^^^^^^^^^^ unknown field
       = help: write `self.served[c]`

Plain text; with `color=True` the same text between escape sequences.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from transect.base.diagnostic import Diagnostic, Severity
from transect.base.snippet import Mark, Row, Style, echoed, snippet, visible
from transect.base.span import NOWHERE, lines_of

_RESET = "\033[0m"
_BOLD = "\033[1m"
_BLUE = "\033[1;34m"
_OF_SEVERITY = {Severity.ERROR: "\033[1;31m", Severity.WARNING: "\033[1;33m", Severity.NOTE: "\033[1;36m"}


def render_text(diagnostics: Iterable[Diagnostic], sources: Mapping[str, str], *, color: bool = False) -> str:
    """All diagnostics, separated by empty lines, without a newline at the end.

    `sources` has the text of each file by its path; a file whose text is missing is named, but not shown.
    """
    files = _Files(sources)
    return "\n\n".join("\n".join(_Page(d, files, color).lines()) for d in diagnostics)


class _Files:
    """Lines of source texts, each cut once."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        self._sources = sources
        self._lines: dict[str, list[str]] = {}

    def lines(self, path: str) -> list[str]:
        """The file's lines; empty when its text is missing."""
        if path not in self._lines:
            self._lines[path] = lines_of(self._sources[path]) if path in self._sources else []
        return self._lines[path]


class _Page:
    """One diagnostic on its way to text."""

    def __init__(self, diagnostic: Diagnostic, files: _Files, color: bool) -> None:
        self.diagnostic = diagnostic
        self.files = files
        self.paint = _OF_SEVERITY[diagnostic.severity] if color else ""
        self.color = color
        marks = [Mark(diagnostic.span, diagnostic.label, primary=True)]
        marks += [Mark(label.span, label.text, primary=False) for label in diagnostic.others]
        self.by_file: dict[str, list[Mark]] = {}
        for mark in marks:
            self.by_file.setdefault(mark.span.path, []).append(mark)
        self.snippets = {path: self._rows(path) for path in self.by_file}
        self.margin = max(
            (len(row.gutter) for rows in self.snippets.values() for row in rows if row.gutter != "..."),
            default=1,
        )

    def lines(self) -> Iterator[str]:
        diagnostic = self.diagnostic
        head = f"{diagnostic.severity}[{diagnostic.code}]"
        yield self._painted(head, self.paint) + self._painted(f": {echoed(diagnostic.message)}", _BOLD)
        for path, rows in self.snippets.items():
            yield from self._file(path, rows)
        if diagnostic.help:
            yield from self._remark("help", diagnostic.help, visible)
        if diagnostic.note:
            yield from self._remark("note", diagnostic.note, echoed)

    def _rows(self, path: str) -> list[Row]:
        source = self.files.lines(path)
        marks = [mark for mark in self.by_file[path] if mark.span.line > 0]
        return snippet(marks, source) if source and marks else []

    def _file(self, path: str, rows: list[Row]) -> Iterator[str]:
        span = self.by_file[path][0].span
        if path == NOWHERE.path:
            return
        arrow = "-->" if path == self.diagnostic.span.path else ":::"
        place = str(span) if span.line else span.path
        yield " " * self.margin + self._painted(arrow, _BLUE) + f" {visible(place)}"
        if rows:
            yield self._gutter("")
            yield from map(self._row, rows)
        else:
            yield from self._unseen(self.by_file[path])

    def _unseen(self, marks: list[Mark]) -> Iterator[str]:
        """The labels in a file whose text is missing, each with its place."""
        for at, mark in enumerate(marks):
            if mark.text:
                where = f" (line {mark.span.line})" if at else ""
                yield self._gutter(f" {echoed(mark.text)}{where}")

    def _row(self, row: Row) -> str:
        text = "".join(self._painted(piece, self._style(style)) for piece, style in row.pieces())
        if row.gutter == "...":
            return self._painted("...".ljust(self.margin + 2), _BLUE) + (f" {text}" if text else "")
        return self._gutter(f" {text}" if text else "", row.gutter)

    def _gutter(self, text: str, number: str = "") -> str:
        return self._painted(f"{number:>{self.margin}} |", _BLUE) + text

    def _remark(self, kind: str, text: str, shown: Callable[[str], str]) -> Iterator[str]:
        first, *more = text.splitlines()
        head = " " * (self.margin + 1)
        yield head + self._painted("=", _BLUE) + self._painted(f" {kind}:", _BOLD) + f" {shown(first)}"
        for line in more:
            yield (head + " " * len(f"= {kind}: ") + shown(line)).rstrip()

    def _style(self, style: str) -> str:
        return {Style.PLAIN: "", Style.PRIMARY: self.paint, Style.OTHER: _BLUE, Style.GUTTER: _BLUE}[style]

    def _painted(self, text: str, paint: str) -> str:
        return f"{paint}{text}{_RESET}" if self.color and paint and text.strip() else text
