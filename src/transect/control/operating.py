# SPDX-License-Identifier: Apache-2.0
"""The verbs that an operator has, the same in every stratum."""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from transect.control import params
from transect.control.answers import Changed, Identity, Policy, Started, Status, Stopped, Upgraded
from transect.control.answers import Shadow as Shadowed
from transect.control.host import Host, Outcome, Records
from transect.control.protocol import Refused
from transect.control.server import UNLOCKED, Lasting, Server, Verb
from transect.control.shadow import Shadow
from transect.control.sockets import command
from transect.core.ir import Program
from transect.core.schema import schema

NATIVE = "machine code"
SHADOWED = ("rpc", "llm", "memory")  # strata whose calls can be decided beside the version in force


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
        self._shadow: Shadow | None = None
        self._changing = threading.RLock()

    def serve(self, more: Mapping[str, Verb] | None = None, *, numbered: bool = False) -> Server:
        """Be reachable under the name.  `more`: verbs of the stratum alone.

        `numbered`: when the name is taken, `NAME-2`, `NAME-3` … will do, and becomes the instance's.  Raises as
        `Server` does.
        """
        verbs = {**self.verbs(), **(more or {})}
        server = Server(
            self.stratum, self.name, {n: self._whole(n, v) for n, v in verbs.items()}, numbered=numbered
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
            "shadow": self.shadow,
            "shadow-stop": self.shadow_stop,
        }

    def _whole(self, name: str, verb: Verb) -> Verb:
        """The verb; nothing comes between the steps of one that changes something, and if a recording is in its way,
        the refusal says how to end it.
        """

        @functools.wraps(verb)
        def asked(**arguments: Any) -> Any:
            try:
                with contextlib.nullcontext() if name in UNLOCKED else self._changing:
                    return verb(**arguments)
            except Records as no:
                raise Records(self.end_of_recording) from no

        return asked

    @property
    def end_of_recording(self) -> str:
        """What to do to end a recording that is under way."""
        if self._shadowed:
            return f"`{command(self.stratum)} upgrade {self.name} --shadow --stop` ends the shadow, which needs one"
        return (
            self._end_of_recording
            or f"`{command(self.stratum)} record {self.name} --stop` ends the recording"
        )

    def status(self) -> Status:
        host, shadow = self.host, self._shadow
        recording = None if self._shadowed else host.recording
        told: Status = {
            "stratum": self.stratum,
            "name": self.name,
            "since": self.since,
            "version": host.version,
            **host.told(),
            "recording": None if recording is None else str(recording),
        }
        if shadow is not None:
            told["shadow"] = shadow.told()
        return told

    def set(self, param: str, value: str) -> Changed:
        """Give a parameter (`limit`, or `Acl.limit`) the value that the text says."""
        found = params.find(self.host.programs, param)
        after = found.parse(value)
        with self._without_shadow():
            if self.host.recording is not None:
                raise Records(self.end_of_recording)
            return found.changed(self.host.change(found, after), after)

    def recorded(self, path: str) -> Lasting:
        """Record as long as the caller is connected: nobody else would end the recording of a lost command."""
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
        if self._shadowed:
            raise Refused("a shadow decides beside it, which needs what is recorded", self.end_of_recording)
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
        path = None if self._shadowed else self.host.recording
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

    def shadow(self, path: str) -> Shadowed:
        """Let the policies of a file decide beside those in force, and change nothing."""
        if self.stratum not in SHADOWED:
            have = f"{', '.join(SHADOWED[:-1])} and {SHADOWED[-1]}"
            raise Refused(
                f"{self.stratum} has no shadows; {have} have", "`transect diff OLD NEW` compares them"
            )
        if self._shadow is not None:
            self._shadow.end()
            self._shadow = None
        if self.host.recording is not None:
            raise Records(self.end_of_recording)
        shadow = Shadow(self.host, self.name, Path(path), self._changing)
        shadow.begin()
        self._shadow = shadow
        return shadow.told()

    def shadow_stop(self) -> Shadowed:
        """End it."""
        if self._shadow is None:
            hint = f"begin with `{command(self.stratum)} upgrade FILE {self.name} --shadow`"
            raise Refused("no shadow decides beside it", hint)
        shadow, self._shadow = self._shadow, None
        return shadow.end()

    @property
    def _shadowed(self) -> bool:
        """Whether what is recorded is for a shadow."""
        return self._shadow is not None and self._shadow.records

    @contextlib.contextmanager
    def _without_shadow(self) -> Iterator[None]:
        """What changes goes on without it; then it begins anew from what is in force."""
        shadow = self._shadow
        if shadow is None:
            yield
            return
        shadow.pause()
        try:
            yield
        finally:
            if self._shadow is shadow:
                shadow.go_on()

    def go_back(self) -> Upgraded:
        """Put the version before the last upgrade in force again, state given back."""
        return self._put(self.host.go_back)

    def _put(self, put: Callable[[], Outcome]) -> Upgraded:
        number, old = self.host.version, _identities(self.host.programs)
        ended: Shadowed | None = None
        with self._without_shadow():
            outcome = put()
            if self._shadow is not None:
                shadow, self._shadow = self._shadow, None
                ended = shadow.end()
        new = _identities(self.host.programs)
        told: Upgraded = {
            "stratum": self.stratum,
            "name": self.name,
            "before": number,
            "version": self.host.version,
            "replaced": [one for one in old if one not in new],
            "policies": [one for one in new if one not in old],
            "fields": dict(outcome.fields),
            "details": outcome.details,
        }
        if ended is not None:
            told["shadow"] = ended
        return told


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
