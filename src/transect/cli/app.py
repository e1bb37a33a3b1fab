# SPDX-License-Identifier: Apache-2.0
"""Builds the tree of commands from the tables of `verbs.py`, as far as it is needed, and runs a command line."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from transect.base.diagnostic import closest
from transect.cli import help as pages
from transect.cli.exits import Exit
from transect.cli.failure import no_file, usage
from transect.cli.verbs import TRANSECT, Group, Verb

NAME = "transect"
SETTINGS = {"help_option_names": ["-h", "--help"]}

Mistake: type[Any] = typer.BadParameter.__bases__[0]
"""The base class of every mistake in a command line.  typer has the class, but does not export its name."""


def run(words: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    command = _group(NAME, TRANSECT)
    if f"_{NAME.upper()}_COMPLETE" in os.environ:  # the shell asks what may follow
        command.main(list(words), prog_name=NAME)
    try:
        with command.make_context(NAME, list(words)) as context:
            code = command.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    except Mistake as mistake:
        return _mistake(mistake)
    assert isinstance(code, int), f"`{words}` returned {code!r} instead of its exit code"
    return code


_MISSING = re.compile(r".*[Ff]ile '(.*)' does not exist\.", re.DOTALL)


def _mistake(mistake: Any) -> int:
    if missing := _MISSING.fullmatch(mistake.format_message()):
        return no_file(missing[1])
    message = " ".join(mistake.format_message().split()).removesuffix(".")
    message = message.replace(" Value error,", "").replace(": Input should", ": it should")
    path = mistake.ctx.command_path if mistake.ctx else NAME
    return usage(f"{message[:1].lower()}{message[1:]}", f"{path} --help")


class Verbs(pages.Group):
    """A group whose commands come from a table."""

    table: Group

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.table.verbs)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        match self.table.verbs.get(cmd_name):
            case Group() as group:
                return _group(cmd_name, group)
            case Verb() as verb:
                return _verb(cmd_name, verb)
            case None:
                return None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in self.table.verbs and not args[0].startswith("-"):
            close = closest(args[0], self.table.verbs)
            ctx.fail(f"no such command `{args[0]}`" + (f"; did you mean `{close}`?" if close else ""))
        return super().resolve_command(ctx, args)

    def headings(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, entry in self.table.verbs.items():
            found.setdefault(entry.heading, []).append(name)
        return found


def _verb(name: str, verb: Verb) -> Any:
    function = getattr(importlib.import_module(f"transect.cli.{verb.module}"), verb.function)
    if verb.stratum:
        function = function(verb.stratum)
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command(name, cls=pages.Command, context_settings=SETTINGS | dict(verb.settings))(function)
    return typer.main.get_command(alone)


def _group(name: str, group: Group) -> Any:
    whole = group is TRANSECT
    app = typer.Typer(
        cls=Verbs,
        add_completion=whole,
        rich_markup_mode=None,
        context_settings=SETTINGS,
        help=group.help,
        invoke_without_command=True,
    )
    app.callback()(_alone_with_version if whole else _alone)
    command: Any = typer.main.get_command(app)
    command.name = name
    command.table = group
    return command


def _alone(context: typer.Context) -> int:
    """What a group's name does without a verb: show the help."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        return Exit.USAGE
    return Exit.DONE


def _alone_with_version(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show which transect this is.")] = False,
) -> int:
    if version:
        from transect import __version__

        print(f"{NAME} {__version__}")
        raise typer.Exit(Exit.DONE)
    return _alone(context)
