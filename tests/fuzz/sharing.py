# SPDX-License-Identifier: Apache-2.0
"""Many programs in one C file, where what several of them declare alike is compiled once.

A type, a function of types alone or a table's instance has the same text in every program that needs it, but for names;
so declarations are told apart by their text, with the names in it replaced by what those stand for.  What gcc sees is
what each program would give by itself.
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
        self.text: dict[str, None] = {}  # in order, each once
        self.known: dict[str, str] = {}  # a declaration's text, its own name left out → its name
        self.count = 0

    def add(self, declarations: Iterable[c.Decl], policy: str) -> str:
        """Another program; gives what its policy is called."""
        names: dict[str, str] = {}
        for declaration in declarations:
            self._declare(declaration, names)
        return names[policy]

    def _declare(self, declaration: c.Decl, names: dict[str, str]) -> None:
        own = _name(declaration)
        text = render("", [declaration], marks=False)
        if own is None:
            return  # comments, includes
        form = NAME.sub(lambda m: "@" if m[0] == own else _resolved(m[0], names), text)
        if own in names:  # a definition after its prototype, or a macro that adds to another's
            self._emit(form.replace("@", names[own]))
            return
        shareable = isinstance(declaration, c.Struct | c.Macro) or (
            isinstance(declaration, c.Function) and declaration.prefix == "TS_INLINE"
        )
        if shareable and form in self.known:
            names[own] = self.known[form]
            return
        self.count += 1
        names[own] = f"n{self.count}_{own.removeprefix(PREFIX + '_')}"
        if shareable:
            self.known[form] = names[own]
        self._emit(form.replace("@", names[own]))

    def _emit(self, text: str) -> None:
        self.text.setdefault(text)


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


def _resolved(name: str, names: dict[str, str]) -> str:
    """A name of the program in the common file: its own, or that of something which a macro makes under a name."""
    stem = name
    while stem not in names:
        stem, bar, _ = stem.rpartition("_")
        assert bar, f"{name} is used before it is declared"
    return names[stem] + name[len(stem) :]


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
