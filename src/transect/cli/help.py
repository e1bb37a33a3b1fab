# SPDX-License-Identifier: Apache-2.0
"""How `--help` looks: what the verb is for, usage, arguments, options, commands by heading, exit codes.

The same page in a terminal, a pipe and the documentation; a terminal gets bold headings.
"""

from __future__ import annotations

import inspect
import itertools
import shutil
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

from typer.core import TyperCommand, TyperGroup

from transect.cli.checking import in_color
from transect.cli.exits import MEANING

WIDEST = 100
INDENT = "  "

Entry = tuple[str, str]  # what is written, what it means


class Command(TyperCommand):
    """A verb."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.write("\n".join(_page(self, ctx)) + "\n")


class Group(TyperGroup):
    """A group of verbs."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.write("\n".join(_page(self, ctx)) + "\n")

    def headings(self) -> dict[str, list[str]]:
        """The commands by heading."""
        raise NotImplementedError


def _page(command: Any, ctx: Any) -> Iterator[str]:
    width = min(shutil.get_terminal_size().columns, WIDEST)
    first, _, rest = inspect.cleandoc(command.help or "").partition("\n\n")
    yield from _paragraph(first, width)
    yield ""
    yield _bold("Usage:") + f" {_usage(command, ctx)}"
    for paragraph in rest.split("\n\n") if rest else []:
        yield ""
        yield from _paragraph(paragraph, width)
    parameters = [p for p in command.get_params(ctx) if not getattr(p, "hidden", False)]
    arguments = [_argument(p) for p in parameters if p.param_type_name == "argument"]
    options = [_option(p) for p in parameters if p.param_type_name == "option"]
    commands = _commands(command, ctx)
    exits = [(str(code.value), meaning) for code, meaning in MEANING.items()]
    column = 2 + max(len(written) for written, _ in [*arguments, *options])
    names = 2 + max((len(name) for name, _ in itertools.chain(*commands.values())), default=0)
    yield from _section("Arguments", arguments, column, width)
    for heading, entries in commands.items():
        yield from _section(heading, entries, names, width)
    yield from _section("Options", options, column, width)
    yield from _section("Exit codes", exits, 5, width)


def _paragraph(text: str, width: int) -> list[str]:
    """The paragraph filled to the width; an indented one (an example) stays as it is."""
    if text.startswith(" "):
        return text.splitlines()
    return textwrap.wrap(" ".join(text.split()), width)


def _section(heading: str, entries: Iterable[Entry], column: int, width: int) -> Iterator[str]:
    entries = list(entries)
    if not entries:
        return
    yield ""
    yield _bold(f"{heading}:")
    for written, meaning in entries:
        first, *more = textwrap.wrap(meaning, width - column - len(INDENT)) or [""]
        yield (INDENT + written.ljust(column) + first).rstrip()
        yield from (INDENT + " " * column + line for line in more)


def _bold(text: str) -> str:
    return f"\033[1m{text}\033[0m" if in_color() else text


def _usage(command: Any, ctx: Any) -> str:
    arguments = [p for p in command.get_params(ctx) if p.param_type_name == "argument"]
    pieces = [_named(p) if p.required else f"[{_named(p)}]" for p in arguments]
    if isinstance(command, TyperGroup):
        pieces.append("COMMAND …")
    return " ".join([ctx.command_path, "[OPTIONS]", *pieces])


def _named(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    return f"{name}…" if argument.nargs == -1 else str(name)


def _argument(argument: Any) -> Entry:
    return _named(argument), argument.help or ""


def _option(option: Any) -> Entry:
    written = ", ".join(sorted([*option.opts, *option.secondary_opts], key=len))
    if not option.is_flag:
        written += f" {option.metavar or option.name.upper()}"
    default = getattr(option.default, "value", option.default)
    meaning = "Show this text." if "--help" in option.opts else option.help or ""
    if option.required:
        meaning += " [required]"
    elif option.show_default and not isinstance(default, bool) and default not in (None, "", []):
        meaning += f" [default: {default:g}]" if isinstance(default, float) else f" [default: {default}]"
    return written, meaning


def _commands(command: Any, ctx: Any) -> dict[str, list[Entry]]:
    if not isinstance(command, Group):
        return {}
    return {
        heading: [(name, _first_line(command.get_command(ctx, name))) for name in names]
        for heading, names in command.headings().items()
    }


def _first_line(command: Any) -> str:
    first = inspect.cleandoc(command.help or "").partition("\n\n")[0]
    return " ".join(first.split())
