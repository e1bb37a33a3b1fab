# SPDX-License-Identifier: Apache-2.0
"""Programs through every implementation: who disagrees with the definition, and on what, made as small as can be."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from tests.fuzz import machines, native
from tests.fuzz.calls import Call, calls
from tests.fuzz.choices import Choices, shrink
from tests.fuzz.coverage import kind, pairs
from tests.fuzz.generator import program as program_text
from tests.fuzz.machines import Observed, interpreted
from tests.fuzz.pools import PRELUDE
from transect.core.codec import decode_state, stored
from transect.core.frontend import compile_text
from transect.core.ir import Program
from transect.core.passes.flatten import flatten
from transect.core.types import ArrayType, TableType
from transect.core.values import is_struct, struct_fields
from transect.core.verify import verify
from transect.emit.py.build import build
from transect.emit.py.text import text_of

CALLS = 50  # of each program
VERSIONS = ("3.11", "3.13")


@dataclass(frozen=True)
class Case:
    """A random program, its calls, and what they show by the definition."""

    seed: int  # of the calls
    numbers: tuple[int, ...]  # the choices that make the text
    text: str
    program: Program
    calls: list[Call]
    expected: Observed

    @cached_property
    def emitted_text(self) -> str:
        return text_of(self.program, "0")


class Refused(Exception):
    """The front end did not take a generated program."""


def case(seed: int, numbers: Sequence[int] | None = None, count: int = CALLS) -> Case:
    """The program of a seed, or of given choices."""
    choices = Choices.of_seed(seed) if numbers is None else Choices.of_sequence(numbers)
    text = program_text(choices)
    compiled = compile_text(text)
    if not compiled.programs:
        raise Refused(
            "\n".join(f"{d.span.line}: {d.code} {d.message}" for d in compiled.diagnostics) + f"\n{text}"
        )
    made = compiled.programs[0]
    made = replace(
        made, handlers=tuple(h for h in made.handlers if not h.default)
    )  # they cost more than they show
    sequence = calls(made, seed, count)
    return Case(seed, tuple(choices.made), text, made, sequence, interpreted(made, sequence))


# ---------------------------------------------------------------- implementations

Machine = Callable[[Sequence[Case]], list[Observed]]


def _each(run: Callable[[Case], Observed]) -> Machine:
    def machine(cases: Sequence[Case]) -> list[Observed]:
        return [_guarded(run, one) for one in cases]

    return machine


def _guarded(run: Callable[[Case], Observed], one: Case) -> Observed:
    try:
        return run(one)
    except Exception as error:  # a finding, as much as another result
        return Observed((), "", f"{type(error).__name__}: {error}")


def _flat(one: Case) -> Observed:
    """Every fifth: whatever C shows has been flat, too."""
    if one.seed % 5:
        return one.expected
    flat = flatten(one.program)
    faults = [d.message for form in (one.program, flat) for d in verify(form, form.stage)]
    assert not faults, faults
    return interpreted(flat, one.calls)


def _python(one: Case) -> Observed:
    """As a class, and as text, in turn."""
    if one.seed % 2:
        return machines.emitted(build(one.program), one.calls)
    return machines.of_text(one.emitted_text, one.program.name, one.calls)


def _c(cases: Sequence[Case]) -> list[Observed]:
    """In every fifth hundred the programs also load an image: compiling that costs as much as two hooks."""
    loads = cases[0].seed // 100 % 5 == 0
    return native.in_c([(one.program, one.calls) for one in cases], loads=loads)


FLAT, PYTHON, C = _each(_flat), _each(_python), _c


def in_python(python: Path) -> Machine:
    """Emitted text, in the Python of that path."""

    def machine(cases: Sequence[Case]) -> list[Observed]:
        texts = [(one.emitted_text, one.program.name, one.calls) for one in cases]
        return machines.in_other_python(python, texts)

    return machine


def implementations(needs: Callable[[str], Path]) -> dict[str, Machine]:
    """Every implementation that is compared with the definition."""
    found: dict[str, Machine] = {"flat": FLAT, "python": PYTHON, "c": C}
    for version in VERSIONS:
        if version != f"{sys.version_info[0]}.{sys.version_info[1]}":
            found[f"python{version}"] = in_python(needs(f"python{version}"))
    needs("gcc")
    return found


# ---------------------------------------------------------------- comparing


SITUATIONS = frozenset(
    {f"{kind} overflows" for kind in ("table", "tally", "ordered", "lru", "array", "scalar")}
    | {
        "a full lru",
        "a tally's zero",
        "nan",
        "inf",
        "-inf",
        "-0.0",
        "least int",
        "greatest int",
        "greatest u64",
    }
)
"""What the programs must have met."""


def situations(one: Case) -> set[str]:
    """What a program met, by the state that it ended in."""
    found: set[str] = set()
    state = decode_state(one.program.state, bytes.fromhex(one.expected.image))
    for f in stored(one.program.state):
        slot = state[f.name]
        name = kind(f.type) if isinstance(f.type, TableType | ArrayType) else "scalar"
        found |= {f"{name} overflows"} if slot.overflow else set()
        values = _leaves(slot.value)
        found |= {
            repr(v)
            for v in values
            if isinstance(v, float) and (v != v or v in (math.inf, -math.inf) or repr(v) == "-0.0")
        }
        found |= {_EDGES[v] for v in values if isinstance(v, int) and v in _EDGES}
        if name == "lru" and isinstance(f.type, TableType) and len(slot.value) == f.type.capacity:
            found.add("a full lru")
        if name == "tally" and any(v == 0 for _, v in slot.value):
            found.add("a tally's zero")
    return found


_EDGES = {-(2**63): "least int", 2**63 - 1: "greatest int", 2**64 - 1: "greatest u64"}


def _leaves(value: object) -> list[object]:
    if isinstance(value, list | tuple):
        return [leaf for item in value for leaf in _leaves(item)]
    if is_struct(value):
        return _leaves(list(struct_fields(value).values()))
    return [value]


@dataclass
class Report:
    """What came of a number of programs."""

    programs: int = 0
    texts: set[str] = field(default_factory=set)  # what tells programs apart
    refused: list[str] = field(default_factory=list)
    different: list[tuple[int, str]] = field(default_factory=list)  # seed, implementation
    pairs: set[str] = field(default_factory=set)
    situations: set[str] = field(default_factory=set)

    def add(self, other: Report) -> None:
        self.programs += other.programs
        self.texts |= other.texts
        self.refused += other.refused
        self.different += other.different
        self.pairs |= other.pairs
        self.situations |= other.situations


def compare(seeds: Sequence[int], implementations: dict[str, Machine]) -> Report:
    """The programs of some seeds, through everything."""
    report = Report()
    cases = []
    for seed in seeds:
        try:
            cases.append(case(seed))
        except Refused as refused:
            report.refused.append(f"seed {seed}: {refused}")
    for one in cases:
        report.programs += 1
        report.texts.add(sha256(one.text.encode()).hexdigest())
        report.pairs |= pairs(one.program)
        report.situations |= situations(one)
    for name, machine in implementations.items():
        found = machine(cases)
        report.different += [
            (one.seed, name) for one, seen in zip(cases, found, strict=True) if seen != one.expected
        ]
    return report


# ---------------------------------------------------------------- explaining


def explain(seed: int, name: str, machine: Machine) -> str:
    """The smallest program found on which the implementation still disagrees, and where."""
    kept: list[Case] = []

    def fails(pack: list[list[int]]) -> int | None:
        tried = [
            (index, one) for index, numbers in enumerate(pack) if (one := _tried(seed, numbers)) is not None
        ]
        seen = machine([one for _, one in tried])
        for (index, one), got in zip(tried, seen, strict=True):
            if got != one.expected:
                kept.append(one)
                return index
        return None

    first = case(seed)
    shrink(first.numbers, fails)
    smallest = kept[-1] if kept else first
    return f"{name}, seed {seed}:\n{own_text(smallest)}\n{difference(smallest, machine([smallest])[0])}"


def _tried(seed: int, numbers: list[int]) -> Case | None:
    try:
        return case(seed, numbers)
    except Refused:
        return None


def own_text(one: Case) -> str:
    """The text without what all programs begin with."""
    return one.text.removeprefix(PRELUDE).strip()


def difference(one: Case, seen: Observed) -> str:
    """The first call that shows another thing, or the error."""
    if seen.error:
        return seen.error
    for index, (call, expected, got) in enumerate(
        zip(one.calls, one.expected.steps, seen.steps, strict=False)
    ):
        if expected != got:
            return f"call {index}, {call}:\n  by the definition {expected}\n  but {got}"
    return f"images: by the definition {one.expected.image}\n  but {seen.image}"
