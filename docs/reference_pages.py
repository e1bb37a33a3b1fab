# SPDX-License-Identifier: Apache-2.0
"""Writes the reference: the command line from its own help, the language from its signatures and docstrings, what
running policies answer from the schema of their answers."""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import itertools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import transect.lang
from transect.cli.app import run
from transect.cli.verbs import TRANSECT, Group
from transect.lang.state import Options

LICENCE = "<!-- SPDX-License-Identifier: Apache-2.0 -->"
WIDTH = "88"  # columns of the help
SOURCES = Path(transect.lang.__file__).parents[1]
# What each stratum has in `details`, by its title: the modules that declare it, the most general table last.
DETAILS = {
    "rpc": ("rpc/chain/times.py", "rpc/chain/status.py", "rpc/grpcio/turns_host.py"),
    "llm": ("llm/host.py",),
    "cpu": ("cpu/run.py",),
    "memory": ("memory/watch.py",),
    "stack": ("stack/host.py",),
}


def write(folder: Path) -> None:
    """`command-line.md`, `lang.md` and `answers.md`; a page that would not change is left alone."""
    folder.mkdir(exist_ok=True)
    pages = ("command-line.md", command_line()), ("lang.md", language()), ("answers.md", answers())
    for name, lines in pages:
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


def answers() -> Iterator[str]:
    """Each table that `status`, `set`, `record` and `upgrade` answer with, its keys, and what they mean."""
    yield from (LICENCE, "# What running policies answer", "")
    yield from (
        "`transect STRATUM status --json` prints the first table below. The other verbs answer programs that ask over",
        "the control socket. `record` answers twice: at its begin, and at its end, when who asked closes",
        "the connection (for writing at least). Every stratum answers with the same keys; what only one has stands in",
        "`details`. Keys with a `?` are there when there is something to say. Text shows `counts` and",
        "`details` among the others.",
        "",
    )
    tables = _tables("control/answers.py")
    for name in (
        "Status",
        "Policy",
        "Reading",
        "Share",
        "Changed",
        "Started",
        "Stopped",
        "Upgraded",
        "Identity",
    ):
        yield from _table(name, "", tables)
    for stratum, files in DETAILS.items():
        own = {name: table for file in files for name, table in _tables(file).items()}
        inherited = {base.id for table in own.values() for base in table.bases if isinstance(base, ast.Name)}
        for name in reversed([name for name in own if name not in inherited]):
            yield from _table(name, f"{stratum}: ", own)


def _tables(file: str) -> dict[str, ast.ClassDef]:
    """The classes of a module that declare a table."""
    classes = [
        node for node in ast.parse((SOURCES / file).read_text()).body if isinstance(node, ast.ClassDef)
    ]
    found: dict[str, ast.ClassDef] = {}
    for node in classes:
        if any(isinstance(base, ast.Name) and base.id in {"TypedDict", *found} for base in node.bases):
            found[node.name] = node
    return found


def _table(name: str, of: str, tables: Mapping[str, ast.ClassDef]) -> Iterator[str]:
    yield from (f"## {of}`{name}`", "", ast.get_docstring(tables[name]) or "", "")
    yield from ("| key | type | |", "|---|---|---|")
    yield from (f"| `{key}` | {kind} | {note} |" for key, kind, note in _keys(tables[name], tables))
    yield ""


def _keys(node: ast.ClassDef, tables: Mapping[str, ast.ClassDef]) -> Iterator[tuple[str, str, str]]:
    """Key, type and note, those of its bases first."""
    total = all(keyword.arg != "total" for keyword in node.keywords)
    for base in node.bases:
        assert isinstance(base, ast.Name), ast.dump(base)
        if base.id in tables:
            yield from _keys(tables[base.id], tables)
    for statement, after in itertools.zip_longest(node.body, node.body[1:]):
        match statement:
            case ast.AnnAssign(
                target=ast.Name(id=key),
                annotation=ast.Subscript(value=ast.Name(id="NotRequired"), slice=annotation),
            ):
                yield f"{key}?", f"`{_said(annotation)}`", _text(after)
            case ast.AnnAssign(target=ast.Name(id=key), annotation=annotation):
                yield key + "?" * (not total), f"`{_said(annotation)}`", _text(after)


def _text(node: ast.stmt | None) -> str:
    match node:
        case ast.Expr(value=ast.Constant(value=str(note))):
            return inspect.cleandoc(note)
        case _:
            return ""


def _said(annotation: ast.expr) -> str:
    """A type as JSON has it."""
    return ast.unparse(annotation).replace("None", "null").replace(" | ", " or ").replace("Mapping[", "dict[")
