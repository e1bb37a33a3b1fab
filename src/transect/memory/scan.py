# SPDX-License-Identifier: Apache-2.0
"""Running probes: rounds, confirmation, verdicts.

A finding counts when it is said again after the kernel has gone on (`confirmation.py`): two views of one thing disagree
for innocent reasons in about one of fifty rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Protocol

from transect.base.traced import Traced
from transect.core import ir
from transect.core.interp import Instance
from transect.core.ir import FieldKind
from transect.core.types import SeqType, ViewType
from transect.lang.tape import LiveTape, Tape
from transect.linux.errors import KernelDataError
from transect.memory import confirmation, questions
from transect.memory.confirmation import Confirmation, distinct, progress_of
from transect.memory.findings import Result, Said, Scan, Verdict
from transect.memory.layout import Layout
from transect.memory.machine import Machine
from transect.memory.roots import layouts_of_roots
from transect.memory.views import Views

ROUNDS = 6  # at most, until two rounds agree; a probe without is called unstable


@dataclass
class Prepared:
    """A probe bound to a machine: everything that it names has been found."""

    runs_as: ClassVar = "the interpreter"
    program: ir.Program
    instance: Instance
    views: Views
    functions: Mapping[str, Callable[..., Any]]
    answers: questions.Answers
    said: list[Said] = field(default_factory=list)
    shown: list[Said] = field(default_factory=list)

    @property
    def given(self) -> dict[str, Any]:
        """The values of the program's `given()` fields."""
        fields = self.program.state
        return {f.name: self.instance.state[f.name] for f in fields if f.kind is FieldKind.GIVEN}

    def begin(self, machine: Machine) -> str:
        """A round begins.  Returns why it cannot go on; "" if it can."""
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


def prepare(program: ir.Program, machine: Machine, answers: questions.Answers) -> Prepared:
    """Raises `KernelDataError` which names what this kernel does not have."""
    views = Views(program, machine)
    functions: dict[str, Callable[..., Any]] = {"trace": partial(Traced().say, program.name)}
    made = Prepared(program, Instance(program), views, functions, answers)
    roots = layouts_of_roots()
    for declared in program.intrinsics:
        name = declared.name
        if name in ("memory.Probe.report", "memory.Probe.caught"):
            functions[name] = _saying(made.said, name == "memory.Probe.caught")
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


def _saying(into: list[Said], caught: bool = False) -> Callable[..., None]:
    def say(what: str, *rest: Any) -> None:
        into.append(Said(what, tuple(zip(rest[::2], rest[1::2], strict=True)), caught))

    return say


def _root(views: Views, found: Layout, declared: ir.IntrinsicDecl) -> Callable[[], Any]:
    assert isinstance(declared.returns, SeqType), f"{declared.name} is no walk"
    walk = views.walk(found, None, declared.returns)
    return lambda: walk(views.machine, 0)


class Rounds(Protocol):
    """A probe bound to a machine: `Prepared`, or the same compiled to C."""

    runs_as: ClassVar[str]

    def round(self, machine: Machine, tape: Tape | None = None) -> tuple[tuple[Said, ...], tuple[Said, ...]]:
        """What one round reports and shows.  Raises `KernelDataError`."""
        ...


Engine = Callable[[Machine, Sequence[Prepared]], Mapping[str, Rounds]]
"""How bound probes are run: their rounds, by name."""


class Recorder(Protocol):
    """Records rounds, so that they can be run again."""

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
    """Run every probe in turn, and again those that reported something.  What is recorded runs in the interpreter."""
    answers = questions.Answers(machine)
    bound: list[Prepared | Result] = []
    for program in programs:
        try:
            bound.append(prepare(program, machine, answers))
        except KernelDataError as error:
            bound.append(_unbound(program, str(error)))
    runs = engine(machine, [b for b in bound if isinstance(b, Prepared)]) if engine is not None else {}
    progress = progress_of(machine)
    looks = {
        b.program.name: _Look(
            machine, b, runs.get(b.program.name, b), rounds, recorder, Confirmation(progress)
        )
        for b in bound
        if isinstance(b, Prepared)
    }
    _look(list(looks.values()))
    results = tuple(b if isinstance(b, Result) else looks[b.program.name].result() for b in bound)
    return Scan(machine.name, machine.known.release, machine.known.anchored, results)


def _unbound(program: ir.Program, problem: str) -> Result:
    line = program.handlers[0].span.line
    return Result(program.name, program.path, Verdict.UNCHECKED, line=line, problem=problem)


def probe(
    machine: Machine,
    program: ir.Program,
    answers: questions.Answers,
    rounds: int = ROUNDS,
    recorder: Recorder | None = None,
) -> Result:
    """Run one probe until what it says is confirmed."""
    try:
        prepared = prepare(program, machine, answers)
    except KernelDataError as error:
        return _unbound(program, str(error))
    look = _Look(machine, prepared, prepared, rounds, recorder, Confirmation(progress_of(machine)))
    _look([look])
    return look.result()


def _look(looks: Sequence[_Look]) -> None:
    """Run rounds of all probes until each has its verdict.  They wait together for the kernel to go on."""
    left, waited = list(looks), False
    while left:
        for look in left:
            look.turn(waited)
        left = [look for look in left if look.verdict is None]
        if left:
            problem = _gone_on([look.heard for look in left])
            waited = not problem
            for look in left if problem else ():
                look.give_up(problem)


def _gone_on(heard: Sequence[Confirmation]) -> str:
    """Wait until the kernel has gone on.  Returns why it has not; "" when it has."""
    since = max((m for h in heard if (m := h.waits) is not None), key=lambda m: m.at)
    try:
        return "" if confirmation.wait(heard[0].progress, since) else confirmation.STANDS_STILL
    except KernelDataError as error:
        return str(error)


@dataclass
class _Look:
    """One probe of a scan."""

    machine: Machine
    prepared: Prepared
    runs: Rounds
    most: int  # rounds
    recorder: Recorder | None
    heard: Confirmation
    verdict: Verdict | None = None
    problem: str = ""
    rounds: int = 0
    reads: int = 0
    seconds: float = 0.0
    said: Sequence[Said] = ()
    shown: tuple[Said, ...] = ()
    findings: Sequence[Said] = ()

    def turn(self, waited: bool) -> None:
        """Run rounds until there is a verdict, or until the kernel must go on first.  `waited`: it has just done so."""
        while self.verdict is None:
            began, reads = time.perf_counter(), self.machine.counts.reads
            self._round(waited)
            self.seconds += time.perf_counter() - began
            self.reads += self.machine.counts.reads - reads
            waited = False
            if self.heard.waits is not None and all(s in self.findings for s in self.said if s.caught):
                return

    def _round(self, waited: bool) -> None:
        self.rounds += 1
        last = self.rounds == self.most
        try:
            self.heard.begin()
            recorder = self.recorder
            said, self.shown = (
                recorder.round(self.prepared, self.machine) if recorder else self.runs.round(self.machine)
            )
            self.findings = self.heard.said(said)
        except KernelDataError as error:
            self.problem, self.said, self.findings = str(error), (), ()
            self.heard.lost()
            self.verdict = Verdict.UNCHECKED if last else None
            return
        self.said, self.problem = said, ""
        if not said:
            self.verdict = Verdict.CLEAN
        elif self.findings and (waited or last or self.heard.waits is None):
            self.verdict = Verdict.FOUND
        elif last:
            self.verdict, self.problem = Verdict.UNSTABLE, "no two rounds agreed"

    def give_up(self, problem: str) -> None:
        """The kernel does not go on: what is not confirmed by now stays unconfirmed."""
        self.verdict = Verdict.FOUND if self.findings else Verdict.UNCONFIRMED
        self.problem = "" if self.findings else problem

    def result(self) -> Result:
        """The probe's result."""
        assert self.verdict is not None, "it goes on"
        program, keys = self.prepared.program, {s.key for s in self.findings}
        return Result(
            program.name,
            program.path,
            self.verdict,
            findings=tuple(self.findings),
            shown=self.shown,
            unstable=tuple(s for s in distinct(self.said) if s.key not in keys),
            problem=self.problem,
            rounds=self.rounds,
            reads=self.reads,
            seconds=self.seconds,
            line=program.handlers[0].span.line,
        )
