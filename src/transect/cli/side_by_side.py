# SPDX-License-Identifier: Apache-2.0
"""A policy and what it is compiled to, side by side; without a terminal, only what it is compiled to.

Both sides keep step, as far as the output says which line of the policy an output line is for: C says it by `#line`,
the text form by its spans, Python by its functions.  Between two such places the shorter side is filled up with empty
lines.
"""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from transect.cli.checking import in_color
from transect.cli.compiling import File, Refused, emit, read
from transect.cli.exits import Exit
from transect.core.ir import Program
from transect.core.text import dump

if TYPE_CHECKING:
    from rich.text import Text

NARROWEST = 100  # columns of a terminal; in a narrower one, two sides would be cut off

_LINE = re.compile(r'#line (?P<line>\d+) "(?P<path>.*)"')
_SPANS = re.compile(r"  ; (?P<spans>[-=+:!\d ]+)$")
_OWN = re.compile(r"(state|old|function|handler)\b")
_FIRST_LINE = re.compile(r"(\d+):")


@dataclass(frozen=True, slots=True)
class Output:
    """What one policy is compiled to: the lines, and for some of them the line of the policy that they are for."""

    program: Program
    language: str
    lines: tuple[str, ...]
    origins: tuple[int | None, ...]
    own: tuple[bool, ...]  # by line: whether it comes from the policy, not from its stratum or the target


def show(path: Path, form: str) -> int:
    """Print a file's policies in that form: c, py or ir."""
    try:
        file = read(path)
        outputs = list(_outputs(file, form))
    except Refused as refused:
        print(refused)
        return Exit.NO
    if in_color() and shutil.get_terminal_size().columns >= NARROWEST:
        _print_columns(file, outputs)
    else:
        print("\n\n".join("\n".join(output.lines) for output in outputs))
    return Exit.DONE


def _outputs(file: File, form: str) -> Iterator[Output]:
    if form == "ir":
        yield from (_ir(program) for program in file.programs)
        return
    for program, artifact in emit(file, form):
        for name, content in artifact.files.items():
            if name.endswith(f".{form}"):
                text = content.decode().rstrip("\n").split("\n")
                yield _c(program, text) if form == "c" else _python(program, text)


def _ir(program: Program) -> Output:
    lines: list[str] = []
    origins: list[int | None] = []
    own: list[bool] = []
    for line in dump(program).rstrip("\n").split("\n"):
        spans = _SPANS.search(line)
        first = _FIRST_LINE.search(spans["spans"]) if spans and "!" not in spans["spans"] else None
        lines.append(line[: spans.start()] if spans else line)
        origins.append(int(first[1]) if first else None)
        own.append(own[-1] if line.startswith(" ") else bool(_OWN.match(line)) and " default" not in line)
    return Output(program, "text", tuple(lines), tuple(origins), tuple(own))


def _shown(output: Output) -> Output:
    """The part to show beside the policy: only the lines that come from the policy."""
    kept = [at for at, own in enumerate(output.own) if own]
    lines = tuple(output.lines[at] for at in kept)
    return replace(output, lines=lines, origins=tuple(output.origins[at] for at in kept))


def _c(program: Program, text: list[str]) -> Output:
    lines, origins, own = read_c(program.path, text)
    return Output(program, "c", tuple(lines), tuple(origins), tuple(own))


def read_c(policy: str, text: list[str]) -> tuple[list[str], list[int | None], list[bool]]:
    """The lines without their `#line`s; for each its line of the policy, if any, and whether it is for the policy at
    all.

    From a `#line` on, a compiler counts, and the emitter relies on that.  A number that is reached by counting is taken
    only if the line is a statement, no `#line` has this number, and the line before has a number, too.
    """
    marks = [_LINE.fullmatch(line.strip()) for line in text]
    ours = {int(m["line"]) for m in marks if m and Path(m["path"]).name == Path(policy).name}
    lines: list[str] = []
    origins: list[int | None] = []
    own: list[bool] = []
    origin: int | None = None
    exact = False
    for line, mark in zip(text, marks, strict=True):
        if mark:
            origin = int(mark["line"]) if Path(mark["path"]).name == Path(policy).name else None
            exact = True
            continue
        statement = not line.lstrip().startswith("}")
        counted = statement and bool(origins) and origins[-1] is not None and origin not in ours
        lines.append(line)
        own.append(origin is not None)
        origins.append(origin if exact or counted else None)
        origin = None if origin is None else origin + 1
        exact = False
    return lines, origins, own


def _python(program: Program, text: list[str]) -> Output:
    functions = {
        f.name: f.span.line for f in (*program.functions, *program.handlers) if f.span.path == program.path
    }
    origins: list[int | None] = []
    for line in text:
        name = re.match(r"\s*def (\w+)\(", line)
        origins.append(functions.get(name[1]) if name else None)
    return Output(program, "python", tuple(text), tuple(origins), (True,) * len(text))


def pairs(first: int, last: int, origins: Sequence[int | None]) -> list[tuple[int | None, int | None]]:
    """Which line of the policy (from `first` to `last`) stands beside which line of the output (from 0)."""
    stops = [(first, 0)]
    for at, origin in enumerate(origins):
        if origin is not None and stops[-1][0] < origin <= last:
            stops.append((origin, at))
    stops.append((last + 1, len(origins)))
    rows: list[tuple[int | None, int | None]] = []
    for (line, at), (next_line, next_at) in pairwise(stops):
        rows += zip_longest(range(line, next_line), range(at, next_at))
    return rows


def _extent(program: Program, source: str) -> tuple[int, int]:
    """First and last line of the policy's class."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and node.name == program.name:
            return node.lineno, node.end_lineno or node.lineno
    raise AssertionError(f"{program.path} has no class {program.name}")


def _colored(text: str, language: str, lines: int) -> list[Text]:
    """The lines of a text with their colours; never fewer than `lines`."""
    from rich.syntax import Syntax
    from rich.text import Text

    syntax = Syntax(text, language, theme="ansi_dark", background_color="default")
    colored = list(syntax.highlight(text).split("\n", allow_blank=True))
    return colored + [Text()] * (lines - len(colored))


def _print_columns(file: File, outputs: list[Output]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, force_terminal=True)
    for output in map(_shown, outputs):
        source = file.sources[output.program.path]
        left = _colored(source, "python", source.count("\n") + 1)
        right = _colored("\n".join(output.lines), output.language, len(output.lines))
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(justify="right", style="dim", no_wrap=True)
        table.add_column(ratio=4, overflow="fold")
        table.add_column(style="dim", no_wrap=True)
        table.add_column(ratio=5, overflow="fold")
        for line, at in pairs(*_extent(output.program, source), output.origins):
            table.add_row(
                str(line) if line else "",
                left[line - 1] if line else Text(),
                "│",
                right[at] if at is not None else Text(),
            )
        console.print(table)
