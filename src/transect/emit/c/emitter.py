# SPDX-License-Identifier: Apache-2.0
"""A checked program to a C header and source: passes, lowering, printing.

`lower` gives the declarations, for carriers which build on them; `emit` the files, with the runtime's headers beside
them, so that `cc -c NAME.c` works in the folder.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

from transect.base.diagnostic import Diagnostic
from transect.core import ir
from transect.core.effects import Facts
from transect.core.ir import MIGRATIONS, Expr, Program
from transect.core.passes.flatten import flatten
from transect.core.passes.ordered_pick import heap_asked, ordered_pick
from transect.emit.artifact import Artifact, line_of
from transect.emit.c import functions, state, waiting
from transect.emit.c import tree as c
from transect.emit.c.printer import render
from transect.emit.c.unit import Unit, ViewLowering
from transect.emit.c.views import PlainViews

RUNTIME = (
    "transect.h",
    "codec.h",
    "call.h",
    "table.h",
    "growing.h",
    "ordered.h",
    "heap.h",
    "set.h",
    "stable.h",
)
# A policy may contain conditions that are always true.
QUIET = (c.Ignore("tautological-compare"), c.Ignore("type-limits"))


def statements(program: Program) -> Program:
    """Flat, with what C has no expression for as a `Let` or a loop."""
    facts = Facts(program)

    def hoist(e: Expr) -> bool:
        return isinstance(e, ir.LetIn | ir.Format) or heap_asked(e) is not None or facts.effectful(e)

    return flatten(program, hoist, loops=True)


def serving(program: Program) -> Program:
    """Without the handlers that run when one version takes over from another: core/upgrade.py runs those, on images."""
    if not program.old_state:
        return program
    handlers = tuple(h for h in program.handlers if h.name not in MIGRATIONS)
    return replace(program, handlers=handlers, old_state=())


PASSES = (serving, ordered_pick, statements)


def legal(program: Program) -> Program:
    """The program in the form that lowering takes."""
    for step in PASSES:
        program = step(program)
    return program


@dataclass(frozen=True, slots=True)
class Lowered:
    """A program in C, not yet printed.  A carrier may ask the unit for more (a reader of a type); whatever it asks for
    before printing is declared, too.
    """

    unit: Unit
    interface: tuple[c.Decl, ...]  # the state's structs, and the prototypes of what others call
    functions: tuple[c.Decl, ...]
    prototypes: dict[str, c.Function]  # of the handlers, by hook

    @property
    def header(self) -> tuple[c.Decl, ...]:
        """Types and prototypes."""
        return (*self.unit.header, *self.interface)

    @property
    def source(self) -> tuple[c.Decl, ...]:
        """Everything else."""
        return (*self.unit.source, *self.functions)


def lower(
    program: Program,
    *,
    views: ViewLowering | None = None,
    prefix: str | None = None,
    clients: int | None = None,
) -> Lowered:
    """The program's declarations.  `prefix` begins all its names (default: the policy's name).  Room for `clients`
    waiting clients is there at once (default: the size hint of its tables of clients); room for more is made as they
    come.
    """
    unit = Unit(legal(program), views or PlainViews(), prefix, clients)
    handlers = {h.name: functions.prototype(unit, h) for h in unit.program.handlers}
    structs = state.declare(unit)
    begin, set_, image = state.lifecycle(unit), state.setters(unit), [state.fill(unit), *state.images(unit)]
    adapter = waiting.adapter(unit) if unit.waits else []
    helpers = [
        d for f in functions.reachable(unit.program) for d in functions.definition(unit, f, static=True)
    ]
    bodies = [d for h in unit.program.handlers for d in functions.definition(unit, h, static=False)]
    public = [f for f in (*begin, *set_, *image, *adapter) if not f.prefix]
    interface = (*structs, *map(_declared, public), *handlers.values())
    return Lowered(unit, interface, (*begin, *set_, *adapter, *helpers, *bodies, *image), handlers)


def _declared(f: c.Function) -> c.Function:
    return c.Function(f.name, f.returns, f.params, None)


# ---------------------------------------------------------------- files


@cache
def runtime(*names: str) -> dict[str, bytes]:
    """Headers of the runtime by name."""
    folder = files("transect.emit.c") / "runtime"
    return {name: (folder / name).read_bytes() for name in names or RUNTIME}


def about(program: Program) -> list[c.Decl]:
    """What the head of an emitted file says."""
    where = f"{program.path}:{line_of(program)}"
    return [
        c.Comment(f"{program.name}, emitted by transect from {where}\nsource sha256 {program.source_hash}"),
    ]


def includes(*names: str) -> list[c.Decl]:
    return [c.Include(name) for name in names]


def header_file(lowered: Lowered, *, marks: bool = True) -> str:
    unit = lowered.unit
    inside = (*includes(*RUNTIME), *lowered.header)
    guard = c.Guard(f"TRANSECT_{unit.prefix.upper()}_H", inside)
    return render(f"{unit.prefix}.h", [*about(unit.program), guard], marks)


def source_file(lowered: Lowered, *, marks: bool = True) -> str:
    unit = lowered.unit
    declarations = [*about(unit.program), *includes(f"{unit.prefix}.h"), *QUIET, *lowered.source]
    return render(f"{unit.prefix}.c", declarations, marks)


def emit(program: Program, **options: Any) -> Artifact:
    """`NAME.h`, `NAME.c` and the runtime's headers.  Options as of `lower`."""
    lowered = lower(program, **options)
    prefix = lowered.unit.prefix
    own = {f"{prefix}.h": header_file(lowered).encode(), f"{prefix}.c": source_file(lowered).encode()}
    return Artifact(own | runtime())


def one_unit(lowered: Iterable[Lowered], *, marks: bool = False) -> list[c.Decl]:
    """The declarations of several programs, whose prefixes differ, for one file."""
    result: list[c.Decl] = [*includes(*RUNTIME), *QUIET]
    for each in lowered:
        result += [c.Comment(each.unit.program.name), *each.header, *each.source]
    return result


class CEmitter:
    """The target `c`."""

    passes = PASSES

    def refuses(self, program: Program) -> list[Diagnostic]:
        """C keeps every meaning of the language."""
        return []

    def emit(self, program: Program) -> Artifact:
        return emit(program)
