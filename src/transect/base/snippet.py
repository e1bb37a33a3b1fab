# SPDX-License-Identifier: Apache-2.0
"""Source lines with marks under them: the part of a rendered diagnostic between its `-->` and its `= help:`.

Columns here are columns of a terminal, not characters: tabs are widened, East Asian characters take two.
Nothing of a source text reaches the terminal as a control character.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from transect.base.span import Span

TAB = "    "
WIDEST = 160  # columns of source text; a longer line is cut around its first mark
MIDDLE = 3  # lines between the ends of a span; more of them become `...`

WORD_BEGIN, WORD_END = 99, 60  # characters kept of a word longer than both

_VERY_LONG = re.compile(rf"\S{{{WORD_BEGIN + WORD_END + 2},}}")
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


class Style:
    """What a piece of text is; `render.py` knows the colours."""

    PLAIN, PRIMARY, OTHER, GUTTER = "plain", "primary", "other", "gutter"


@dataclass(frozen=True, slots=True)
class Mark:
    """A place to point at."""

    span: Span
    text: str
    primary: bool

    @property
    def style(self) -> str:
        return Style.PRIMARY if self.primary else Style.OTHER

    @property
    def sign(self) -> str:
        return "^" if self.primary else "-"

    @property
    def spreads(self) -> bool:
        return self.span.end_line > self.span.line


@dataclass(slots=True)
class Row:
    """One printed line: what stands in the gutter, and styled pieces of text by their column."""

    gutter: str = ""
    cells: dict[int, tuple[str, str]] = field(default_factory=dict)  # column → (text, style); texts end a row

    def put(self, column: int, text: str, style: str) -> None:
        for offset, character in enumerate(text):
            self.cells[column + offset] = (character, style)

    def write(self, column: int, text: str, style: str) -> None:
        """A text which may have wide characters; nothing follows it."""
        self.cells[column] = (text, style)

    def pieces(self) -> Iterator[tuple[str, str]]:
        """(text, style) from left to right; neighbours of one style are one piece."""
        text, style, at = "", Style.PLAIN, 0
        for column in sorted(self.cells):
            new, its = self.cells[column]
            if its != style or column > at:
                if text:
                    yield text, style
                text, style = "", its
            if column > at:
                yield " " * (column - at), Style.PLAIN
            text += new
            at = column + len(new)
        if text:
            yield text, style


def visible(text: str) -> str:
    """The text on one line, tabs widened, with a visible character for whatever a terminal would act on or hide."""
    plain = text.replace("\t", TAB).replace("\n", " ")
    return _UNSEEN.sub(lambda found: chr(0x2400 + ord(found[0])) if found[0] < " " else "\ufffd", plain)


def echoed(text: str) -> str:
    """A message with names in it that somebody else chose: visible, and of a very long word its ends."""
    return _VERY_LONG.sub(lambda found: f"{found[0][:WORD_BEGIN]}…{found[0][-WORD_END:]}", visible(text))


def width(text: str) -> int:
    """Columns that a text takes in a terminal."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


@dataclass(frozen=True, slots=True)
class _Line:
    """A source line as it is shown: `shown` begins at column `start` of the whole line."""

    text: str
    shown: str
    start: int

    def column(self, character: int) -> int:
        """The printed column of a character's left edge."""
        before = visible(self.text[: max(character, 0)])
        past = max(character - len(self.text), 0)  # a span may end behind the last character
        return max(width(before) + min(past, 1) - self.start, 0)


def _shown(text: str, first: int) -> _Line:
    whole = visible(text)
    if width(whole) <= WIDEST:
        return _Line(text, whole, 0)
    begin = max(len(visible(text[:first])) - WIDEST // 3, 0)
    end = begin + WIDEST
    cut = whole[begin:end]
    if begin:
        cut = "…" + cut[1:]
    if end < len(whole):
        cut = cut[:-1] + "…"
    return _Line(text, cut, width(whole[:begin]))


def snippet(marks: Iterable[Mark], source: list[str]) -> list[Row]:
    """The rows that show these marks of one file, ordered by line."""
    return _Snippet(list(marks), source).rows()


class _Snippet:
    def __init__(self, marks: list[Mark], source: list[str]) -> None:
        self.source = source
        inside = [_clamped(mark, source) for mark in marks]
        self.single: list[Mark] = [mark for mark in inside if not mark.spreads]
        self.spread = _columns(
            sorted((m for m in inside if m.spreads), key=lambda m: (m.span.line, -m.span.end_line))
        )
        self.indent = 2 * max((depth + 1 for depth, _ in self.spread), default=0)

    def rows(self) -> list[Row]:
        rows: list[Row] = []
        last = 0
        for number in self._numbers():
            if (
                last
                and number > last + 1
                and any(m.span.line <= last < number <= m.span.end_line for _, m in self.spread)
            ):
                rows.append(self._row(last + 1, "..."))
            rows += self._line(number)
            last = number
        return rows

    def _numbers(self) -> list[int]:
        wanted = {mark.span.line for mark in self.single}
        for _, mark in self.spread:
            first, last = mark.span.line, mark.span.end_line
            wanted |= {first, last}
            if last - first - 1 <= MIDDLE:
                wanted |= set(range(first, last))
        return sorted(wanted)

    def _line(self, number: int) -> list[Row]:
        line = self._shown(number)
        head = self._row(number, str(number))
        head.write(self.indent, line.shown.rstrip(), Style.PLAIN)
        rows = [head]
        here = [mark for mark in self.single if mark.span.line == number]
        if here:
            rows += self._marked(number, line, here)
        for depth, mark in self.spread:
            if mark.span.line == number:
                if self._leads(mark):
                    head.put(2 * depth, "/", mark.style)
                else:
                    rows.append(self._corner(number, depth, mark, line.column(mark.span.column), ""))
        for depth, mark in reversed(self.spread):
            if mark.span.end_line == number:
                rows.append(
                    self._corner(number, depth, mark, line.column(mark.span.end_column - 1), mark.text)
                )
        return rows

    def _shown(self, number: int) -> _Line:
        firsts = [m.span.column for m in self.single if m.span.line == number]
        firsts += [m.span.column for _, m in self.spread if m.span.line == number]
        firsts += [m.span.end_column for _, m in self.spread if m.span.end_line == number]
        return _shown(self.source[number - 1], min(firsts, default=0))

    def _leads(self, mark: Mark) -> bool:
        """Whether nothing stands before the span on its first line; a slash in the margin then suffices."""
        return not self.source[mark.span.line - 1][: mark.span.column].strip()

    def _row(self, number: int, gutter: str = "", *, under: bool = False) -> Row:
        """A row with the bars of the spans that go on at that line (`under`: below it)."""
        row = Row(gutter)
        for depth, mark in self.spread:
            begun = mark.span.line < number or (under and mark.span.line == number and self._leads(mark))
            if begun and mark.span.end_line >= number:
                row.put(2 * depth, "|", mark.style)
        return row

    def _corner(self, number: int, depth: int, mark: Mark, column: int, text: str) -> Row:
        """Where a span of several lines begins or ends: an underscore from its bar to a sign."""
        row = self._row(number, under=True)
        begins = mark.span.line == number
        for at, other in self.spread:  # bars of those which end above this row stop there
            if other.span.end_line == number and at > depth:
                row.cells.pop(2 * at, None)
        row.put(2 * depth + 1, "_" * (self.indent + column - 2 * depth - 1) + mark.sign, mark.style)
        row.put(2 * depth, " " if begins else "|", mark.style)
        if text:
            row.write(self.indent + column + 2, echoed(text), mark.style)
        return row

    def _marked(self, number: int, line: _Line, marks: list[Mark]) -> list[Row]:
        """The signs below a line; the label of the rightmost mark beside them, the others hanging below."""
        placed = [
            (self.indent + a, self.indent + b, mark) for mark in marks for a, b in [_extent(line, mark)]
        ]
        placed.sort(key=lambda p: (p[0], not p[2].primary))
        signs = self._row(number, under=True)
        for begin, end, mark in sorted(
            placed, key=lambda p: (p[0] - p[1], p[2].primary)
        ):  # the longest first
            signs.put(begin, mark.sign * (end - begin), mark.style)
        labelled = [p for p in placed if p[2].text]
        if labelled and self._beside(labelled[-1], placed):
            _, end, mark = labelled.pop()
            signs.write(end + 1, echoed(mark.text), mark.style)
        return [signs, *self._hanging(number, labelled)]

    @staticmethod
    def _beside(last: tuple[int, int, Mark], placed: list[tuple[int, int, Mark]]) -> bool:
        begin, end, _ = last
        return all(p is last or (p[1] <= end and (p[0] < begin or not p[2].text)) for p in placed)

    def _hanging(self, number: int, labelled: list[tuple[int, int, Mark]]) -> list[Row]:
        rows = []
        if labelled:
            stem = self._row(number, under=True)
            for begin, _, mark in labelled:
                stem.put(begin, "|", mark.style)
            rows.append(stem)
        while labelled:
            begin, _, mark = labelled.pop()
            row = self._row(number, under=True)
            for other, _, its in labelled:
                row.put(other, "|", its.style)
            row.write(begin, echoed(mark.text), mark.style)
            rows.append(row)
        return rows


def _extent(line: _Line, mark: Mark) -> tuple[int, int]:
    begin = min(line.column(mark.span.column), width(line.shown))
    end = min(line.column(mark.span.end_column), width(line.shown) + 1)
    return begin, max(end, begin + 1)


def _columns(marks: list[Mark]) -> list[tuple[int, Mark]]:
    """Marks of several lines, each with the column of its bar; those which do not meet may share one."""
    free: list[int] = []  # the last line for which each column is taken
    placed = []
    for mark in marks:
        depth = next((at for at, end in enumerate(free) if end < mark.span.line), len(free))
        free[depth : depth + 1] = [mark.span.end_line]
        placed.append((depth, mark))
    return sorted(placed, key=lambda p: p[0])


def _clamped(mark: Mark, source: list[str]) -> Mark:
    """The mark within the file: a text may have changed since, and a parser may point behind its end."""
    span = mark.span
    first = min(max(span.line, 1), len(source))
    last = min(max(span.end_line, first), len(source))
    begin, end = span.column, span.end_column
    if last > first and end == 0:  # ends where a line has not begun: that is the end of the one before
        last, end = last - 1, len(source[last - 2])
    begin = min(begin, len(source[first - 1]))
    end = min(end, len(source[last - 1]) + 1)
    return Mark(Span(span.path, first, begin, last, end), mark.text, mark.primary)
