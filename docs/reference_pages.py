# SPDX-License-Identifier: Apache-2.0
"""Writes the reference: the command line from its own help, the language from its signatures and docstrings."""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import os
from collections.abc import Iterator
from pathlib import Path

import transect.lang
from transect.cli.app import run
from transect.cli.verbs import TRANSECT, Group
from transect.lang.state import Options

LICENCE = "<!-- SPDX-License-Identifier: Apache-2.0 -->"
WIDTH = "88"  # columns of the help


def write(folder: Path) -> None:
    """`command-line.md` and `lang.md`; a page that would not change is left alone."""
    folder.mkdir(exist_ok=True)
    for name, lines in (("command-line.md", command_line()), ("lang.md", language())):
        page, text = folder / name, "\n".join(lines) + "\n"
        if not page.exists() or page.read_text() != text:
            page.write_text(text)


def command_line() -> Iterator[str]:
    """The help of every verb, as a terminal shows it, without the exit codes, which all have in common."""
    yield from (LICENCE, "# The command line", "", "What `transect … --help` says, in one place.", "")
    for words in ((), *_verbs(TRANSECT, ())):
        text, codes = _help(words)
        yield from (f"## `{' '.join(('transect', *words))}`", "", "```text", text, "```", "")
        if not words:
            yield from ("Every verb has the same exit codes:", "", "```text", codes, "```", "")


def _verbs(group: Group, before: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for name, verb in group.verbs.items():
        yield (*before, name)
        if isinstance(verb, Group):
            yield from _verbs(verb, (*before, name))


def _help(words: tuple[str, ...]) -> tuple[str, str]:
    """The text, and the exit codes below it."""
    said = io.StringIO()
    width, os.environ["COLUMNS"] = os.environ.get("COLUMNS"), WIDTH
    try:
        with contextlib.redirect_stdout(said):
            code = run([*words, "--help"])
    finally:
        del os.environ["COLUMNS"]
        if width is not None:
            os.environ["COLUMNS"] = width
    assert code == 0, f"`{' '.join(words)} --help` ends with {code}"
    text, _, codes = said.getvalue().partition("Exit codes:\n")
    return text.strip(), codes.rstrip()


def language() -> Iterator[str]:
    """Each name of `transect.lang`, with its signature and what it means."""
    yield from (LICENCE, "# The names of `transect.lang`", "")
    yield from ("What a policy imports, by name. [The language](../language.md) says what policies mean.", "")
    options = ", ".join(f"`{name}=`" for name in Options.__annotations__)
    yield from (
        f"`**options` of a field are {options}: how it lives, by whom it is shared, what is kept.",
        "",
    )
    notes = dict(_noted())
    for name in sorted(transect.lang.__all__, key=str.lower):
        thing = getattr(transect.lang, name)
        own = getattr(thing, "__module__", "").startswith("transect.")
        note = notes.get(name) or (inspect.getdoc(thing) if own else "")
        signature = str(inspect.signature(thing)).replace("'", "") if inspect.isfunction(thing) else ""
        yield from (f"## `{name}`", "")
        if signature:
            yield from ("```python", f"{name}{signature}", "```", "")
        yield from (note or f"`{thing.__module__}.{thing.__name__}`, as Python has it.", "")


def _noted() -> Iterator[tuple[str, str]]:
    """Names that are assigned in the package, with the text below the assignment, or below several in a row."""
    for file in sorted(Path(transect.lang.__file__).parent.glob("*.py")):
        row: list[str] = []
        last = 0
        for node in ast.parse(file.read_text()).body:
            if node.lineno != last + 1:
                row = []
            last = node.end_lineno or node.lineno
            match node:
                case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                    row.append(name)
                case ast.Expr(value=ast.Constant(value=str(note))):
                    yield from ((name, inspect.cleandoc(note)) for name in row)
                case _:
                    row = []
