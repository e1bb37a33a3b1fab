# SPDX-License-Identifier: Apache-2.0
"""A version that decides beside the one in force, on what truly comes, and is never in force.

What feeds it is a recording like any other, into a file that a process beside reads and gives back while it is written.
So whoever is served waits for the shadow as little as for a disk, and whatever becomes of it touches nobody.  Where it
lost calls, it begins anew from the state in force.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transect.base.unavailable import Unavailable
from transect.control.answers import Otherwise
from transect.control.answers import Shadow as Told
from transect.control.host import Host
from transect.control.protocol import Refused

END_S = 2.0  # for the process to read what has been recorded
READY_S = 25.0  # for the process to have understood the new version
WAIT_S = 1.0  # before it begins anew, and twice as long each time
LONGEST_WAIT_S = 60.0
SHOWN = 5
LONGEST = 1 << 20  # characters of a line of its process
PROCESS = "transect.cli.beside"  # by name: it knows the strata, which stand above


@dataclass
class _Term:
    """One recording, and the process that follows it."""

    folder: Path
    process: subprocess.Popen[str]
    ready: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)
    said: dict[str, Any] = field(default_factory=dict)  # the last line
    tally: dict[str, Any] = field(default_factory=dict)  # of the last line that had one

    def hear(self) -> None:
        """Every line, until the process has ended."""
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            while line := lines.readline(LONGEST):
                self._hear(line)
        self.process.wait()
        self.ready.set()
        self.over.set()

    def _hear(self, line: str) -> None:
        try:
            self.said = json.loads(line)
        except ValueError:
            self.said = {"state": "broken", "why": line.strip()}
        self.tally = self.said.get("tally") or self.tally
        self.ready.set()

    def end(self) -> None:
        """The log has ended: let it read what there is, for a while."""
        self.over.wait(END_S)
        assert self.process.stdin is not None
        self.process.stdin.close()
        if not self.over.wait(END_S):
            self.process.kill()
            self.over.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def outcome(self) -> tuple[str, str]:
        """What became of it, and why."""
        state = self.said.get("state", "")
        if state in ("", "ready", "told"):
            return "broken", f"its process has ended ({self.process.returncode})"
        return state, self.said["why"]


class Shadow:
    """As long as it is wanted."""

    def __init__(self, host: Host, name: str, file: Path, changing: threading.RLock) -> None:
        """`changing`: is held by whoever begins or ends what the host records."""
        self.file = file
        self.since = time.time()
        self.ended = ""
        self._host = host
        self._name = name
        self._changing = changing
        self._term: _Term | None = None
        self._begun = 0
        self._compared = self._otherwise = 0
        self._whom: Counter[str] = Counter()
        self._skipped: Counter[str] = Counter()
        self._first: list[Otherwise] = []

    # ------------------------------------------------------------ by the operator; `changing` is held

    def begin(self) -> None:
        """Until it decides.  Raises `Refused`, `Unavailable`, and the version in force goes on alone."""
        term = self._start()
        if not term.ready.wait(READY_S):
            self._stop()
            raise Refused("the shadow did not begin in time", "try again when the machine has less to do")
        if term.said.get("state") != "ready":
            self._stop()
            raise Refused(f"the new version cannot decide beside this one: {term.outcome[1]}")

    def pause(self) -> None:
        """Nothing is recorded for it until `go_on`."""
        self._stop()

    def go_on(self) -> None:
        """From the state that is in force now."""
        if not self.ended:
            self._anew()

    def end(self) -> Told:
        """What it has found."""
        self._stop()
        self.ended = self.ended or "it was ended"
        return self.told()

    @property
    def records(self) -> bool:
        """Whether the host records for it now."""
        return self._term is not None

    def told(self) -> Told:
        term = self._term
        now = {} if term is None else term.tally
        return {
            "file": str(self.file),
            "since": self.since,
            "compared": self._compared + now.get("compared", 0),
            "otherwise": self._otherwise + now.get("otherwise", 0),
            "whom": dict((self._whom + Counter(now.get("whom", {}))).most_common()),
            "first": [*self._first, *now.get("first", [])][:SHOWN],
            "skipped": dict((self._skipped + Counter(now.get("skipped", {}))).most_common()),
            "begun_anew": max(self._begun - 1, 0),
            "ended": self.ended,
        }

    # ------------------------------------------------------------ one recording after the other

    def _start(self) -> _Term:
        """Raises `Refused`, `Unavailable`."""
        folder = Path(tempfile.mkdtemp(prefix="transect-shadow-"))
        try:
            self._host.record(folder / "log", self._name)
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, OSError):
                raise Refused(f"a shadow has no place to read from: {error}", "set TMPDIR") from error
            raise
        term = self._term = _Term(folder, _process(folder / "log", self.file))
        self._begun += 1
        threading.Thread(target=self._follow, args=(term,), name="transect-shadow", daemon=True).start()
        return term

    def _stop(self) -> None:
        """End the recording and the process; what it found is kept."""
        term, self._term = self._term, None
        if term is None:
            return
        recorded = self._recorded()
        term.end()
        self._add(term, max(recorded - int(term.said.get("decided", 0)), 0))

    def _recorded(self) -> int:
        """End the recording; how many calls there were."""
        if self._host.recording is None:
            return 0
        try:
            trailer = self._host.end_record()
        except (OSError, Refused, Unavailable):  # nobody wants the log itself
            return 0
        return trailer.records + trailer.dropped

    def _add(self, term: _Term, lost: int) -> None:
        self._compared += term.tally.get("compared", 0)
        self._otherwise += term.tally.get("otherwise", 0)
        self._whom.update(term.tally.get("whom", {}))
        self._skipped.update(term.tally.get("skipped", {}))
        self._first = [*self._first, *term.tally.get("first", [])][:SHOWN]
        if lost:
            self._skipped["they were lost, or came too late"] += lost

    def _follow(self, term: _Term) -> None:
        """Until its process has ended; then begin anew, if that is what it needs."""
        term.hear()
        with self._changing:
            if self._term is not term:
                return
            self._stop()
            state, why = term.outcome
            if state != "anew":
                self.ended = why
                return
        time.sleep(min(WAIT_S * 2 ** min(self._begun - 1, 10), LONGEST_WAIT_S))
        with self._changing:
            if self._term is None and not self.ended:
                self._anew()

    def _anew(self) -> None:
        try:
            self._start()
        except (Refused, Unavailable) as no:
            self.ended = str(no)


def _process(log: Path, file: Path) -> subprocess.Popen[str]:
    """Its end is the end of its standard input, so that it outlives nobody."""
    return subprocess.Popen(
        [sys.executable, "-m", PROCESS, str(log), str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


__all__ = ["Shadow"]
