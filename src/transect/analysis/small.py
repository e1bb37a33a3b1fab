# SPDX-License-Identifier: Apache-2.0
"""What makes a counter-example easy to find and to read: one time, small numbers, parameters as declared.  These are
conditions on the inputs of a question; a model without them is as correct, but not as clear.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from transect.analysis import fold
from transect.analysis.allowance import seconds_left
from transect.analysis.points import at_points
from transect.analysis.terms import FALSE, Op, Sort, Term, integer, number, var, walk
from transect.analysis.values import Unsupported, Value, build, constant, leaves
from transect.analysis.world import World
from transect.core import ir
from transect.core.ir import FieldKind, Program
from transect.core.types import ArrayType, DurationType, FloatType, InstantType, IntType, TableType, Type

NOW = 1_000_000_000  # ns
LATER = 5 * NOW
MUCH_LATER = 20 * NOW
SMALL = 100
FLOATS = (0.0, 1.0, 20.0)
LETTERS = 8
SIZES = (8, 1_000, 2_000_000)  # bytes of a message
SHARES = (0.0, 0.5, 0.75)


def small(
    programs: Iterable[tuple[str, Program]],
    question: Iterable[Term],
    *,
    params: bool = True,
    texts: bool = True,
) -> list[Term]:
    """For the inputs of a question about programs whose state goes by a name: every time is the same, numbers are
    small, `texts` short; `params`: as they are declared."""
    types: dict[str, Type] = {}
    declared: dict[str, Term] = {}
    for name, program in programs:
        for f in program.state:
            types |= dict(_leaf_types(f, f"{name}.{f.name}"))
        declared |= parameters(name, program) if params else {}
    question = list(question)
    every = list(walk(*question))
    asked = [t for t in every if t.op in (Op.VAR, Op.FUNCTION, Op.LENGTH)]
    wanted = [t for t in asked if texts or t.sort is not Sort.TEXT]
    chosen = {t: c for t in wanted if (c := _choices(t, types, declared))}
    held = [fold.either(*(fold.equal(t, c) for c in values)) for t, values in chosen.items()]
    near = [c for t in wanted if t not in chosen for c in _condition(t, types)]
    return [*held, *near, *(c for c in at_points(question, chosen) if c is not FALSE)]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One way to ask a question."""

    exact: bool  # operators are taken as they are
    more: Sequence[Term]  # which inputs are tried; none: any
    seconds: float  # of the processor


def attempts(
    programs: Iterable[tuple[str, Program]], question: Iterable[Term], world: World, limit: float
) -> Iterator[Attempt]:
    """Attempts from the clearest inputs to any.  Each gets an equal share of the time that is left."""
    near = small(programs, [*question, *world.assumptions])
    inputs = [*([*near, *likely] for likely in world.likely()), ()]
    ways = [(exact, more) for exact in (False, True) for more in inputs]
    for done, (exact, more) in enumerate(ways):
        yield Attempt(exact, more, seconds_left(limit) / (len(ways) - done))


def parameters(name: str, program: Program) -> dict[str, Term]:
    """Parameters as they are declared, by the names of the inputs, in a state that goes by this name."""
    found: dict[str, Term] = {}
    for f in program.state:
        if f.kind is FieldKind.PARAM:
            found |= dict(_defaults(f, f"{name}.{f.name}"))
    return found


def _choices(term: Term, types: dict[str, Type], declared: dict[str, Term]) -> tuple[Term, ...]:
    """The few values to which an input is restricted; none if it is not."""
    name = str(term.data)
    if term.op is Op.LENGTH:
        whole = str(term.args[0].data).endswith(" bytes")
        return tuple(map(integer, SIZES)) if whole else ()
    if name in declared:
        return (declared[name],)
    if name.endswith(" now"):  # the same for all, but that later RPCs may come much later
        later = (integer(MUCH_LATER),) if " r1 " not in f" {name}" else ()
        return (integer(NOW), *later)
    if isinstance(types.get(name), InstantType):
        return (integer(NOW), integer(LATER))
    if isinstance(types.get(name), FloatType):
        return tuple(map(number, FLOATS))
    return tuple(map(number, SHARES)) if name.endswith(" rand") else ()


def _condition(term: Term, types: dict[str, Type]) -> Iterator[Term]:
    name = str(term.data)
    if term.op is Op.LENGTH:
        return
    if name.endswith(" draw"):
        yield fold.less(term, integer(SMALL), signed=False)
    elif term.sort is Sort.TEXT and not name.endswith((" bytes", " method")):
        yield fold.fits(term, LETTERS)
    elif isinstance(types.get(name), IntType | DurationType) and term.sort is Sort.INT:
        yield fold.at_most(integer(0), term)
        yield fold.at_most(term, integer(SMALL))


def _leaf_types(f: ir.StateField, name: str) -> Iterator[tuple[str, Type]]:
    match f.type:
        case TableType(value=value):
            t: Type = value
        case ArrayType(item=item):
            t = item
        case _:
            t = f.type
    found: dict[str, Type] = {}

    def note(path: str, leaf: Type, sort: Sort) -> Term:
        found[name + path] = leaf
        return integer(0) if sort is Sort.INT else var("any", sort)

    try:
        build(t, note)
    except Unsupported:
        return
    yield from found.items()


def _defaults(f: ir.StateField, name: str) -> Iterator[tuple[str, Term]]:
    if isinstance(f.default, ir.Const):
        value: Value = constant(f.type, f.default.value)
        yield from ((name + path, term) for path, term in leaves(value))
