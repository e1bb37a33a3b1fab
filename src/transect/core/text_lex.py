# SPDX-License-Identifier: Apache-2.0
"""The words of the text form: names, literals, spans; written and read here, side by side."""

from __future__ import annotations

import ast
import keyword
import math
import re
from collections.abc import Iterator, Sequence

from transect.base.span import NOWHERE, Span

TOKEN = re.compile(
    r"""\s*(?:
    (?P<text>b?'(?:[^'\\\n]|\\[\\'"nrt]|\\x[0-9a-f]{2}|\\u[0-9a-f]{4}|\\U[0-9a-f]{8})*'
            |b?"(?:[^"\\\n]|\\[\\'"nrt]|\\x[0-9a-f]{2}|\\u[0-9a-f]{4}|\\U[0-9a-f]{8})*")
  | (?P<number>-?0(?:inf|nan)|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)
  | (?P<name>[^\W\d]\w*)
  | (?P<quoted>`[^`\n]*`)
  | (?P<punctuation>->|::|==|!=|<=|>=|<<|>>|//|[-+*/%&|^~<>=?,:.(){}\[\]\#@!])
  | (?P<wrong>\S)
)""",
    re.VERBOSE,
)
_PLAIN = re.compile(r"[^\W\d]\w*")
WORDS = frozenset(keyword.kwlist)  # True, if, and …: no name of a policy is one of them

BUILT_IN = frozenset(
    (
        *("int", "u64", "i8", "i16", "i32", "u8", "u16", "u32", "bool", "float", "str", "bytes"),
        *("Instant", "Duration", "Counter", "Histogram", "table", "tally", "lru", "ordered", "array"),
        *("struct", "set", "min", "max", "sum", "any", "all", "argmin", "argmax"),
    )
)
"""Words that a struct, enum or union of a policy must not be confused with."""


def name(text: str) -> str:
    """A name as it is written: in backquotes if it would read as something else."""
    return text if _PLAIN.fullmatch(text) and text not in WORDS else f"`{text}`"


def literal(value: object) -> str:
    """A plain Python value."""
    if isinstance(value, float) and not math.isfinite(value):
        return "0nan" if math.isnan(value) else "0inf" if value > 0 else "-0inf"
    if isinstance(value, tuple):
        return f"({''.join(literal(item) + ', ' for item in value).strip()})"
    return repr(value)


def number(text: str) -> int | float:
    """The value of a number's text."""
    if text.endswith(("inf", "nan")):
        return float(text.replace("0", ""))
    return float(text) if "." in text or "e" in text else int(text)


def text_value(token: str) -> str | bytes:
    """The value of a text's token.  Raises ValueError."""
    if "\\" not in token:
        return token[2:-1].encode("ascii") if token[0] == "b" else token[1:-1]
    try:
        value = ast.literal_eval(token)
    except SyntaxError as error:  # a code point that there is not, in a text of bytes a letter that is none
        raise ValueError(f"{token:.40} is no text") from error
    assert isinstance(value, str | bytes)
    return value


# ---------------------------------------------------------------- spans


class Files:
    """The files that spans lie in, by number; 0 is the program's own."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = list(paths)

    def number(self, path: str) -> int:
        if path not in self.paths:
            self.paths.append(path)
        return self.paths.index(path)


def spans_text(spans: Sequence[Span], files: Files) -> str:
    """The spans of one line; empty when there are none to tell."""
    if all(span == NOWHERE for span in spans):
        return ""
    words: list[str] = []
    last = NOWHERE
    for span in spans:
        words.append(_span_text(span, last, files))
        last = span
    return SPANS + " ".join(words)


def _span_text(span: Span, last: Span, files: Files) -> str:
    if span == NOWHERE:
        return "-"
    if span == last:
        return "="
    file = files.number(span.path)
    head = f"{file}!" if file else ""
    if (span.path, span.line) != (last.path, last.line):
        head += f"{span.line}:"
    if span.line == span.end_line:
        return f"{head}{span.column}+{span.end_column - span.column}"
    return f"{head}{span.column}-{span.end_line}:{span.end_column}"


SPANS = "  ; "  # separates the spans of a line from its text
ONLY_SPANS = re.compile("[^'\"`]*")  # not within a text or a name
_SPAN = re.compile(r"(?:(\d+)!)?(?:(\d+):)?(\d+)(?:\+(-?\d+)|-(\d+):(\d+))")


def read_spans(text: str, files: Files) -> Iterator[Span]:
    """The spans that `spans_text` wrote."""
    last = NOWHERE
    for word in text.split():
        if word == "-":
            last = NOWHERE
        elif word != "=":
            last = _read_span(word, last, files)
        yield last


def _read_span(word: str, last: Span, files: Files) -> Span:
    match = _SPAN.fullmatch(word)
    if match is None or int(match[1] or 0) >= len(files.paths):
        raise ValueError(f"no span: {word}")
    file, line, column, length, end_line, end_column = match.groups()
    start = int(line) if line is not None else last.line
    path = files.paths[int(file or 0)]
    if length is not None:
        return Span(path, start, int(column), start, int(column) + int(length))
    return Span(path, start, int(column), int(end_line), int(end_column))
