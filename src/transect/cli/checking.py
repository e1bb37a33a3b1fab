# SPDX-License-Identifier: Apache-2.0
"""What `transect check` does.  Imports nothing but the standard library, and the compiler when there is a policy."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from transect.base.bounded import first
from transect.base.counted import counted
from transect.base.diagnostic import Diagnostics, Severity
from transect.cli.exits import Exit
from transect.cli.policies import STDIN, Found, declares_chain, declares_stack, find

if TYPE_CHECKING:
    from transect.core.frontend import Compiled
    from transect.core.ir import Program

STDIN_NAME = "<stdin>"
PLURAL = {"policy": "policies"}


class Format(StrEnum):
    """How diagnostics are printed."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"
    GITHUB = "github"


def usual_form(words: Sequence[str]) -> tuple[list[str], Format] | None:
    """The request, if it has nothing but paths and a whole `--format`; None leaves it to the general parser."""
    paths: list[str] = []
    chosen = Format.TEXT
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if name == "--format":
            given = value if equals else next(rest, "")
            if given not in list(Format):
                return None
            chosen = Format(given)
        elif word.startswith("-") and word != STDIN:
            return None
        else:
            paths.append(word)
    return (paths, chosen) if paths else None


def check(paths: Sequence[str], form: Format) -> int:
    """Print the diagnostics of all policies that the paths stand for."""
    found = find(paths)
    if found.missing:
        from transect.cli.failure import usage

        return usage(f"no such file or folder: {', '.join(found.missing)}")
    result = Checked(found)
    print_result(result, form)
    return Exit.NO if result.diagnostics.failed else Exit.DONE


class Checked:
    """Diagnostics and counts of one run."""

    def __init__(self, found: Found) -> None:
        self.diagnostics = Diagnostics()
        self.sources: dict[str, str] = {}
        self.files = 0
        self.policies = 0
        self.chains = 0
        self.configurations = 0
        self.stacks = 0
        self.others = found.others
        for path in found.policies:
            self._file(path)
        for path in found.configurations:
            self._configuration(path)
        if found.stdin:
            self._stdin()

    def _file(self, path: Path) -> None:
        from transect.core.frontend import compile_file

        compiled = compile_file(path)
        self._take(compiled)
        text = compiled.sources.get(str(path), "")
        if declares_chain(text):
            self._chain(path)
        if declares_stack(text):
            self._stack(path)

    def _chain(self, path: Path) -> None:
        """A chain with its elements, and with its service as far as files describe it: only `run` asks the service."""
        from transect.rpc.chain.file import read_edges
        from transect.rpc.chain.fitting import known

        read = read_edges(path)
        for chain in read.chains:
            known(chain, read.diagnostics)
        self.chains += max(1, len(read.chains))
        self._report(read.diagnostics, read.sources)

    def _stack(self, path: Path) -> None:
        """A stack with all files that its parts name."""
        from transect.stack.file import read_stack

        read = read_stack(path)
        self.stacks += 1
        self._report(read.diagnostics, read.sources)

    def _configuration(self, path: Path) -> None:
        from transect.llm.config_check import check_file

        diagnostics, sources = check_file(path)
        self.files += 1
        self.configurations += 1
        self._report(diagnostics, sources)

    def _stdin(self) -> None:
        from transect.core.frontend import compile_data
        from transect.core.frontend.source import MAX_BYTES

        self._take(compile_data(first(sys.stdin.buffer, MAX_BYTES), STDIN_NAME))

    def _take(self, compiled: Compiled) -> None:
        self.files += 1
        self.policies += len(compiled.programs)
        self._report(compiled.diagnostics, compiled.sources)
        for program in compiled.programs:
            if program.base == "rpc.Element":
                self._element(program)
            elif program.base == "cpu.Scheduler":
                self._scheduler(program)

    def _scheduler(self, program: Program) -> None:
        from transect.cpu.check import check as check_scheduler

        found = Diagnostics()
        for diagnostic in check_scheduler(program):
            found.add(diagnostic)
        self._report(found, {})

    def _element(self, program: Program) -> None:
        from transect.rpc.chain.rules import check_element

        found = Diagnostics()
        check_element(program, found)
        self._report(found, {})

    def _report(self, diagnostics: Diagnostics, sources: dict[str, str]) -> None:
        self.sources |= sources
        for diagnostic in diagnostics:  # once, even if two policies import the file
            self.diagnostics.add(diagnostic)


def print_result(result: Checked, form: Format) -> None:
    match form:
        case Format.TEXT:
            _print_text(result)
        case Format.JSON:
            from transect.base.formats import to_json

            print(to_json(result.diagnostics))
        case Format.SARIF:
            from transect import __version__
            from transect.base.formats import to_sarif
            from transect.errors import titles

            print(to_sarif(result.diagnostics, version=__version__, titles=titles()))
        case Format.GITHUB:
            from transect.base.formats import to_github

            if text := to_github(result.diagnostics):
                print(text)


def _print_text(result: Checked) -> None:
    if len(result.diagnostics):
        from transect.base.render import render_text

        print(render_text(result.diagnostics, result.sources, color=in_color()), end="\n\n")
    print(summary(result))


def in_color() -> bool:
    """Whether standard output is a terminal that wants colour."""
    if os.environ.get("FORCE_COLOR"):
        return True
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def summary(result: Checked) -> str:
    """The last line of the text form."""
    errors = sum(d.is_error for d in result.diagnostics)
    warnings = sum(d.severity is Severity.WARNING for d in result.diagnostics)
    left_out = f"; {counted(result.others, 'file')} without a policy" if result.others else ""
    if not result.files:
        return f"nothing to check: no policy found{left_out}"
    also = f", {counted(warnings, 'warning')}" if warnings else ""
    if errors:
        return f"{counted(errors, 'error')}{also}; `transect explain {_first(result)}` tells more{left_out}"
    kinds = {
        "policy": result.policies,
        "chain": result.chains,
        "configuration": result.configurations,
        "stack": result.stacks,
    }
    found = [counted(number, kind, PLURAL.get(kind, "")) for kind, number in kinds.items() if number]
    found = found or [counted(0, "policy", PLURAL["policy"])]
    return f"{', '.join(found)} in {counted(result.files, 'file')}, no errors{also}{left_out}"


def _first(result: Checked) -> str:
    return next(d.code for d in result.diagnostics if d.is_error)
