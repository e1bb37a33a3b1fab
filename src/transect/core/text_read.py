# SPDX-License-Identifier: Apache-2.0
"""From text to lines, words and types: what `text_parse.py` reads trees with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from transect.base.span import NOWHERE, Span
from transect.core.text_lex import ONLY_SPANS, SPANS, TOKEN, WORDS, Files, number, read_spans, text_value
from transect.core.types import (
    BOOL,
    DURATION,
    FLOAT,
    INSTANT,
    INT,
    STORAGE,
    U64,
    UNIT,
    ArrayType,
    BytesType,
    CounterType,
    DictType,
    EnumType,
    HistogramType,
    KeyType,
    OptionType,
    SeqType,
    SetType,
    StructField,
    StructType,
    TableKind,
    TableType,
    TextType,
    TupleType,
    Type,
    UnionType,
    ViewType,
)

T = TypeVar("T")


class TextError(ValueError):
    """A text that is no program; says the line."""


class Token(NamedTuple):
    kind: str  # text, number, name, quoted, punctuation, end
    text: str


@dataclass(slots=True)
class Line:
    number: int
    depth: int
    tokens: list[Token]
    spans: Iterator[Span] | None  # None: every span is NOWHERE
    at: int = 0


END = Token("end", "the end of the line")
_SIMPLE: dict[str, Type] = {
    "int": INT,
    "u64": U64,
    "bool": BOOL,
    "float": FLOAT,
    "Instant": INSTANT,
    "Duration": DURATION,
    "None": UNIT,
    "Counter": CounterType(),
    "Histogram": HistogramType(),
    **STORAGE,
}
_TABLES = {str(kind) for kind in TableKind}


class Reader:
    """Takes the words of one line after the other."""

    def __init__(self, text: str) -> None:
        self.files = Files([""])
        self.texts = [(i, line) for i, line in enumerate(text.split("\n"), 1) if line.strip()]
        self.next_line = 0
        self.line = Line(0, 0, [], None)

    # ---------------------------------------------------------------- lines

    def depth(self) -> int:
        """The indentation of the line to come; -1 at the end."""
        if self.next_line >= len(self.texts):
            return -1
        text = self.texts[self.next_line][1]
        return (len(text) - len(text.lstrip(" "))) // 2

    def advance(self) -> None:
        """Go on with the next line."""
        depth = self.depth()
        if depth < 0:
            raise TextError("the text ends too early")
        number_, text = self.texts[self.next_line]
        self.next_line += 1
        self.line = Line(number_, depth, [], None)
        self._split(text)

    def _split(self, text: str) -> None:
        words, mark, spans = text.rpartition(SPANS)
        if mark and ONLY_SPANS.fullmatch(spans):
            self.line.spans = read_spans(spans, self.files)
        else:
            words = text
        tokens = [Token(kind, m[kind]) for m in TOKEN.finditer(words) if (kind := m.lastgroup)]
        self.line.tokens = tokens
        if "wrong" in {kind for kind, _ in tokens}:
            wrong = next(m for m in TOKEN.finditer(words) if m.lastgroup == "wrong")
            raise self.error(f"cannot read {words[wrong.start() :].strip()[:20]!r}")

    def upcoming(self) -> str:
        """The first word of the line to come."""
        return self.texts[self.next_line][1].split()[0] if self.depth() >= 0 else ""

    def end(self) -> None:
        """The line has been read, spans and all."""
        if self.peek() is not END:
            raise self.error(f"{self.peek().text!r} is left over")
        if self.line.spans is not None and next(self.line.spans, None) is not None:
            raise self.error("there are more spans than nodes")

    def span(self) -> Span:
        if self.line.spans is None:
            return NOWHERE
        span = next(self.line.spans, None)
        if span is None:
            raise self.error("there are fewer spans than nodes")
        return span

    def error(self, what: str) -> TextError:
        return TextError(f"line {self.line.number}: {what}")

    # ---------------------------------------------------------------- words

    def peek(self, ahead: int = 0) -> Token:
        line = self.line
        at = line.at + ahead
        return line.tokens[at] if at < len(line.tokens) else END

    def take(self) -> Token:
        line = self.line
        at = line.at
        line.at = at + 1
        return line.tokens[at] if at < len(line.tokens) else END

    def skip(self, word: str) -> bool:
        """Take the word if it comes next.  A name in backquotes is never a word."""
        line = self.line  # most of a text's words are looked for here
        at = line.at
        if at >= len(line.tokens):
            return False
        kind, text = line.tokens[at]
        if text != word or kind == "text":
            return False
        line.at = at + 1
        return True

    def expect(self, word: str) -> None:
        if not self.skip(word):
            raise self.error(f"expected {word!r}, found {self.peek().text!r}")

    def name(self) -> str:
        token = self.take()
        if token.kind == "quoted":
            return token.text[1:-1]
        if token.kind != "name" or token.text in WORDS:
            raise self.error(f"expected a name, found {token.text!r}")
        return token.text

    def dotted(self) -> str:
        parts = [self.name()]
        while self.skip("."):
            parts.append(self.name())
        return ".".join(parts)

    def string(self) -> str:
        value = self.literal()
        if not isinstance(value, str):
            raise self.error(f"expected a text, found {value!r}")
        return value

    def integer(self) -> int:
        value = self.literal()
        if not isinstance(value, int):
            raise self.error(f"expected an integer, found {value!r}")
        return value

    def literal(self) -> Any:
        token = self.take()
        match token.kind, token.text:
            case "text", text:
                return text_value(text)
            case "number", text:
                return number(text)
            case "name", "None" | "True" | "False":
                return {"None": None, "True": True, "False": False}[token.text]
            case _, "(":
                return tuple(self.separated(self.literal, ")"))
            case _:
                raise self.error(f"expected a plain value, found {token.text!r}")

    def separated(self, item: Callable[[], T], close: str) -> list[T]:
        """Items with commas between them, and perhaps one after the last, up to `close`."""
        items: list[T] = []
        while not self.skip(close):
            items.append(item())
            if not self.skip(","):
                self.expect(close)
                break
        return items


class TypeReader(Reader):
    """Reads types."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.named: dict[str, EnumType | StructType | UnionType] = {}

    def type(self) -> Type:
        found = self._type()
        while self.skip("?"):
            found = OptionType(found)
        return found

    def _type(self) -> Type:
        token = self.peek()
        match token.text:
            case "(":
                self.take()
                return TupleType(tuple(self.separated(self.type, ")")))
            case "[":
                self.take()
                item = self.type()
                self.expect("]")
                return SeqType(item)
            case "{":
                self.take()
                return self._braces()
            case "&":
                self.take()
                name = self.name()
                return ViewType(name, tuple(self.separated(self.type, "]")) if self.skip("[") else ())
            case "#":
                self.take()
                return KeyType(self.name())
            case "str" | "bytes":
                self.take()
                bound = self._bound() if self.skip("[") else None
                return TextType(bound) if token.text == "str" else BytesType(bound)
            case text if text in _SIMPLE:
                self.take()
                return _SIMPLE[text]
            case "array":
                self.take()
                return ArrayType(*self._angle(self.type, self.integer))
            case text if text in _TABLES:
                self.take()
                return TableType(TableKind(text), *self._angle(self.type, self.type, self.integer))
            case _:
                return self.label()

    def _bound(self) -> int:
        bound = self.integer()
        self.expect("]")
        return bound

    def _braces(self) -> Type:
        first = self.type()
        if self.skip(":"):
            value = self.type()
            self.expect("}")
            return DictType(first, value)
        bound = self.integer() if self.skip(",") else None
        self.expect("}")
        return SetType(first, bound)

    def _angle(self, *items: Callable[[], Any]) -> list[Any]:
        self.expect("<")
        values = []
        for i, item in enumerate(items):
            if i:
                self.expect(",")
            values.append(item())
        self.expect(">")
        return values

    def label(self) -> EnumType | StructType | UnionType:
        label = self.name()
        if label not in self.named:
            raise self.error(f"no type is called {label!r}")
        return self.named[label]

    # ---------------------------------------------------------------- declarations of types

    def declare(self, what: str) -> None:
        label = self.name()
        name = self.string() if self.skip("named") else label
        match what:
            case "enum":
                self.named[label] = self._enum(name)
            case "struct":
                self.expect("(")
                self.named[label] = StructType(name, tuple(self.separated(self._field, ")")))
            case _:
                self.expect("(")
                self.named[label] = UnionType(name, tuple(self.separated(self.struct, ")")))

    def _enum(self, name: str) -> EnumType:
        is_open = self.skip("open")
        if not is_open:
            self.expect("closed")
        members = []
        while self.peek() is not END:
            member = self.name()
            self.expect("=")
            members.append((member, self.integer()))
        return EnumType(name, tuple(members), is_open)

    def _field(self) -> StructField:
        name = self.name()
        self.expect(":")
        t = self.type()
        if self.skip("="):
            return StructField(name, t, self.literal(), False)
        return StructField(name, t, self.literal() if self.skip("!=") else None)

    def struct(self) -> StructType:
        found = self.label()
        if not isinstance(found, StructType):
            raise self.error(f"{found.name} is no struct")
        return found

    def union(self) -> UnionType:
        found = self.label()
        if not isinstance(found, UnionType):
            raise self.error(f"{found.name} is no union")
        return found
