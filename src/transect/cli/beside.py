# SPDX-License-Identifier: Apache-2.0
"""The process of a shadow, `python -m transect.cli.beside LOG FILE`: while a log is written, another version of the
policy decides the calls in it.  `control.shadow` starts this process and reads its reports, lines of JSON; it ends when
its standard input does.

It runs at the lowest priority, in bounded memory.  Calls that it cannot keep up with are not decided, and the log is
begun anew.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn

from transect.cli.compiling import Refused
from transect.cli.decoders import decoder
from transect.cli.versions import standing_for, versions
from transect.core.codec import CodecError
from transect.core.upgrade import Refused as NotKept
from transect.replay.beside import NotDecided, OutOfStep
from transect.replay.following import Following, InOrder
from transect.replay.log import Log, LogError, Policy, Record
from transect.replay.whom import Beside

CALL_S = 1.0  # of processor time, for one call
ROUND_S = 20.0  # for one that walks through a kernel
BEHIND = 64 << 20  # bytes of the log that it may lag behind
MEMORY = 2 << 30
TELL_S = 0.5  # between two reports
IDLE_S = 0.02
QUIET_S = 0.25  # without a record; then records that are missing count as lost
PATIENCE_S = 1.0  # for the first policy: that of a probe comes with the probe's first round


class Anew(Exception):
    """The shadow cannot go on from the state it has: the log has to begin anew."""


class Shadowing:
    """A log that is being written, and the version that decides its calls, too."""

    def __init__(self, log: Path, file: Path) -> None:
        self._file = file
        self._following = Following(log)
        self._order = InOrder()
        self._beside: Beside | None = None
        self._policies: list[Policy] = []
        self._ready = False
        self._heard = 0
        self._decided = 0  # calls that were compared, or skipped for a reason
        self._came = self._told = self._since = time.monotonic()

    def run(self) -> str:
        """Follow the log until it ends, or nobody wants the shadow any more.  Raises what `_step` raises."""
        while not _is_over():
            came = self._step()
            if self._following.ended and not came:
                break
            if not came:
                time.sleep(IDLE_S)
        self._take(quiet=True)
        return "the log has ended"

    def _step(self) -> bool:
        """Take what is new; whether there was anything.

        Raises `LogError`, `Anew`, `OutOfStep`, `NotKept`, `CodecError`, `Refused`.
        """
        came = False
        for one in self._following.more():
            came = True
            self._one(one)
        now = time.monotonic()
        self._came = now if came else self._came
        self._take(quiet=now - self._came > QUIET_S)
        if not self._ready and self._can_say(now):
            self._ready = True
            self._begins()
        if self._ready and now - self._told > TELL_S:
            self.tell("told")
        if self._following.behind > BEHIND:
            raise Anew("it could not keep up")
        return came

    def _can_say(self, now: float) -> bool:
        begun = self._following.header is not None
        return begun and (self._heard > 0 or now - self._since > (0.1 if self._policies else PATIENCE_S))

    def _begins(self) -> None:
        beside = self._made()
        if self._policies and not beside.paired:
            names = ", ".join(policy.name for policy in self._policies)
            raise Refused(f"{self._file} has no policy of those in force: {names}")
        os.nice(19)
        self.tell("ready")

    def _one(self, one: Policy | Record) -> None:
        if isinstance(one, Record):
            self._heard += 1
            self._order.add(one)
            return
        if one.first is not None:
            self._order.begins(len(self._policies), one.first)
        self._policies.append(one)
        self._made().policy(one)

    def _made(self) -> Beside:
        if self._beside is None:
            header = self._following.header
            assert header is not None, "a log begins with its head"
            found = versions(self._file, header.stratum)
            if header.stratum in ("llm", "cpu"):
                found = standing_for(found, [policy.name for policy in self._policies])
            known = decoder(Log(header, (), (), None, clients=self._following.clients))
            longest = ROUND_S if header.stratum == "memory" else CALL_S
            self._beside = Beside(
                known, found, clock=time.monotonic_ns, bound=functools.partial(bounded, longest)
            )
        return self._beside

    def _take(self, *, quiet: bool) -> None:
        for record in self._order.ready(quiet=quiet):
            if self._order.missing and any(policy.schema.fields for policy in self._policies):
                raise Anew("calls were lost")
            self._made().call(record)
            self._decided += 1

    def tell(self, state: str, why: str = "") -> None:
        """Print a report: a line for the process that started this one."""
        self._told = time.monotonic()
        tally = None if self._beside is None else self._beside.tally.plain()
        say(state, why, decided=self._decided, tally=tally)


def say(state: str, why: str = "", **more: object) -> None:
    print(json.dumps({"state": state, "why": why, **more}), flush=True)


def _is_over() -> bool:
    """Whether the process that started this one is gone, or does not want the shadow any more."""
    return bool(select.select([sys.stdin], [], [], 0)[0])


@contextlib.contextmanager
def bounded(longest_s: float) -> Iterator[None]:
    """Bound the processor time of a call of the new version.  Raises `NotDecided` when it takes longer."""

    def too_long(number: int, frame: FrameType | None) -> NoReturn:
        raise NotDecided(f"a call takes longer than {longest_s:g} s")

    signal.signal(signal.SIGPROF, too_long)
    signal.setitimer(signal.ITIMER_PROF, longest_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def main(log: Path, file: Path) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    shadowing = Shadowing(log, file)
    try:
        shadowing.tell("ended", shadowing.run())
    except (Anew, OutOfStep) as why:
        shadowing.tell("anew", str(why))
    except (Refused, NotKept, CodecError, LogError) as no:
        shadowing.tell("refused", str(no))
    except Exception as error:
        shadowing.tell("broken", f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
