# SPDX-License-Identifier: Apache-2.0
"""The P4-16 that our program uses, as a tree: numbers of `bit<N>`, headers, parsers, controls, tables, registers.

Anything outside this subset is an error that names the place.  Blocks between `#if NAME` and `#endif` are resolved
first, as the preprocessor of the reference compiler does.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

# ---------------------------------------------------------------- expressions


@dataclass(frozen=True, slots=True)
class Number:
    value: int
    width: int = 0  # 0: the width of its context


@dataclass(frozen=True, slots=True)
class Name:
    """`m.node`, `hdr.ip.src`, `DONE`."""

    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Slice:
    of: Expr
    high: int
    low: int


@dataclass(frozen=True, slots=True)
class Unary:
    op: str
    of: Expr


@dataclass(frozen=True, slots=True)
class Binary:
    op: str
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Cast:
    width: int
    of: Expr


@dataclass(frozen=True, slots=True)
class Tuple:
    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class CallOf:
    """`hdr.ip.isValid()`, `states.read(m.state, m.at)`, `hash(…)`."""

    function: tuple[str, ...]
    args: tuple[Expr, ...]


Expr: TypeAlias = Number | Name | Slice | Unary | Binary | Cast | Tuple | CallOf

# ---------------------------------------------------------------- statements and declarations


@dataclass(frozen=True, slots=True)
class Assign:
    to: Name
    value: Expr


@dataclass(frozen=True, slots=True)
class Do:
    call: CallOf


@dataclass(frozen=True, slots=True)
class If:
    cond: Expr
    then: tuple[Stmt, ...]
    orelse: tuple[Stmt, ...]


Stmt: TypeAlias = Assign | Do | If


@dataclass(frozen=True, slots=True)
class State:
    """A state of a parser: `cases` are the values of each selector, None for any; `to` is the next state."""

    body: tuple[Stmt, ...]
    subjects: tuple[Expr, ...]
    cases: tuple[tuple[tuple[Expr, ...] | None, str], ...]


@dataclass(frozen=True, slots=True)
class Action:
    params: tuple[tuple[str, int], ...]  # name, width
    body: tuple[Stmt, ...]


@dataclass(frozen=True, slots=True)
class Table:
    keys: tuple[tuple[Name, str], ...]  # what is matched, and how (exact, range)
    actions: tuple[str, ...]
    size: int
    default: str


@dataclass(slots=True)
class Control:
    registers: dict[str, tuple[int, int]] = field(default_factory=dict)  # width, size
    variables: dict[str, int] = field(default_factory=dict)
    actions: dict[str, Action] = field(default_factory=dict)
    tables: dict[str, Table] = field(default_factory=dict)
    body: tuple[Stmt, ...] = ()


@dataclass(slots=True)
class Program:
    constants: dict[str, tuple[int, int]] = field(default_factory=dict)  # value, width
    headers: dict[str, dict[str, int]] = field(default_factory=dict)
    structs: dict[str, dict[str, int | str]] = field(default_factory=dict)  # width, or the name of a header
    states: dict[str, State] = field(default_factory=dict)
    controls: dict[str, Control] = field(default_factory=dict)
    package: tuple[str, ...] = ()


class SyntaxProblem(Exception):
    """Something outside the subset; the text says where."""


# ---------------------------------------------------------------- text


def resolve(text: str, defined: Collection[str]) -> str:
    """The text without the parts between `#if NAME` and `#endif` whose names are not defined."""
    kept: list[str] = []
    stack: list[bool] = []
    for line in text.splitlines():
        word, _, name = line.strip().partition(" ")
        if word == "#if":
            stack.append(name.strip() in defined)
        elif word == "#else":
            stack[-1] = not stack[-1]
        elif word == "#endif":
            stack.pop()
        elif all(stack):
            kept.append(line)
    return "\n".join(kept) + "\n"


TOKEN = re.compile(
    r"\s+|/\*.*?\*/|//[^\n]*|\#[^\n]*|(?P<number>\d+w0x[0-9a-fA-F]+|\d+w\d+|0x[0-9a-fA-F]+|\d+)"
    r"|(?P<word>[A-Za-z_]\w*)|(?P<sign>\+\+|==|!=|<=|>=|&&|\|\||[-+&|^~!<>=(){}\[\];:,.])",
    re.DOTALL,
)
LEVELS = (("||",), ("&&",), ("|",), ("^",), ("&",), ("==", "!="), ("<", ">", "<=", ">="), ("+", "-", "++"))


def _tokens(text: str) -> Iterator[tuple[str, int]]:
    at = 0
    while at < len(text):
        found = TOKEN.match(text, at)
        if found is None:
            raise SyntaxProblem(f"line {text.count(chr(10), 0, at) + 1}: `{text[at]}`")
        if found.lastgroup:
            yield found[0], text.count("\n", 0, at) + 1
        at = found.end()


def parse(text: str) -> Program:
    """Raises `SyntaxProblem`."""
    return _Parser(text).program()


_RESERVED = """
_ abstract action bit bool const control default else enum error exit extern false header header_union if in
inout int list match_kind out package parser pragma return select string struct switch table this transition
true tuple typedef value_set varbit void
"""
RESERVED = frozenset(_RESERVED.split())
"""Words of P4-16 (version 1.2.5, appendix A) that are no names.  Its `nonTypeName` takes `actions`, `apply`, `entries`,
`key`, `priority`, `state` and `type` beside identifiers."""


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = [*_tokens(text), ("", 0)]
        self._at = 0
        self._made = Program()

    # ------------------------------------------------------------ tokens

    @property
    def _now(self) -> str:
        return self._tokens[self._at][0]

    def _next(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1][0]

    def _take(self, token: str) -> bool:
        if self._now == token:
            self._at += 1
            return True
        return False

    def _expect(self, *tokens: str) -> None:
        for token in tokens:
            if not self._take(token):
                raise SyntaxProblem(f"line {self._tokens[self._at][1]}: `{token}`, not `{self._now}`")

    def _word(self) -> str:
        if not re.fullmatch(r"[A-Za-z_]\w*", self._now) or self._now in RESERVED:
            raise SyntaxProblem(f"line {self._tokens[self._at][1]}: a name, not `{self._now}`")
        return self._next()

    def _width(self) -> int:
        self._expect("bit", "<")
        width = int(self._next())
        self._expect(">")
        return width

    # ------------------------------------------------------------ declarations

    def program(self) -> Program:
        declared = {
            "const": self._const,
            "header": self._header,
            "struct": self._struct,
            "parser": self._parser,
            "control": self._control,
        }
        while self._now:
            word = self._next()
            if word in declared:
                declared[word]()
            elif word == "V1Switch":
                self._package()
            else:
                raise SyntaxProblem(
                    f"line {self._tokens[self._at - 1][1]}: no declaration begins with `{word}`"
                )
        return self._made

    def _const(self) -> None:
        width, name = self._width(), self._word()
        self._expect("=")
        self._made.constants[name] = _number(self._next())[0], width
        self._expect(";")

    def _fields(self) -> Iterator[tuple[str, int | str]]:
        self._expect("{")
        while not self._take("}"):
            kind: int | str = self._width() if self._now == "bit" else self._word()
            yield self._word(), kind
            self._expect(";")

    def _header(self) -> None:
        name = self._word()
        self._made.headers[name] = {n: w for n, w in self._fields() if isinstance(w, int)}

    def _struct(self) -> None:
        name = self._word()
        self._made.structs[name] = dict(self._fields())

    def _skip_params(self) -> None:
        self._expect("(")
        while not self._take(")"):
            self._next()

    def _package(self) -> None:
        self._expect("(")
        names: list[str] = []
        while not self._take(")"):
            names.append(self._word())
            self._expect("(", ")")
            self._take(",")
        self._expect("main", ";")
        self._made.package = tuple(names)

    def _parser(self) -> None:
        self._word()
        self._skip_params()
        self._expect("{")
        while not self._take("}"):
            self._expect("state")
            name = self._word()
            self._made.states[name] = self._state()

    def _state(self) -> State:
        self._expect("{")
        body: list[Stmt] = []
        while self._now != "transition":
            body.append(self._statement())
        self._expect("transition")
        if not self._take("select"):
            to = self._word()
            self._expect(";", "}")
            return State(tuple(body), (), ((None, to),))
        subjects = self._arguments("(", ")")
        self._expect("{")
        cases: list[tuple[tuple[Expr, ...] | None, str]] = []
        while not self._take("}"):
            values: tuple[Expr, ...] | None = None
            if self._now == "(":
                values = self._arguments("(", ")")
            elif not self._take("default"):
                values = (self._expression(),)
            self._expect(":")
            cases.append((values, self._word()))
            self._expect(";")
        self._expect("}")
        return State(tuple(body), subjects, tuple(cases))

    def _control(self) -> None:
        made = self._made.controls[self._word()] = Control()
        self._skip_params()
        self._expect("{")
        while not self._take("}"):
            match self._now:
                case "register":
                    self._register(made)
                case "bit":
                    width, name = self._width(), self._word()
                    made.variables[name] = width
                    self._expect(";")
                case "action":
                    self._action(made)
                case "table":
                    self._table(made)
                case _:
                    self._expect("apply")
                    made.body = self._block()

    def _register(self, made: Control) -> None:
        self._expect("register", "<")
        width = self._width()
        self._expect(">", "(")
        size = int(self._next())
        self._expect(")")
        made.registers[self._word()] = width, size
        self._expect(";")

    def _action(self, made: Control) -> None:
        self._expect("action")
        name = self._word()
        self._expect("(")
        params: list[tuple[str, int]] = []
        while not self._take(")"):
            width = self._width()
            params.append((self._word(), width))
            self._take(",")
        made.actions[name] = Action(tuple(params), self._block())

    def _table(self, made: Control) -> None:
        self._expect("table")
        name = self._word()
        self._expect("{", "key", "=", "{")
        keys: list[tuple[Name, str]] = []
        while not self._take("}"):
            of = Name(self._path())
            self._expect(":")
            keys.append((of, self._word()))
            self._expect(";")
        self._expect("actions", "=", "{")
        actions: list[str] = []
        while not self._take("}"):
            actions.append(self._word())
            self._expect(";")
        self._expect("size", "=")
        size = int(self._next())
        self._expect(";", "default_action", "=")
        default = self._word()
        self._expect("(", ")", ";", "}")
        made.tables[name] = Table(tuple(keys), tuple(actions), size, default)

    # ------------------------------------------------------------ statements

    def _block(self) -> tuple[Stmt, ...]:
        self._expect("{")
        body: list[Stmt] = []
        while not self._take("}"):
            body.append(self._statement())
        return tuple(body)

    def _statement(self) -> Stmt:
        if self._take("if"):
            self._expect("(")
            cond = self._expression()
            self._expect(")")
            then = self._block()
            orelse: tuple[Stmt, ...] = ()
            if self._take("else"):
                orelse = (self._statement(),) if self._now == "if" else self._block()
            return If(cond, then, orelse)
        path = self._path()
        if self._now == "(":
            call = CallOf(path, self._arguments("(", ")"))
            self._expect(";")
            return Do(call)
        self._expect("=")
        value = self._expression()
        self._expect(";")
        return Assign(Name(path), value)

    def _path(self) -> tuple[str, ...]:
        path = [self._word()]
        while self._take("."):
            path.append(self._word())
        return tuple(path)

    def _arguments(self, begin: str, end: str) -> tuple[Expr, ...]:
        self._expect(begin)
        found: list[Expr] = []
        while not self._take(end):
            found.append(self._expression())
            self._take(",")
        return tuple(found)

    # ------------------------------------------------------------ expressions

    def _expression(self, level: int = 0) -> Expr:
        if level == len(LEVELS):
            return self._primary()
        left = self._expression(level + 1)
        while self._now in LEVELS[level]:
            op = self._next()
            left = Binary(op, left, self._expression(level + 1))
        return left

    def _primary(self) -> Expr:
        found: Expr
        if self._now in ("!", "~"):
            return Unary(self._next(), self._primary())
        if self._now == "{":
            return Tuple(self._arguments("{", "}"))
        if self._take("("):
            if self._now == "bit":
                width = self._width()
                self._expect(")")
                return Cast(width, self._primary())
            found = self._expression()
            self._expect(")")
        elif self._now[0].isdigit():
            value, width = _number(self._next())
            found = Number(value, width)
        else:
            path = self._path()
            found = CallOf(path, self._arguments("(", ")")) if self._now == "(" else Name(path)
        while self._take("["):
            high = int(self._next())
            self._expect(":")
            low = int(self._next())
            self._expect("]")
            found = Slice(found, high, low)
        return found


def _number(text: str) -> tuple[int, int]:
    """Value and width."""
    width, sized, digits = text.partition("w")
    return (int(digits, 0), int(width)) if sized else (int(text, 0), 0)
