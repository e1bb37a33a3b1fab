# SPDX-License-Identifier: Apache-2.0
"""From a policy's file to the files of a target, for the verbs that show or write them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from transect.base.bounded import head
from transect.base.diagnostic import Diagnostics
from transect.base.render import render_text
from transect.cli.checking import in_color
from transect.cli.policies import declares_chain, declares_stack
from transect.cli.targets import emitter
from transect.core.frontend import compile_file
from transect.core.ir import Program
from transect.core.text import dump
from transect.emit.artifact import Artifact

Pass = Callable[[Program], Program]  # its `__name__` is what the user calls it


class Refused(Exception):
    """The policy has errors, or the target cannot keep its meaning; the text is ready to be printed."""


@dataclass(frozen=True, slots=True)
class File:
    """A policy file without errors."""

    programs: tuple[Program, ...]
    sources: dict[str, str]

    def refuse(self, diagnostics: Diagnostics) -> None:
        """Raises `Refused` if there are errors."""
        if diagnostics.failed:
            raise Refused(render_text(diagnostics, self.sources, color=in_color()))


def read(path: Path) -> File:
    """The policies of a file; `Refused` when there are errors, or no policy."""
    compiled = compile_file(path)
    file = File(compiled.programs, compiled.sources)
    file.refuse(compiled.diagnostics)
    if not file.programs:
        raise Refused(f"transect: there is no policy in {path}{_of_a_chain(path, file)}")
    return file


def _of_a_chain(path: Path, file: File) -> str:
    """A hint: what to give instead of a chain file; "" if the file is no chain file."""
    if not is_chain(path):
        return ""
    beside = " or ".join(sorted(file.sources.keys() - {str(path)}))
    policies = f"one of its policies, {beside}" if beside else "one of its policies"
    whole = "as a whole it becomes a plugin: transect compile --to wasm"
    return f"\n  hint: it declares a chain: give the file of {policies}; {whole}"


def emit(file: File, target: str) -> Iterator[tuple[Program, Artifact]]:
    """What the target makes of each policy; `Refused` when it cannot keep the meaning of one."""
    found, diagnostics = emitter(target), Diagnostics()
    for program in file.programs:
        for diagnostic in found.refuses(program):
            diagnostics.add(diagnostic)
    file.refuse(diagnostics)
    for program in file.programs:
        yield program, found.emit(program)


def build(program: Program, target: str, folder: Path) -> list[Path]:
    """The files that the target's compiler makes of what `emit` wrote; none for a target without a compiler."""
    make = getattr(emitter(target), "build", None)
    if make is None:
        return []
    from transect.emit.toolchain import BuildError  # imports modules that only Unix has

    try:
        made: list[Path] = make(program, folder)
    except BuildError as wrong:
        raise AssertionError(f"clang refuses emitted C: {wrong}") from wrong
    return made


def is_chain(path: Path) -> bool:
    """Whether the file declares a chain; an unreadable one does not."""
    return declares_chain(_text(path))


def is_stack(path: Path) -> bool:
    """Whether the file declares a stack; an unreadable one does not."""
    return declares_stack(_text(path))


def _text(path: Path) -> str:
    try:
        return head(path).decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def passes(target: str) -> tuple[Pass, ...]:
    """The passes of the target between checking a program and writing its files, in order."""
    return tuple(emitter(target).passes)


def after(program: Program, steps: Iterable[Pass], wanted: Collection[str], last: str) -> Iterator[str]:
    """The text form after each wanted pass; nothing is done after `last`."""
    for step in steps:
        program = step(program)
        if step.__name__ in wanted or step.__name__ == last:
            yield f"; {program.name} after {step.__name__}\n{dump(program)}"
        if step.__name__ == last:
            return
