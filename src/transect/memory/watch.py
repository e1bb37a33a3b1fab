# SPDX-License-Identifier: Apache-2.0
"""Watching a target: rounds without end, in random order and with random gaps, so that nothing can hide in step with
them.

A finding is reported once, when it is confirmed (`confirmation.py`), and again when it is gone.  It is also reported if
a probe cannot look, or if its target stands still while something waits to be confirmed: silence means that the last
rounds were clean.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from transect.base.unavailable import Unavailable
from transect.control.answers import Policy, Reading, Told
from transect.control.host import NOTHING_BEFORE, Outcome, Trailer, check_return
from transect.control.operating import policy
from transect.control.params import Param
from transect.control.protocol import Refused
from transect.control.readings import readings
from transect.control.stopping import Stop
from transect.core.codec import CodecError
from transect.core.ir import Program
from transect.core.schema import schema
from transect.core.upgrade import Refused as NotKept
from transect.core.upgrade import compare, given_back, migration, upgrade
from transect.linux.errors import KernelDataError
from transect.memory.confirmation import STANDS_STILL, Confirmation, progress_of
from transect.memory.findings import Key, Said, printable
from transect.memory.machine import Machine
from transect.memory.questions import Answers
from transect.memory.record import LogRecorder
from transect.memory.replay import notes_of
from transect.memory.scan import Engine, Prepared, Rounds, prepare
from transect.memory.standard import Refused as BadFile
from transect.memory.standard import of_file


@dataclass(frozen=True)
class Event:
    """Something to tell."""

    kind: str  # found, gone, unchecked, checked
    probe: str
    what: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    time: float = 0.0  # seconds since 1970

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "time": round(self.time, 3),
            "event": self.kind,
            "probe": self.probe,
            "what": self.what,
            "evidence": {name: printable(value) for name, value in self.evidence.items()},
        }


@dataclass
class Watched:
    """A probe under way."""

    prepared: Prepared
    runs: Rounds
    heard: Confirmation
    before: set[Key] = field(default_factory=set)  # what the last round said
    found: dict[Key, Said] = field(default_factory=dict)  # what has been told
    problem: str = ""
    rounds: int = 0
    unchecked: int = 0  # rounds that could not look
    seconds: float = 0.0

    @property
    def program(self) -> Program:
        return self.prepared.program


class Details(TypedDict):
    """`details` of `transect memory status`."""

    target: str
    kernel: str
    """The target's release."""
    anchored: bool
    """Whether symbols and types come from the kernel's package."""


class Watch:
    """A target that is watched; also its `control.host.Host`."""

    def __init__(
        self,
        machine: Machine,
        programs: Sequence[Program],
        tell: Callable[[Event], None],
        *,
        every_s: float = 1.0,
        rates: Mapping[str, float] | None = None,
        draw: random.Random | None = None,
        engine: Engine | None = None,
    ) -> None:
        """`every_s`: seconds between two rounds of a probe, on average; `rates`: of single probes, by name.

        `engine` runs rounds in place of the interpreter, but for those that are recorded.  Raises `KernelDataError`.
        """
        self.machine = machine
        self.tell = tell
        self.every_s = every_s
        self.rates = dict(rates or {})
        self.engine = engine
        self.version = 1
        self._before: list[Program] = []  # the probes before the last upgrade
        self._draw = draw or random.Random()
        self._answers = Answers(machine)
        self._progress = progress_of(machine)
        self._lock = threading.RLock()  # a round is atomic: upgrades and records come between rounds
        self._recorder: tuple[LogRecorder, Path] | None = None
        self._due: dict[str, float] = {}  # when the next round of each probe comes
        self.probes = self._bound([prepare(p, machine, self._answers) for p in programs])

    def _bound(self, prepared: Sequence[Prepared]) -> dict[str, Watched]:
        runs = self.engine(self.machine, prepared) if self.engine is not None else {}
        return {
            p.program.name: Watched(p, runs.get(p.program.name, p), Confirmation(self._progress))
            for p in prepared
        }

    # ------------------------------------------------------------ rounds

    def run(self, stop: Stop, rounds: int | None = None) -> None:
        """Until `stop` is set, or each probe has had so many rounds."""
        goal = self.goal(rounds)
        while not stop.is_set() and (left := self.left(goal)):
            name, wait = self.next_of(left)
            if wait <= 0 or not stop.wait(wait):
                self.round(name)

    def goal(self, rounds: int | None) -> Mapping[str, int] | None:
        """How many rounds each probe will have had after so many more; None: there is no end."""
        return None if rounds is None else {name: w.rounds + rounds for name, w in self.probes.items()}

    def left(self, goal: Mapping[str, int] | None) -> list[str]:
        """Probes which have not had theirs."""
        return [n for n, w in list(self.probes.items()) if goal is None or w.rounds < goal.get(n, 0)]

    def next_of(self, names: Sequence[str]) -> tuple[str, float]:
        """The probe whose turn is next, and in how many seconds it comes.

        Gaps are drawn around each probe's own rate, and so is the first: no order can be learnt.
        """
        now = time.monotonic()
        for name in names:
            if name not in self._due:
                self._due[name] = now + self._gap(name) * self._draw.random()
        name = min(names, key=lambda n: (self._due[n], self._draw.random()))
        return name, self._due[name] - now

    def _gap(self, name: str) -> float:
        return self.rates.get(name, self.every_s)

    def round(self, name: str) -> None:
        """One round of a probe."""
        with self._lock:
            watched = self.probes.get(name)
            if watched is None:
                return  # an upgrade took it away
            began = time.perf_counter()
            try:
                watched.heard.begin()
                said = self._once(watched)
                confirmed = watched.heard.said(said)
            except KernelDataError as error:
                self._blind(watched, str(error))
            else:
                self._seen(watched, {s.key for s in said}, confirmed)
            watched.rounds += 1
            watched.seconds += time.perf_counter() - began
            self._due[name] = time.monotonic() + self._gap(name) * self._draw.uniform(0.5, 1.5)

    def _once(self, watched: Watched) -> tuple[Said, ...]:
        if self._recorder is not None:
            return self._recorder[0].round(watched.prepared, self.machine)[0]
        return watched.runs.round(self.machine)[0]

    def _blind(self, watched: Watched, problem: str) -> None:
        watched.unchecked += 1
        self._problem(watched, problem)
        watched.heard.lost()
        watched.before = set()

    def _problem(self, watched: Watched, problem: str) -> None:
        if watched.problem != problem:
            watched.problem = problem
            self._say(
                *(("unchecked", watched, problem) if problem else ("checked", watched, "it can look again"))
            )

    def _seen(self, watched: Watched, said: set[Key], confirmed: Sequence[Said]) -> None:
        self._problem(watched, STANDS_STILL if watched.heard.waits_in_vain else "")
        for what in confirmed:
            if what.key not in watched.found:
                watched.found[what.key] = what
                self._say("found", watched, what.what, dict(what.evidence))
        gone = [k for k in watched.found if k not in said and k not in watched.before]
        for key in gone:
            what = watched.found.pop(key)
            self._say("gone", watched, what.what, dict(what.evidence))
        watched.before = said

    def _say(self, kind: str, watched: Watched, what: str, evidence: Mapping[str, Any] | None = None) -> None:
        self.tell(Event(kind, watched.program.name, what, evidence or {}, time.time()))

    @property
    def findings(self) -> int:
        """What is found now."""
        return sum(len(w.found) for w in self.probes.values())

    # ------------------------------------------------------------ the operator

    @property
    def programs(self) -> Sequence[Program]:
        return [watched.program for watched in self.probes.values()]

    @property
    def recording(self) -> Path | None:
        return None if self._recorder is None else self._recorder[1]

    def told(self) -> Told:
        with self._lock:
            known = self.machine.known
            details: Details = {
                "target": self.machine.name,
                "kernel": known.release,
                "anchored": known.anchored,
            }
            return {
                "carrier": "transect memory run",
                "settled": True,
                "policies": [self._row(w) for w in self.probes.values()],
                "state": self.held(),
                "counters": {"reads": self.machine.counts.reads},
                "details": details,
            }

    def held(self) -> list[Reading]:
        """What each probe holds."""
        with self._lock:
            prepared = [watched.prepared for watched in self.probes.values()]
            return readings([p.program for p in prepared], [p.instance.image() for p in prepared])

    def _row(self, watched: Watched) -> Policy:
        counts = {"rounds": watched.rounds, "found": len(watched.found), "unchecked": watched.unchecked}
        return policy(watched.program, watched.runs.runs_as, **counts)

    def change(self, param: Param, value: object) -> object:
        with self._lock:
            instance, name = list(self.probes.values())[param.element].prepared.instance, param.field.name
            before = instance.state[name]
            instance.set_param(name, value)
            return before

    def record(self, path: Path, name: str) -> int:
        with self._lock:
            try:
                self._recorder = LogRecorder(self.machine, path, notes_of(self.machine, None)), path
            except KernelDataError as wrong:
                raise Refused(f"what the target is cannot be read: {wrong}", "try again") from wrong
            return 0

    def end_record(self) -> Trailer:
        with self._lock:
            assert self._recorder is not None, "nothing is recorded"
            (recorder, _), self._recorder = self._recorder, None
            return recorder.close()

    def upgrade(self, path: Path, automatic_return: bool) -> Outcome:
        """Probes of the file take the place of those of their names, state kept; new ones come in.

        The way back is by hand: no trial of the new version could end by itself.
        """
        try:
            programs = of_file(path)
        except BadFile as wrong:
            first = next(iter(wrong.diagnostics))
            raise Refused(f"{path}: {first.message}", f"transect check {path}") from wrong
        if not programs:
            raise Refused(f"there is no probe in {path}", "give a file with probes")
        with self._lock:
            fields: dict[str, str] = {}
            for program in programs:
                fields |= self._fields(program, automatic_return)
            try:
                made = self._bound([self._prepared(p) for p in programs])
            except Unavailable as wrong:
                raise Refused(str(wrong), "the version that runs goes on") from wrong
            self._before = [watched.program for watched in self.probes.values()]
            for name, new in made.items():
                if (old := self.probes.get(name)) is not None:
                    new.heard, new.before, new.found = old.heard, old.before, old.found
                self.probes[name] = new
            self.version += 1
        return Outcome(fields)

    def go_back(self) -> Outcome:
        """Probes that came with the upgrade go, and those that it replaced are back."""
        with self._lock:
            before, self._before = self._before, []
            if not before:
                raise Refused(*NOTHING_BEFORE)
            fields: dict[str, str] = {}
            changed = [p for p in before if p is not self.probes[p.name].program]
            made = self._bound([self._given_back(p) for p in changed])
            for name, new in made.items():
                old = self.probes[name]
                new.heard, new.before, new.found = old.heard, old.before, old.found
                fields |= compare(schema(old.program), schema(new.program)).of(name)
                self.probes[name] = new
            for name in self.probes.keys() - {p.name for p in before}:
                del self.probes[name]
                fields[name] = "dropped"
            self.version += 1
        return Outcome(fields)

    def _given_back(self, program: Program) -> Prepared:
        """The version before with the state of the one that runs.  Raises `Refused`."""
        now = self.probes[program.name].prepared
        try:
            prepared = prepare(program, self.machine, self._answers)
            prepared.instance.load(given_back(now.instance.image(), now.program, schema(program)))
        except (KernelDataError, NotKept, CodecError) as wrong:
            raise Refused(f"{program.name}: {wrong}", "the version that runs goes on") from wrong
        return prepared

    def _fields(self, program: Program, automatic_return: bool) -> dict[str, str]:
        """What becomes of each field of a probe's state.  Raises `Refused` for what could not go back."""
        old = self.probes.get(program.name)
        if old is None:
            return {program.name: "new"}
        before = schema(old.program)
        if automatic_return:
            check_return(program.name, before, program)
        return compare(before, schema(program), migration(program) is not None).of(program.name)

    def _prepared(self, program: Program) -> Prepared:
        """The new version with the old one's state.  Raises `Refused`."""
        try:
            prepared = prepare(program, self.machine, self._answers)
            if (old := self.probes.get(program.name)) is not None:
                image = old.prepared.instance.image()
                prepared.instance.load(upgrade(image, schema(old.program), program))
        except (KernelDataError, NotKept, CodecError) as wrong:
            raise Refused(f"{program.name}: {wrong}", "the version that runs goes on") from wrong
        return prepared
