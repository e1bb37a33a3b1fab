# SPDX-License-Identifier: Apache-2.0
"""The verbs that an operator has, the same in every stratum."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from transect.control import params
from transect.control.answers import Changed, Identity, Policy, Started, Status, Stopped, Upgraded
from transect.control.host import Host, Outcome, Records
from transect.control.protocol import Refused
from transect.control.server import Lasting, Server, Verb
from transect.control.sockets import command
from transect.core.ir import Program
from transect.core.schema import schema

NATIVE = "machine code"


class Operated:
    """An instance, and what it answers.  Each verb raises `Refused` for a no, `Unavailable` for what is missing."""

    def __init__(self, stratum: str, name: str, host: Host, *, end_of_recording: str = "") -> None:
        """`end_of_recording`: what to do to end one, where `record --stop` cannot."""
        self.stratum = stratum
        self.name = name
        self.host = host
        self.since = time.time()
        self._end_of_recording = end_of_recording
        self._recordings = 0  # begun so far

    def serve(self, more: Mapping[str, Verb] | None = None, *, numbered: bool = False) -> Server:
        """Be reachable under the name.  `more`: verbs of the stratum alone.

        `numbered`: when the name is taken, `NAME-2`, `NAME-3` … will do, and becomes the instance's.  Raises as
        `Server` does.
        """
        verbs = {**self.verbs(), **(more or {})}
        server = Server(
            self.stratum, self.name, {n: self._hinting(v) for n, v in verbs.items()}, numbered=numbered
        )
        self.name = server.name
        return server

    def verbs(self) -> dict[str, Verb]:
        """By name, for `Server`."""
        return {
            "status": self.status,
            "set": self.set,
            "record": self.recorded,
            "record-stop": self.record_stop,
            "upgrade": self.upgrade,
            "go-back": self.go_back,
        }

    def _hinting(self, verb: Verb) -> Verb:
        """Where a recording is in the way of what was asked, it is said how to end it."""

        @functools.wraps(verb)
        def asked(**arguments: Any) -> Any:
            try:
                return verb(**arguments)
            except Records as no:
                raise Records(self.end_of_recording) from no

        return asked

    @property
    def end_of_recording(self) -> str:
        """What to do to end a recording that is under way."""
        return (
            self._end_of_recording
            or f"`{command(self.stratum)} record {self.name} --stop` ends the recording"
        )

    def status(self) -> Status:
        host = self.host
        return {
            "stratum": self.stratum,
            "name": self.name,
            "since": self.since,
            "version": host.version,
            **host.told(),
            "recording": None if host.recording is None else str(host.recording),
        }

    def set(self, param: str, value: str) -> Changed:
        """Give a parameter (`limit`, or `Acl.limit`) the value that the text says."""
        found = params.find(self.host.programs, param)
        after = found.parse(value)
        if self.host.recording is not None:
            raise Records(self.end_of_recording)
        return found.changed(self.host.change(found, after), after)

    def recorded(self, path: str) -> Lasting:
        """Record while who asked is there: nobody else would end what a lost command has begun."""
        check_whole(path)
        started = self.record_start(path)
        number = self._recordings

        def goes_on() -> bool:
            return self._recordings == number and self.host.recording is not None

        def end() -> Stopped:
            if not goes_on():
                raise Refused(f"somebody else has ended the recording into {path}")
            return self.record_stop()

        return Lasting(started, goes_on, end)

    def record_start(self, path: str) -> Started:
        if self.host.recording is not None:
            raise Refused(f"it records already, into {self.host.recording}", self.end_of_recording)
        try:
            started: Started = {"path": path, "under_way": self.host.record(Path(path), self.name)}
        except FileExistsError:
            raise Refused(f"{path} is there already", "give a new name") from None
        except OSError as wrong:
            why = wrong.strerror or wrong
            raise Refused(f"{path} cannot be written: {why}", "give another place") from wrong
        self._recordings += 1
        return started

    def record_stop(self) -> Stopped:
        path = self.host.recording
        if path is None:
            hint = f"begin with `{command(self.stratum)} record {self.name} -o FILE`"
            raise Refused("nothing is recorded", hint)
        try:
            trailer = self.host.end_record()
        except OSError as wrong:
            why = wrong.strerror or wrong
            hint = "make room, and record anew; `transect replay` reads what it has"
            raise Refused(f"the log {path} is not whole: {why}", hint) from wrong
        return {"path": str(path), "records": trailer.records, "dropped": trailer.dropped}

    def upgrade(self, path: str, automatic_return: bool = True) -> Upgraded:
        """Put the policies of a file in the place of those that run, state kept."""
        check_whole(path)
        return self._put(lambda: self.host.upgrade(Path(path), automatic_return))

    def go_back(self) -> Upgraded:
        """Put the version before the last upgrade in force again, state given back."""
        return self._put(self.host.go_back)

    def _put(self, put: Callable[[], Outcome]) -> Upgraded:
        number, old = self.host.version, _identities(self.host.programs)
        outcome = put()
        new = _identities(self.host.programs)
        return {
            "stratum": self.stratum,
            "name": self.name,
            "before": number,
            "version": self.host.version,
            "replaced": [one for one in old if one not in new],
            "policies": [one for one in new if one not in old],
            "fields": dict(outcome.fields),
            "details": outcome.details,
        }


def check_whole(path: str) -> None:
    """Raises `Refused` for a path that means another place here than where who asks is."""
    if not Path(path).is_absolute():
        raise Refused(f"{path} is relative, and the instance runs in another folder", "give the whole path")


def policy(program: Program, runs_as: str = NATIVE, **counts: int) -> Policy:
    """The row of a policy that runs."""
    return {**_identity(program), "runs_as": runs_as, "counts": counts}


def _identities(programs: Sequence[Program]) -> list[Identity]:
    return [_identity(program) for program in programs]


def _identity(program: Program) -> Identity:
    return {
        "name": program.name,
        "version": program.source_hash[:12],
        "schema": schema(program).hash,
    }
