# SPDX-License-Identifier: Apache-2.0
"""Running probes: rounds, confirmation, verdicts.

A finding counts when two rounds in a row say the same: between two reads the kernel goes on, and two views of one
thing disagree for innocent reasons in about one of fifty rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from transect.core import ir
from transect.core.interp import Instance
from transect.core.ir import FieldKind
from transect.core.types import SeqType, ViewType
from transect.lang.tape import LiveTape, Tape
from transect.linux.errors import KernelDataError
from transect.memory import asked
from transect.memory.findings import Result, Said, Scan, Verdict
from transect.memory.layout import Layout
from transect.memory.machine import Machine
from transect.memory.roots import layouts_of_roots
from transect.memory.views import Views

ROUNDS = 6  # until what a probe says is stable; then it is called unstable


@dataclass
class Prepared:
    """A probe bound to a machine: everything that it names has been found."""

    program: ir.Program
    instance: Instance
    views: Views
    functions: Mapping[str, Callable[..., Any]]
    answers: asked.Answers
    said: list[Said] = field(default_factory=list)
    shown: list[Said] = field(default_factory=list)

    @property
    def given(self) -> dict[str, Any]:
        """What the program's `given()` fields are."""
        fields = self.program.state
        return {f.name: self.instance.state[f.name] for f in fields if f.kind is FieldKind.GIVEN}

    def begin(self, machine: Machine) -> str:
        """A round begins.  Returns why it cannot go on; "" when it can."""
        self.said.clear()
        self.shown.clear()
        self.answers.begin()
        try:
            machine.begin()
        except KernelDataError as error:
            return str(error)
        return ""

    def round(self, machine: Machine, tape: Tape | None = None) -> tuple[tuple[Said, ...], tuple[Said, ...]]:
        """What one round reports and shows.  Raises `KernelDataError`."""
        problem = self.begin(machine)
        if problem:
            raise KernelDataError(problem)
        self.instance.call("scan", [], tape=tape or LiveTape(), functions=self.functions)
        return tuple(self.said), tuple(self.shown)


def prepare(program: ir.Program, machine: Machine, answers: asked.Answers) -> Prepared:
    """Raises `KernelDataError` which names what this kernel does not have."""
    views = Views(program, machine)
    functions: dict[str, Callable[..., Any]] = {}
    made = Prepared(program, Instance(program), views, functions, answers)
    roots = layouts_of_roots()
    for declared in program.intrinsics:
        name = declared.name
        if name == "memory.Probe.report":
            functions[name] = _saying(made.said)
        elif name == "memory.Probe.show":
            functions[name] = _saying(made.shown)
        elif name in roots:
            functions[name] = _root(views, roots[name], declared)
        else:
            functions[name] = getattr(answers, name.rpartition(".")[2])
    for f in program.state:
        if f.kind is FieldKind.GIVEN and isinstance(f.type, ViewType):
            made.instance.state[f.name] = views.symbols(f.type.name)
    return made


def _saying(into: list[Said]) -> Callable[..., None]:
    def say(what: str, *rest: Any) -> None:
        into.append(Said(what, tuple(zip(rest[::2], rest[1::2], strict=True))))

    return say


def _root(views: Views, found: Layout, declared: ir.IntrinsicDecl) -> Callable[[], Any]:
    assert isinstance(declared.returns, SeqType), f"{declared.name} is no walk"
    walk = views.walk(found, None, declared.returns)
    return lambda: walk(views.machine, 0)


class Rounds(Protocol):
    """A probe bound to a machine: `Prepared`, or the same in C."""

    def round(self, machine: Machine, tape: Tape | None = None) -> tuple[tuple[Said, ...], tuple[Said, ...]]:
        """What one round reports and shows.  Raises `KernelDataError`."""
        ...


Engine = Callable[[Machine, Sequence[Prepared]], Mapping[str, Rounds]]
"""Who runs probes that are bound: their rounds, by name."""


class Recorder(Protocol):
    """Who keeps rounds, to run them again."""

    def round(self, prepared: Prepared, machine: Machine) -> tuple[tuple[Said, ...], tuple[Said, ...]]:
        """Run a round and keep it.  Raises what `Prepared.round` raises."""
        ...


def scan(
    machine: Machine,
    programs: Sequence[ir.Program],
    rounds: int = ROUNDS,
    recorder: Recorder | None = None,
    engine: Engine | None = None,
) -> Scan:
    """Every probe, one after the other; what is recorded runs in the interpreter."""
    answers = asked.Answers(machine)
    bound: list[Prepared | Result] = []
    for program in programs:
        try:
            bound.append(prepare(program, machine, answers))
        except KernelDataError as error:
            bound.append(_unbound(program, str(error)))
    runs = engine(machine, [b for b in bound if isinstance(b, Prepared)]) if engine is not None else {}
    results = tuple(
        _confirmed(machine, b, runs.get(b.program.name, b), rounds, recorder)
        if isinstance(b, Prepared)
        else b
        for b in bound
    )
    return Scan(machine.name, machine.known.release, machine.known.anchored, results)


def _unbound(program: ir.Program, problem: str) -> Result:
    line = program.handlers[0].span.line
    return Result(program.name, program.path, Verdict.UNCHECKED, line=line, problem=problem)


def probe(
    machine: Machine,
    program: ir.Program,
    answers: asked.Answers,
    rounds: int = ROUNDS,
    recorder: Recorder | None = None,
) -> Result:
    """One probe, until two rounds in a row agree about each finding."""
    try:
        prepared = prepare(program, machine, answers)
    except KernelDataError as error:
        return _unbound(program, str(error))
    return _confirmed(machine, prepared, prepared, rounds, recorder)


def _confirmed(
    machine: Machine, prepared: Prepared, runs: Rounds, rounds: int, recorder: Recorder | None
) -> Result:
    program = prepared.program
    began, reads = time.perf_counter(), machine.counts.reads

    def result(verdict: Verdict, number: int, **more: Any) -> Result:
        return Result(
            program.name,
            program.path,
            verdict,
            line=program.handlers[0].span.line,
            rounds=number,
            reads=machine.counts.reads - reads,
            seconds=time.perf_counter() - began,
            **more,
        )

    before: set[tuple[Any, ...]] = set()
    problem, number = "", 0
    said: tuple[Said, ...] = ()
    shown: tuple[Said, ...] = ()
    for number in range(1, rounds + 1):
        try:
            said, shown = recorder.round(prepared, machine) if recorder else runs.round(machine)
        except KernelDataError as error:
            problem, before = str(error), set()
            continue
        problem = ""
        if not said:
            return result(Verdict.CLEAN, number, shown=shown)
        confirmed = tuple(s for s in said if s.key in before)
        if confirmed:
            left = tuple(s for s in said if s.key not in before)
            return result(Verdict.FOUND, number, findings=confirmed, shown=shown, unstable=left)
        before = {s.key for s in said}
    if problem:
        return result(Verdict.UNCHECKED, number, shown=shown, problem=problem)
    return result(Verdict.UNSTABLE, number, shown=shown, unstable=said, problem="no two rounds agreed")
