# SPDX-License-Identifier: Apache-2.0
"""Text to syntax tree.  Whatever the bytes are, the answer is a tree or a diagnostic, never an exception."""

from __future__ import annotations

import ast
import warnings
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from transect.base.bounded import head
from transect.base.diagnostic import Diagnostics
from transect.base.span import Span, lines_of
from transect.core.frontend.contract_syntax import without_contracts

MAX_BYTES = 1 << 20  # a policy is 5 to 500 lines; a megabyte is a mistake
MAX_DEPTH = 100  # nested nodes; keeps every later walk far from Python's own limit
MAX_ARMS = 80  # of an `if … elif …`: Python nests each in the one before
MAX_CASES = 256  # of a `match`: emitted C nests each in the one before
MAX_BITS = 1100  # of an integer: the largest float has 1,024, and Python spells no more than it reads


@dataclass(frozen=True, eq=False)
class Source:
    """One file: where it is and what it says."""

    path: str
    text: str
    tree: ast.Module = field(default_factory=lambda: ast.Module([], []))

    @cached_property
    def lines(self) -> list[str]:
        return lines_of(self.text)

    def _column(self, line: int, offset: int) -> int:
        """Python counts columns in bytes; people count characters."""
        text = self.lines[line - 1] if line <= len(self.lines) else ""
        return offset if text.isascii() else len(text.encode()[:offset].decode(errors="replace"))

    def span(self, node: ast.AST) -> Span:
        line = getattr(node, "lineno", 1)
        end = getattr(node, "end_lineno", None) or line
        start_offset = getattr(node, "col_offset", 0)
        end_offset = getattr(node, "end_col_offset", None) or start_offset
        return Span(self.path, line, self._column(line, start_offset), end, self._column(end, end_offset))

    def header(self, node: ast.AST) -> Span:
        """The first line of a compound statement: where to point when all of it is meant."""
        whole = self.span(node)
        if whole.end_line == whole.line:
            return whole
        text = self.lines[whole.line - 1].rstrip() if whole.line <= len(self.lines) else ""
        return Span(self.path, whole.line, whole.column, whole.line, max(len(text), whole.column + 1))


def read(path: Path, diagnostics: Diagnostics) -> str | None:
    """The file's text, or None with a diagnostic."""
    at = Span(str(path), 1, 0, 1, 0)
    try:
        data = head(path, MAX_BYTES)
    except OSError as error:
        diagnostics.error(
            "P002", f"cannot read `{path}`: {error.strerror}", at, help="give the path of a Python file"
        )
        return None
    return decoded(data, str(path), diagnostics)


def text_now(path: str) -> str:
    """The current text of a policy's file; "" if it is missing by now, or is not a policy."""
    return read(Path(path), Diagnostics()) or ""


def decoded(data: bytes, path: str, diagnostics: Diagnostics) -> str | None:
    """The text of a file, given at most its first `MAX_BYTES` + 1 bytes; None, with a diagnostic, if it is too
    large.
    """
    if len(data) > MAX_BYTES:
        _too_long(path, diagnostics)
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        diagnostics.error(
            "P002",
            f"`{path}` is not UTF-8 text",
            Span(path, line, 0, line, 0),
            help="save it as UTF-8",
        )
        return None


def parse(text: str, path: str, diagnostics: Diagnostics) -> Source | None:
    """The source with its tree, or None with a diagnostic."""
    at = Span(path, 1, 0, 1, 0)
    if len(text) > MAX_BYTES:
        _too_long(path, diagnostics)
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # `1 is 2` and the like have diagnostics of our own
            tree = ast.parse(text, path)
    except SyntaxError as error:
        _syntax_error(error, text, path, diagnostics)
        return None
    except (RecursionError, MemoryError):
        _too_deep(at, diagnostics)
        return None
    except (ValueError, OverflowError) as error:  # NUL bytes; literals of more digits than Python reads
        diagnostics.error(
            "P001", f"not Python: {error}", at, help="correct the text; it must be a Python file"
        )
        return None
    source = Source(path, text, without_contracts(tree))
    deep, arms, number = _deepest(tree), _longest_elif(tree), _longest_number(tree)
    cases = _longest_match(tree) if "match" in text else None
    if arms is not None:
        _too_many_arms(source.header(arms), diagnostics)
    elif cases is not None:
        _too_many_cases(source.header(cases), diagnostics)
    elif deep is not None:
        _too_deep(source.span(deep), diagnostics)
    elif number is not None:
        _too_large(source.span(number), diagnostics)
    else:
        return source
    return None


def check_compiles(source: Source, diagnostics: Diagnostics) -> None:
    """Report what Python's compiler refuses and its parser accepts: `break` outside of loops, a name that a pattern
    binds twice.  Nothing is run.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(source.text, source.path, "exec", dont_inherit=True)
    except SyntaxError as error:
        _syntax_error(error, source.text, source.path, diagnostics)
    except (RecursionError, MemoryError):
        _too_deep(Span(source.path, 1, 0, 1, 0), diagnostics)


def _too_long(path: str, diagnostics: Diagnostics) -> None:
    diagnostics.error(
        "P003",
        "the file is too large",
        Span(path, 1, 0, 1, 0),
        help="a policy file has at most one megabyte; split it",
    )


def _too_deep(at: Span, diagnostics: Diagnostics) -> None:
    diagnostics.error(
        "P003",
        "the code is nested too deeply",
        at,
        label=f"more than {MAX_DEPTH} levels",
        help="name parts of it, or move parts into helpers",
    )


def too_long_chain(source: Source, diagnostics: Diagnostics) -> None:
    """Report helpers, classes, types or constants whose chain of references is deeper than Python's stack."""
    diagnostics.error(
        "P003",
        "definitions refer to each other through too many steps",
        Span(source.path, 1, 0, 1, 0),
        label="a long chain of helpers, classes, types or constants in this file",
        help="call, derive and name more directly",
    )


def _too_many_arms(at: Span, diagnostics: Diagnostics) -> None:
    diagnostics.error(
        "P003",
        f"an `if` with more than {MAX_ARMS} arms",
        at,
        label="the first of its `elif`",
        help="compare one value by `match`, look it up in a table, or return early from several `if`",
    )


def _too_many_cases(at: Span, diagnostics: Diagnostics) -> None:
    diagnostics.error(
        "P003",
        f"a `match` with more than {MAX_CASES} cases",
        at,
        label="too many",
        help="look the value up in a table: `Map[…]`, filled once",
    )


def _too_large(at: Span, diagnostics: Diagnostics) -> None:
    diagnostics.error(
        "P039",
        "this number does not fit in any type",
        at,
        label="out of range",
        help="`int` and `u64` have 64 bits",
    )


def _syntax_error(error: SyntaxError, text: str, path: str, diagnostics: Diagnostics) -> None:
    line = min(max(error.lineno or 1, 1), max(text.count("\n") + 1, 1))
    column = max((error.offset or 1) - 1, 0)
    end_line = max(error.end_lineno or line, line)
    end = max((error.end_offset or 0) - 1, column + 1) if end_line == line else column + 1
    diagnostics.error(
        "P001",
        f"not Python: {error.msg}",
        Span(path, line, column, line, end),
        help="correct the syntax; a policy is an ordinary Python file",
    )


def _deepest(tree: ast.Module) -> ast.AST | None:
    """A node nested deeper than allowed, or None.  Breadth first: the walk itself needs no stack."""
    level: list[ast.AST] = [tree]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        if not level:
            return None
    return next((node for node in level if hasattr(node, "lineno")), None)


def _longest_elif(tree: ast.Module) -> ast.If | None:
    """An `if` with more arms than allowed, or None."""
    arms: dict[ast.If, int] = {}
    for node in reversed([n for n in ast.walk(tree) if isinstance(n, ast.If)]):  # the last arm first
        match node.orelse:
            case [ast.If() as following]:
                arms[node] = arms[following] + 1
            case _:
                arms[node] = 1
        if arms[node] > MAX_ARMS:
            return node
    return None


def _longest_match(tree: ast.Module) -> ast.Match | None:
    """A `match` with more cases than allowed, those of matches around it counted as well; or None."""
    level: list[tuple[ast.AST, int]] = [(tree, 0)]
    while level:
        node, cases = level.pop()
        if isinstance(node, ast.Match):
            cases += len(node.cases)
            if cases > MAX_CASES:
                return node
        level += [(child, cases) for child in ast.iter_child_nodes(node)]
    return None


def _longest_number(tree: ast.Module) -> ast.Constant | None:
    """An integer that is not even the value of a float, or None."""
    numbers = (n for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, int))
    return next((n for n in numbers if n.value.bit_length() > MAX_BITS), None)  # type: ignore[union-attr]
