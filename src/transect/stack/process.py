# SPDX-License-Identifier: Apache-2.0
"""One part of a stack as a process: started, ready, gone, restarted, ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import IO

from transect.base import children
from transect.base.unavailable import Unavailable
from transect.control import Client, ControlError
from transect.control.answers import Status
from transect.control.sockets import called, is_live, socket_path
from transect.rpc.chain.address import Endpoint
from transect.stack.model import Part

Say = Callable[[str, str], None]
"""A part's name, and a line."""

TENANTS = "TRANSECT_TENANTS"
"""The environment variable in which every part finds the file of weights."""
IDENTITY = "TRANSECT_IDENTITY"
"""The one in which a program finds the stack's file of keys, where it has one."""
NAME = "TRANSECT_NAME"
"""The one in which a program finds the name under which its queues and chains may listen."""

LONGEST = 1 << 16  # bytes of a line of a part's output
LOOK_S = 0.1  # between two looks at a part
ANSWER_S = 2.0  # for `status`
BEGIN_S = 180.0  # until a part is ready: it compiles, and may boot a machine of its own
END_S = 75.0  # for a part to end by itself: a gateway lets running requests end for 60 s
PAUSES_S = (
    0.0,
    0.5,
    1.0,
    2.0,
    5.0,
)  # before a part that has gone is restarted: longer each time, up to the last
STEADY_S = 30.0  # of running, after which earlier failures are forgotten


class State(StrEnum):
    BEGINS = "begins"
    READY = "ready"
    GONE = "gone"  # until it is restarted
    ENDED = "ended"


class Process:
    """A part that is kept running."""

    def __init__(self, part: Part, weights: Path, say: Say) -> None:
        """`weights`: the file of tenants."""
        self.part = part
        self.state = State.GONE
        self.restarts = -1  # the first start does not count
        self.kept = False  # it was ready once, so it is restarted when it goes
        self._weights = weights
        self._environment = dict(os.environ) | {TENANTS: str(weights)}
        if part.identity is not None:
            self._environment[IDENTITY] = str(part.identity)
        if part.called:
            self._environment[NAME] = part.called
        self._say = say
        self._child: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._failed = 0  # failures in a row
        self._at = 0.0  # of the last change, by the monotonic clock

    @property
    def pid(self) -> int | None:
        return None if self._child is None else self._child.pid

    # ------------------------------------------------------------ begin, look, end

    def begin(self) -> None:
        """Start it.  Raises `Unavailable` when there is no such program."""
        self.restarts += 1
        try:
            self._child = children.start(
                command(self.part, self._weights),
                cwd=self.part.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches only us, who end the parts in order
            )
        except OSError as error:
            hint = "the first word of `command` is a program's name or path"
            raise Unavailable(
                f"the part `{self.part.name}`", f"cannot be begun: {error.strerror}", hint
            ) from error
        assert self._child.stdout is not None, "it was asked for"
        self._reader = threading.Thread(target=self._read, args=(self._child.stdout,), daemon=True)
        self._reader.start()
        self._turn(State.READY if self._says_nothing else State.BEGINS)

    @property
    def _says_nothing(self) -> bool:
        """Whether nothing shows when it is ready."""
        return self.part.ready is None and not self.part.instances

    @property
    def _pause_s(self) -> float:
        """The pause before the next restart."""
        return PAUSES_S[min(self._failed, len(PAUSES_S)) - 1]

    def look(self) -> None:
        """See whether it has become ready, or has gone; a part that was ready once and has gone is restarted after its
        pause.
        """
        match self.state:
            case State.GONE if self.kept and time.monotonic() - self._at >= self._pause_s:
                self._begin_again()
            case State.BEGINS | State.READY if self.exit() is not None:
                self._gone(f"{how(self.exit())} while it {'ran' if self.state is State.READY else 'began'}")
            case State.BEGINS if self.answers():
                self._turn(State.READY)
            case State.BEGINS if time.monotonic() - self._at > BEGIN_S:
                self._say(self.part.name, f"is not ready after {BEGIN_S:g} s, and is begun again")
                self.cut()
            case State.READY if self._failed and time.monotonic() - self._at > STEADY_S:
                self._failed = 0
            case _:
                pass

    def _begin_again(self) -> None:
        try:
            self.begin()
        except Unavailable as lacking:  # its program may just be being replaced
            self._gone(lacking.why)

    def _gone(self, why: str) -> None:
        self._failed += 1
        self._turn(State.GONE)
        if self.kept:
            again = f"begins again in {self._pause_s:g} s" if self._pause_s else "begins again"
            self._say(self.part.name, f"{why}; {again}")

    def _turn(self, state: State) -> None:
        self.state, self._at = state, time.monotonic()

    def exit(self) -> int | None:
        """Its code, once it has gone."""
        return None if self._child is None else self._child.poll()

    def end(self, patience_s: float = END_S) -> None:
        """Tell it to end, and wait; kill it if it has not ended in that time."""
        if self._child is None:
            return
        self._child.terminate()  # nothing, where it has gone
        try:
            self._child.wait(patience_s)
        except subprocess.TimeoutExpired:
            self._say(self.part.name, f"has not ended within {patience_s:g} s, and is killed")
            self.cut()
        assert self._reader is not None, "begun together"
        self._reader.join(1.0)
        self._turn(State.ENDED)

    def cut(self) -> None:
        """Kill it, with all that it began."""
        assert self._child is not None, "it has begun"
        os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()

    # ------------------------------------------------------------ what it says

    def answers(self) -> bool:
        """Whether it is ready."""
        if self.part.ready is not None:
            return listens(self.part.ready)
        names = self.part.instances
        return (
            all(is_live(socket_path(self.part.stratum, name)) for name in names)
            and None not in self.statuses()
        )

    def statuses(self) -> Sequence[Status | None]:
        """The statuses of its instances; None for one that does not answer."""
        return [self._status(name, self.part.stratum) for name in self.part.instances]

    def listening(self, others: Collection[str] = ()) -> Sequence[tuple[str, str]]:
        """Stratum and name of each instance of this part; of a program, of those that listen just now.

        `others`: names of other programs, as `shop-2` may be one, or the second process of `shop`.
        """
        if self.part.called:
            return [pair for pair in called(self.part.called) if pair[1] not in others]
        return [(self.part.stratum, name) for name in self.part.instances]

    def layers(self, others: Collection[str] = ()) -> Mapping[str, Status]:
        """Of what answers under the names of this part, by name; `others` as `listening` has them."""
        answered = {name: self._status(name, stratum) for stratum, name in self.listening(others)}
        return {name: status for name, status in answered.items() if status is not None}

    def _status(self, name: str, stratum: str) -> Status | None:
        try:
            return Client(stratum, name, ANSWER_S).status()
        except (ControlError, Unavailable):
            return None

    def _read(self, pipe: IO[bytes]) -> None:
        with pipe:
            while line := pipe.readline(LONGEST):  # a longer one comes in pieces
                self._say(self.part.name, line.decode(errors="replace").rstrip("\n"))


def command(part: Part, weights: Path) -> list[str]:
    """The command line; parts of our own are run by this Python."""
    if not part.stratum:
        return list(part.command)
    followed = ("--tenants", str(weights)) if part.weighted else ()
    return [sys.executable, "-m", "transect.cli", *part.command, *followed]


def listens(at: Endpoint) -> bool:
    """Whether somebody takes connections there."""
    family = socket.AF_UNIX if at.path else socket.AF_INET6 if ":" in at.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(at.path or (at.host, at.port))
        except OSError:
            return False
    return True


def how(code: int | None) -> str:
    """How a process went, in words."""
    assert code is not None, "it has gone"
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
