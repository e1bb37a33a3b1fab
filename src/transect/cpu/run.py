# SPDX-License-Identifier: Apache-2.0
"""`transect cpu run`: a scheduler in force in the foreground, here or in a machine of its own, until told to stop.

`status`, `set` and `upgrade` reach it by the control socket meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from transect.base.diagnostic import Diagnostics
from transect.base.render import render_text
from transect.control.host import verbs_of
from transect.control.params import find
from transect.control.protocol import Refused
from transect.control.server import Server
from transect.control.stopping import Stop, stopping
from transect.core.frontend import compile_file
from transect.core.frontend.contracts import contracted
from transect.core.ir import Program
from transect.cpu.built import Built
from transect.cpu.check import check
from transect.cpu.explain import missing, paragraph, verifier
from transect.cpu.kernel import WATCH_S, Ended, Missing
from transect.cpu.state_words import value_of, words_of
from transect.cpu.trial import Invalid, read_watched
from transect.cpu.version import Kept
from transect.linux.libbpf import BpfError
from transect.replay.log import Trailer

Say = Callable[[str], None]
UNKNOWN = 4  # the exit code when a log lacks calls
LOOK_S = 0.5  # how often we see whether the kernel has ended it


class Place(Protocol):
    """Where schedulers are in force: `here.Here`, `machine.Bench`."""

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
    say: Say = print,
    write: Callable[[bytes], None] = lambda _: None,
) -> int:
    """Until the command ends, or SIGINT, SIGTERM; the command's exit code, else 0.  `log`: record into it meanwhile.

    Raises `Invalid`, `Unavailable`, `Ended` (the kernel ended it; the text says why in the policy's terms), `Taken`,
    `Refused` (the log cannot be written).
    """
    program, sources = read(path)
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
            host = Running(path, program, sources, where)
            with Server("cpu", name or path.stem, verbs_of(host), numbered=name is None) as server:
                host.name = server.name
                say(f"{program.name} is in force; `transect cpu status {server.name}` shows it")
                if log is not None:
                    host.record_start(str(log))
                try:
                    code = where.command(command, write) if command else _wait(where, stop)
                    where.check()
                except Ended as end:
                    raise Ended(end.reason, paragraph(host.program, end), end.dump) from None
                finally:
                    dropped = _end_record(host, say)
                return code or (UNKNOWN if dropped else 0)
    finally:
        where.close()


def _end_record(host: Running, say: Say) -> int:
    """Close the log, if there is one; how many calls it lacks.  Raises `Refused` when it is not whole."""
    if host.log is None:
        return 0
    ended = host.record_stop()
    say(f"{ended['records']} calls recorded, {ended['dropped']} dropped")
    dropped: int = ended["dropped"]
    return dropped


def _wait(where: Place, stop: Stop) -> int:
    while not stop.wait(LOOK_S):
        where.check()
    return 0


class Running:
    """What the operator may ask of a scheduler in force."""

    def __init__(self, path: Path, program: Program, sources: Mapping[str, str], where: Place) -> None:
        self.name = path.stem
        self.path = path
        self.program = program
        self.sources = sources
        self.log: Path | None = None  # under way
        self.where = where
        self.since = time.time()
        self.upgrades = 0

    def status(self) -> Mapping[str, Any]:
        found = self.where.status()
        return {
            "name": self.name,
            "stratum": "cpu",
            "policies": [
                {
                    "name": self.program.name,
                    "version": self.program.source_hash[:12],
                    "schema": found["schema"],
                }
            ],
            "since": self.since,
            "upgrades": self.upgrades,
            "state": found["fields"],
            "partial": found["partial"],
            "counts": [count for count in found["counts"] if count["count"]],
            "longest_wait_s": found["longest_wait_s"],
            "applications": found["applications"],
            "events": {event: count for event, count in found["events"].items() if count},
            "recording": None if self.log is None else str(self.log),
        }

    def set(self, param: str, value: str) -> Mapping[str, Any]:
        found = find([self.program], param)
        after, t = found.parse(value), found.field.type
        before = self.where.set(found.field.name, words_of(t, after))
        return found.changed(value_of(t, before), after)

    def record_start(self, path: str) -> Mapping[str, Any]:
        if self.log is not None:
            raise Refused(f"it records already, into {self.log}", "stop that first")
        if self.program.base != "cpu.Scheduler":
            raise Refused("a policy of the shape `Arbiter` is not recorded", "write it as a `Scheduler`")
        try:
            self.where.record(self.program, self.sources, Path(path), self.name)
        except FileExistsError:
            raise Refused(f"{path} is there already", "give a new name") from None
        except OSError as wrong:
            raise Refused(f"{path} cannot be written: {wrong.strerror}", "give another place") from wrong
        except BpfError as refused:
            raise Refused(verifier(self.program, refused, dict(self.sources))) from None
        self.log = Path(path)
        return {"path": path}

    def record_stop(self) -> Mapping[str, Any]:
        if self.log is None:
            raise Refused("nothing is recorded", "begin with `transect cpu record -o FILE`")
        path, self.log = self.log, None
        try:
            trailer = self.where.end_record()
        except OSError as wrong:
            why = wrong.strerror or str(wrong)
            raise Refused(f"the log {path} is not whole: {why}", "make room, and record anew") from wrong
        return {"path": str(path), "records": trailer.records, "dropped": trailer.dropped}

    def upgrade(self, path: str, automatic_return: bool = True) -> Mapping[str, Any]:
        try:
            program, sources = read(Path(path))
            watching = read_watched(Path(path)) if automatic_return else None
        except Invalid as invalid:
            raise Refused(str(invalid)) from invalid
        try:
            watch_s = WATCH_S if automatic_return else 0.0
            fields = self.where.upgrade(program, watch_s=watch_s, watching=watching)
        except Kept as kept:
            raise Refused(kept.why, kept.hint) from None
        except BpfError as refused:
            raise Refused(verifier(program, refused, sources)) from None
        except Missing as lacking:
            raise Refused(missing(program, lacking, sources)) from None
        except Ended as end:
            raise Refused(paragraph(self.program, end), "begin anew with `transect cpu run`") from None
        self.program, self.path, self.sources = program, Path(path), sources
        self.upgrades += 1
        looked_at = 0 if watching is None else len(contracted(watching).contracts)
        return {"policy": program.name, "fields": fields, "conditions looked at": looked_at}
