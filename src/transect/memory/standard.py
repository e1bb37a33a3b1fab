# SPDX-License-Identifier: Apache-2.0
"""The probes of a scan: those that come with transect, by name or all together, and those in files."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from transect.base.diagnostic import Diagnostics
from transect.core.frontend import compile_file
from transect.core.ir import Program

FOLDER = Path(__file__).parent / "probes"
BY_NAME = ("rdmi.py", "values.py")  # files whose probes run only when they are named


class Refused(Exception):
    """A file with errors; it holds the diagnostics and the texts they point into."""

    def __init__(self, diagnostics: Diagnostics, sources: dict[str, str]) -> None:
        super().__init__("the probe has errors")
        self.diagnostics = diagnostics
        self.sources = sources


class UnknownProbe(Exception):
    """A word that is neither a file nor the name of a probe; the text lists the names."""


def standard() -> dict[str, Program]:
    """The probes that come with transect, by name."""
    return {p.name: p for path in _files() for p in _own(path)}


def named(name: str) -> Program:
    """One of the probes that come with transect, without reading the other files.  Raises `UnknownProbe`."""
    for path in _files():
        if f"class {name}(" in path.read_text():
            for program in _own(path):
                if program.name == name:
                    return program
    raise UnknownProbe(f"no probe `{name}`; there is {', '.join(standard())}, or give a file")


def _files() -> Sequence[Path]:
    return sorted(FOLDER.glob("[a-z]*.py"))


@cache
def _own(path: Path) -> Sequence[Program]:
    """The probes of a file of transect's own, which does not change while we run."""
    return of_file(path)


def of_file(path: Path) -> Sequence[Program]:
    """The probes of a file.  Raises `Refused`."""
    compiled = compile_file(path)
    if compiled.diagnostics.failed:
        raise Refused(compiled.diagnostics, compiled.sources)
    return [p for p in compiled.programs if p.stratum == "memory"]


def chosen(words: Sequence[str]) -> list[Program]:
    """The probes named by the words of a command line; without any, all of transect's own.

    Raises `Refused`, `UnknownProbe`.
    """
    if not words:
        return [p for p in standard().values() if Path(p.path).name not in BY_NAME]
    found: list[Program] = []
    for word in words:
        if not word.endswith(".py"):
            found.append(named(word))
            continue
        programs = of_file(Path(word))
        if not programs:
            raise UnknownProbe(f"there is no probe in {word}")
        found += programs
    return found
