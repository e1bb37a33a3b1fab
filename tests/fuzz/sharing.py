# SPDX-License-Identifier: Apache-2.0
"""Many programs in one C file, where what several of them declare alike is compiled once.

A type, a table's instance or a whole state with its image has the same text in every program that needs it, but for
names; so what a name stands for is told apart by its declarations' text, with the names in it replaced by what those
stand for.  What gcc sees is what each program would give by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from transect.core.ir import Program
from transect.emit.artifact import Artifact
from transect.emit.c import Lowered, lower, one_unit
from transect.emit.c import tree as c
from transect.emit.c.driver import MAIN, wrappers
from transect.emit.c.emitter import includes, runtime
from transect.emit.c.printer import render

PREFIX = "pp"
NAME = re.compile(rf"\b{PREFIX}_\w+")
CLIENTS = 8  # who may wait at once


class Sharing:
    """Puts programs together."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.known: dict[str, str] = {}  # what a name stands for, its own name left out → its name

    def add(self, declarations: Iterable[c.Decl], policy: str) -> str:
        """Another program; gives what its policy is called."""
        program = _Sharer(self.known)
        declared = [(own, d, render("", [d], marks=False)) for d in declarations if (own := _name(d))]
        for own, d, text in declared:
            program.declare(own, text, prototype=_is_prototype(d))
        for own, d, _ in declared:
            if not _is_prototype(d):  # in the order of definitions, so that what is new comes before its uses
                program.name_of(own)
        for own, _, text in declared:
            name = program.name_of(own)
            if own in program.new:
                self.text.append(program.resolved(text, own, name))
        return program.name_of(policy)


class _Sharer:
    """One program on its way into the common file: its names, and which of them stand for something new."""

    def __init__(self, known: dict[str, str]) -> None:
        self.known = known
        self.new: set[str] = set()
        self._texts: dict[str, list[str]] = {}  # of each name: a prototype's only where there is no more
        self._prototypes: set[str] = set()
        self._names: dict[str, str] = {}

    def declare(self, own: str, text: str, *, prototype: bool) -> None:
        if own in self._prototypes:
            self._prototypes.discard(own)
            self._texts[own] = []
        elif prototype:
            self._prototypes.add(own)
        self._texts.setdefault(own, []).append(text)

    def name_of(self, own: str) -> str:
        """What it is called in the common file: the same for all programs that say the same with other names."""
        if own not in self._names:
            form = "\n".join(self.resolved(text, own, "@") for text in self._texts[own])
            if form not in self.known:
                self.known[form] = f"n{len(self.known)}_{own.removeprefix(PREFIX + '_')}"
                self.new.add(own)
            self._names[own] = self.known[form]
        return self._names[own]

    def resolved(self, text: str, own: str, name: str) -> str:
        """The text with the names of the common file."""
        return NAME.sub(lambda m: name if m[0] == own else self._reference(m[0]), text)

    def _reference(self, name: str) -> str:
        """A name that the program uses: one of its own, or something which a macro makes under such a name."""
        stem = name
        while stem not in self._texts:
            stem, bar, _ = stem.rpartition("_")
            assert bar, f"{name} is used but not declared"
        return self.name_of(stem) + name[len(stem) :]


def _is_prototype(declaration: c.Decl) -> bool:
    return isinstance(declaration, c.Function) and declaration.body is None


def _name(declaration: c.Decl) -> str | None:
    match declaration:
        case c.Struct(tag=name) | c.Function(name=name) | c.Var(name=name):
            return name
        case c.Macro(args=(c.Name(name), *_)):
            return name
        case c.Comment() | c.Include() | c.Ignore() | c.At() | c.Here():
            return None
        case _:
            raise AssertionError(f"not expected at the top of a file: {declaration}")


def _without_loading(declarations: Iterable[c.Decl]) -> Iterable[c.Decl]:
    refuse = c.Block((c.Return(c.Unary("-", c.ONE)),))
    for d in declarations:
        match d:
            case c.Function(name="pp_fill"):
                continue
            case c.Function(name="pp_load", body=c.Block()):
                yield replace(d, body=refuse)
            case _:
                yield d


def lowered_all(programs: Sequence[Program]) -> list[Lowered | str]:
    """Each program in C, or what its lowering raised."""
    return [_lowered(program) for program in programs]


def _lowered(program: Program) -> Lowered | str:
    try:
        return lower(program, prefix=PREFIX, clients=CLIENTS)
    except Exception as error:  # a finding, as much as another result
        return f"lowering: {type(error).__name__}: {error}"


def shared_driver(programs: Sequence[Lowered], *, loads: bool = True) -> Artifact:
    """As `driver`, for many programs at once; without `loads`, loading an image is left out."""
    sharing = Sharing()
    policies = []
    for lowered in programs:
        declared = [*wrappers(lowered)]  # first: it asks the unit for more
        declared = [*lowered.header, *lowered.source, *declared]
        policies.append(sharing.add(declared if loads else _without_loading(declared), f"{PREFIX}_policy"))
    head = render(MAIN, [*includes("driver.h"), *one_unit([])], marks=False)
    table = ", ".join(f"&{name}" for name in policies)
    main = (
        f"int main(void)\n{{\n    static const struct ts_policy *const policies[] = {{{table}}};\n"
        f"    return ts_drive(policies, {len(policies)});\n}}\n"
    )
    text = "\n".join([head, *sharing.text, main])
    return Artifact({MAIN: text.encode()} | runtime() | runtime("driver.h"))
