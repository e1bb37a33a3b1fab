# SPDX-License-Identifier: Apache-2.0
"""Policy files that somebody damaged, or never understood: the outcome is a program that the verifier takes, or a
diagnostic that can be printed; never an exception.

Files of the examples are changed as text (lines, words, numbers, odd pieces of Python) and as trees (an expression,
statement or annotation takes another's place).
"""

from __future__ import annotations

import ast
import copy
import random
import re
from collections.abc import Callable, Iterator
from functools import cache

import pytest

from tests.fuzz.reading import COUNT
from transect.base.render import render_text
from transect.base.shipped import paths
from transect.core.frontend import compile_text
from transect.core.ir import Stage
from transect.core.verify import require

LARGEST = 1300  # bytes of an example that is changed: short ones say as much in less time
WORD = re.compile(r"\w+|[^\w\s]|\s+")
NUMBERS = (
    "0",
    "-1",
    "1",
    "2**63",
    "9223372036854775808",
    "-9223372036854775809",
    "1e400",
    "0x" + "f" * 400,
    "1j",
    "1_0",
)
PIECES = (
    *(
        "None",
        "True",
        "...",
        "self",
        "super()",
        "rpc",
        "()",
        "[]",
        "{}",
        "{1}",
        "''",
        "b''",
        "'\\ud800'",
        "'a' 'b'",
    ),
    *(
        "x := 1",
        "*x",
        "**x",
        "lambda: 0",
        "lambda *a, **k: a",
        "await x",
        "yield",
        "yield from x",
        "not x",
        "~x",
        "-x",
    ),
    *(
        "x if y else z",
        "x < y < z",
        "x in (1, 2)",
        "x is None",
        "x is not y",
        "f'{x!r:>{y}}'",
        "f'{x=}'",
        "f'{{}}'",
    ),
    *(
        "[i for i in x]",
        "{i: j for i, j in x}",
        "{i for i in x for j in i}",
        "(i async for i in x)",
        "x[1:2, ...]",
    ),
    *(
        "x @ y",
        "x ** y",
        "x // y % z",
        "min(x, key=lambda a, b: a)",
        "max(*x)",
        "len()",
        "now(1)",
        "print(x)",
        "__x",
    ),
    *(
        "self.__class__",
        "self.n.n.n",
        "int | None | None",
        "tuple[()]",
        "tuple[int, ...]",
        "Map[str, Map[str, int]]",
    ),
)
LINES = (
    *(
        "pass",
        "return",
        "return None",
        "break",
        "continue",
        "del x",
        "del self.n[0]",
        "global x",
        "nonlocal x",
        "...",
    ),
    *(
        "x: int",
        "x: X = x",
        "x = y = z",
        "x, y = y, x",
        "x, *y = z",
        "x[0].y += 1",
        "x += y",
        "self.x.y = z",
        "import os",
    ),
    *(
        "from . import x",
        "from .. import *",
        "from os import path",
        "raise",
        "assert x",
        "@x",
        "'text'",
        "type X = int",
    ),
    *(
        "if x: y",
        "while x: y",
        "for x in y: z",
        "for x, (y, z) in w: pass",
        "async def f(): pass",
        "class C: pass",
    ),
    *(
        "def f(*a, **k): pass",
        "with x: y",
        "try: x\nexcept: y",
        "match x:\n case [1, *_]: y",
        "match x:\n case {**r}: y",
    ),
    *(
        "match x:\n case X(1, y=2): pass\n case a | b if c: pass\n case _: pass",
        "class C[T](X): x: T",
        "lambda: x",
    ),
    *(
        "X: Final = X",
        "X: TypeAlias = X | None",
        "@struct\nclass S: s: S",
        "@helper\ndef f(x: int) -> int: return f(x)",
    ),
)
ODD = (
    "\0",
    "\ufeff",
    "\t",
    "\f",
    "\r",
    "\u2028",
    "\\",
    "\ud800",
    "ﬁ",
    "é",
    "'''",
    '"',
    "#",
    "(",
    "]",
    ":",
    ";",
    "\n",
)

Change = Callable[[str, random.Random], str]


@cache
def seeds() -> tuple[str, ...]:
    return tuple(text for path in paths() if len(text := path.read_text()) <= LARGEST)


@cache
def parts() -> dict[type[ast.AST], list[ast.AST]]:
    """What other files are made of: by kind, expressions, statements, patterns and the like."""
    found: dict[type[ast.AST], list[ast.AST]] = {}
    trees = [ast.parse(text) for text in seeds()]
    for piece in (*PIECES, *LINES):
        try:
            trees.append(ast.parse(piece))
        except SyntaxError:  # stands in a function only, or in a later Python
            continue
    for node in (n for tree in trees for n in ast.walk(tree)):
        kind = next((k for k in (ast.expr, ast.stmt, ast.pattern) if isinstance(node, k)), None)
        if kind is not None:
            found.setdefault(kind, []).append(node)
    return found


def _lines(text: str, rng: random.Random) -> str:
    """A line is left out, said twice, moved, indented otherwise, or another comes."""
    lines = text.splitlines(keepends=True)
    at, to = rng.randrange(len(lines)), rng.randrange(len(lines))
    match rng.randrange(6):
        case 0:
            del lines[at]
        case 1:
            lines.insert(to, lines[at])
        case 2:
            lines.insert(to, lines.pop(at))
        case 3:
            lines[at] = " " * rng.randrange(9) + lines[at].lstrip()
        case 4:
            indent = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
            lines.insert(at, "".join(f"{indent}{line}\n" for line in rng.choice(LINES).split("\n")))
        case _:
            lines.insert(at, rng.choice(rng.choice(seeds()).splitlines(keepends=True)))
    return "".join(lines)


def _words(text: str, rng: random.Random) -> str:
    """A word is left out, said many times, or another takes its place."""
    words = WORD.findall(text)
    at = rng.randrange(len(words))
    match rng.randrange(5):
        case 0:
            words[at] = ""
        case 1:
            words[at] *= rng.choice((2, 3, 40))
        case 2:
            words[at] = rng.choice(words)
        case 3:
            words[at] = rng.choice((*PIECES, *NUMBERS))
        case _:
            numbers = [i for i, word in enumerate(words) if word.isdigit()]
            words[rng.choice(numbers or [at])] = rng.choice(NUMBERS)
    return "".join(words)


def _odd(text: str, rng: random.Random) -> str:
    """A character that is odd there."""
    at = rng.randrange(len(text))
    return text[:at] + rng.choice(ODD) * rng.choice((1, 1, 2, 100)) + text[at + rng.randrange(3) :]


def _trees(text: str, rng: random.Random) -> str:
    """One to three pieces of the tree are others."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return _words(text, rng)
    for _ in range(rng.choice((1, 1, 2, 3))):
        places = [
            (node, name, index, item)
            for node in ast.walk(tree)
            for name, value in ast.iter_fields(node)
            for index, item in enumerate(value if isinstance(value, list) else [value])
            if isinstance(item, ast.expr | ast.stmt | ast.pattern)
        ]
        node, name, index, item = rng.choice(places)
        kind = next(k for k in (ast.expr, ast.stmt, ast.pattern) if isinstance(item, k))
        new = copy.deepcopy(rng.choice(parts().get(kind) or [item]))
        value = getattr(node, name)
        if isinstance(value, list):
            value[index] = new
        else:
            setattr(node, name, new)
    try:
        return ast.unparse(ast.fix_missing_locations(tree))
    except (
        ValueError,
        TypeError,
        AttributeError,
        IndexError,
    ):  # a piece that cannot stand there is not spelled
        return _lines(text, rng)


CHANGES: tuple[Change, ...] = (_lines, _words, _words, _odd, _trees, _trees, _trees)


def damaged(count: int, seed: int = 1) -> Iterator[str]:
    rng = random.Random(seed)
    for _ in range(count):
        text = rng.choice(seeds())
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            text = rng.choice(CHANGES)(text, rng) or "\n"
        yield text


def outcome(text: str) -> str:
    """`taken`, or the code of the first diagnostic."""
    compiled = compile_text(text, "policy.py")
    assert render_text(compiled.diagnostics, compiled.sources) or not len(compiled.diagnostics)
    for program in compiled.programs:
        require(program, Stage.CHECKED)
    return next((d.code for d in compiled.diagnostics if d.is_error), "taken")


@pytest.mark.part("core")
def test_a_damaged_policy_is_taken_or_refused_in_words() -> None:
    outcomes: dict[str, int] = {}
    for text in damaged(COUNT):
        try:
            found = outcome(text)
        except Exception as error:
            error.add_note(f"the policy:\n{text!r:.6000}")
            raise
        outcomes[found] = outcomes.get(found, 0) + 1
    assert outcomes["taken"] > COUNT // 50
    assert outcomes["P001"] < COUNT // 2
    assert len(outcomes) > 25, outcomes
