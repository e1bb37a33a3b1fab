# SPDX-License-Identifier: Apache-2.0
"""`transect cpu run`: a scheduler in force in the foreground, here or in a machine of its own, until told to stop.

`status`, `set` and `upgrade` reach it by the control socket meanwhile.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypedDict

from transect.base.counted import counted
from transect.base.diagnostic import Diagnostics
from transect.base.render import render_text
from transect.base.weights import NoWeights
from transect.control.answers import Reading, Told
from transect.control.host import NOTHING_BEFORE, Outcome, Records
from transect.control.operating import Operated, policy
from transect.control.params import Param
from transect.control.protocol import Refused
from transect.control.readings import readings
from transect.control.stopping import Stop, stopping
from transect.core.frontend import compile_file
from transect.core.frontend.contracts import contracted
from transect.core.ir import Program
from transect.core.schema import schema
from transect.cpu.built import Built
from transect.cpu.check import check
from transect.cpu.explain import missing, paragraph, verifier
from transect.cpu.kernel import WATCH_S, Ended, Missing
from transect.cpu.state_words import image_of, value_of, words_of
from transect.cpu.tenants import Shares, takes
from transect.cpu.trial import Invalid, read_watched
from transect.cpu.version import Kept
from transect.linux.libbpf import BpfError
from transect.replay.log import Trailer

Say = Callable[[str], None]
UNKNOWN = 4  # the exit code when a log lacks calls
LOOK_S = 0.5  # between two looks whether the kernel has ended it


class Place(Protocol):
    """Where schedulers are put in force: `this_machine.Here`, `machine.Bench`."""

    @property
    def carrier(self) -> str: ...
    def force(self, program: Program, /) -> Built: ...
    def upgrade(
        self, program: Program, /, *, watch_s: float = ..., watching: Program | None = ...
    ) -> dict[str, str]: ...
    def status(self) -> dict[str, Any]: ...
    def set(self, field: str, words: Sequence[int], /) -> list[int]: ...
    def record(self, program: Program, sources: Mapping[str, str], path: Path, name: str, /) -> None: ...
    def end_record(self) -> Trailer: ...
    def check(self) -> None: ...
    def command(self, words: Sequence[str], write: Callable[[bytes], None], /) -> int: ...
    def close(self) -> None: ...


def read(path: Path) -> tuple[Program, dict[str, str]]:
    """The scheduler of a file, and the sources.  Raises `Invalid`."""
    compiled = compile_file(path)
    diagnostics = Diagnostics()
    for diagnostic in compiled.diagnostics:
        diagnostics.add(diagnostic)
    programs = [p for p in compiled.programs if p.base in ("cpu.Scheduler", "Arbiter")]
    for program in programs:
        for diagnostic in check(program):
            diagnostics.add(diagnostic)
    if diagnostics.failed:
        raise Invalid(render_text(diagnostics, compiled.sources))
    if len(programs) != 1:
        names = ", ".join(program.name for program in programs)
        several = f"several schedulers are in {path}, and one is put in force at a time: {names}"
        raise Invalid(several if names else f"there is no scheduler in {path}")
    return programs[0], compiled.sources


def run(
    path: Path,
    place: Callable[[], Place],
    *,
    command: Sequence[str] = (),
    name: str | None = None,
    log: Path | None = None,
    tenants: Path | None = None,
    say: Say = print,
    write: Callable[[bytes], None] = lambda _: None,
) -> int:
    """Run until the command ends, or until SIGINT or SIGTERM; return the command's exit code, else 0.

    `log`: record into it meanwhile.  `tenants`: a file of weights, which is followed.

    Raises `Invalid`, `Unavailable`, `Ended` (the kernel ended it; the text says why in the policy's terms), `Taken`,
    `Refused` (the log cannot be written).
    """
    program, sources = read(path)
    shares = None if tenants is None else _shares(program, tenants)
    where = place()
    try:
        with stopping() as stop:
            try:
                where.force(program)
            except BpfError as refused:
                raise Invalid(verifier(program, refused, sources)) from refused
            except Missing as lacking:
                raise Invalid(missing(program, lacking, sources)) from lacking
            except Ended as end:
                raise Ended(end.reason, paragraph(program, end), end.dump) from None
            host = CpuHost(program, sources, where, shares)
            host.share()
            following = contextlib.nullcontext() if shares is None else shares.followed(host.share)
            operated = Operated("cpu", name or path.stem, host)
            with following, operated.serve(numbered=name is None):
                say(f"{program.name} is in force; `transect cpu status {operated.name}` shows it")
                if log is not None:
                    operated.record_start(str(log))
                try:
                    code = where.command(command, write) if command else _wait(where, stop)
                    where.check()
                except Ended as end:
                    raise Ended(end.reason, paragraph(host.program, end), end.dump) from None
                finally:
                    dropped = _end_record(operated, say)
                return code or (UNKNOWN if dropped else 0)
    finally:
        where.close()


def _shares(program: Program, tenants: Path) -> Shares:
    """Raises `Invalid`."""
    if not takes(program):
        fields = "`tenants: Array[int] = array(64)` and `weights: Array[int] = array(64)`"
        raise Invalid(f"{program.name} has no lanes for tenants: it declares no {fields}")
    try:
        return Shares(tenants)
    except NoWeights as wrong:
        raise Invalid(f"{tenants} {wrong}") from wrong


def _end_record(operated: Operated, say: Say) -> int:
    """Close the log, if there is one; return how many calls it lacks.  Raises `Refused` if it is not whole."""
    if operated.host.recording is None:
        return 0
    ended = operated.record_stop()
    say(f"{counted(ended['records'], 'call')} recorded, {ended['dropped']} dropped")
    return ended["dropped"]


def _wait(where: Place, stop: Stop) -> int:
    while not stop.wait(LOOK_S):
        where.check()
    return 0


class Count(TypedDict):
    """How often an event that no checker can rule out happened at a line."""

    what: str
    path: str
    line: int
    count: int


class Details(TypedDict):
    """`details` of `transect cpu status`."""

    partial: bool
    """Whether only tasks that opted in come under the scheduler."""
    counts: list[Count]
    """Events that the checker cannot rule out."""
    longest_wait_s: float
    """The longest wait of a task that waits now."""
    applications: list[dict[str, int]]
    """Applications that are attached."""


class UpgradeDetails(TypedDict):
    """`details` of `transect cpu upgrade`."""

    conditions_looked_at: int
    """Contracts of the new version that were checked while it was watched."""


class CpuHost:
    """A scheduler in force, as `control.host.Host` wants it."""

    def __init__(
        self, program: Program, sources: Mapping[str, str], where: Place, shares: Shares | None = None
    ) -> None:
        """`shares`: weights of tenants, for policies with lanes for tenants."""
        self.shares = shares
        self._changing = threading.Lock()  # what is in force, and its weights
        self.program = program
        self.sources = sources
        self.recording: Path | None = None
        self.where = where
        self.version = 1
        self._before: tuple[Program, Mapping[str, str]] | None = None  # what ran before the last upgrade

    @property
    def programs(self) -> Sequence[Program]:
        return [self.program]

    def told(self) -> Told:
        found = self.where.status()
        details: Details = {
            "partial": found["partial"],
            "counts": [count for count in found["counts"] if count["count"]],
            "longest_wait_s": found["longest_wait_s"],
            "applications": found["applications"],
        }
        return {
            "carrier": self.where.carrier,
            "settled": True,
            "policies": [policy(self.program, "BPF")],
            "state": self._state(found["fields"]),
            "counters": {event: count for event, count in found["events"].items() if count},
            "details": details,
        }

    def share(self) -> None:
        """Give the policy in force the weights of tenants."""
        with self._changing:
            if self.shares is not None and takes(self.program):
                self.shares.give(self.where)

    def _state(self, fields: Mapping[str, Sequence[int]]) -> list[Reading]:
        """The state's readings; tables stay in the kernel, which does not count overflows."""
        rows = readings([self.program], [image_of(schema(self.program), fields, {})])
        found = [row for row in rows if row["field"] in fields]
        for row in found:
            row.pop("overflow", None)
        return found

    def change(self, param: Param, value: object) -> object:
        t = param.field.type
        return value_of(t, self.where.set(param.field.name, words_of(t, value)))

    def record(self, path: Path, name: str) -> int:
        if self.program.base != "cpu.Scheduler":
            raise Refused("a policy of the shape `Arbiter` is not recorded", "write it as a `Scheduler`")
        try:
            with self._changing:
                self.where.record(self.program, self.sources, path, name)
        except BpfError as refused:
            raise Refused(verifier(self.program, refused, dict(self.sources))) from None
        self.recording = path
        return 0

    def end_record(self) -> Trailer:
        self.recording = None
        with self._changing:
            return self.where.end_record()

    def upgrade(self, path: Path, automatic_return: bool) -> Outcome:
        if self.recording is not None:
            raise Records
        try:
            program, sources = read(path)
            watching = read_watched(path) if automatic_return else None
        except Invalid as invalid:
            raise Refused(str(invalid)) from invalid
        before = self.program, self.sources
        fields = self._put(program, sources, WATCH_S if automatic_return else 0.0, watching)
        self._before = before
        looked_at = 0 if watching is None else len(contracted(watching).contracts)
        details: UpgradeDetails = {"conditions_looked_at": looked_at}
        return Outcome(fields, details)

    def go_back(self) -> Outcome:
        """An upgrade to the version before, which is not watched: it has run already."""
        if self._before is None:
            raise Refused(*NOTHING_BEFORE)
        fields = self._put(*self._before, 0.0, None)
        self._before = None
        details: UpgradeDetails = {"conditions_looked_at": 0}
        return Outcome(fields, details)

    def _put(
        self, program: Program, sources: Mapping[str, str], watch_s: float, watching: Program | None
    ) -> Mapping[str, str]:
        """Put it in force; return what became of each field.  Raises `Refused`."""
        try:
            with self._changing:
                fields = self.where.upgrade(program, watch_s=watch_s, watching=watching)
        except Kept as kept:
            raise Refused(kept.why, kept.hint) from None
        except BpfError as refused:
            raise Refused(verifier(program, refused, dict(sources))) from None
        except Missing as lacking:
            raise Refused(missing(program, lacking, dict(sources))) from None
        except Ended as end:
            raise Refused(paragraph(self.program, end), "begin anew with `transect cpu run`") from None
        self.program, self.sources = program, sources
        self.share()
        self.version += 1
        return {f"{program.name}.{name}": what for name, what in fields.items()}
