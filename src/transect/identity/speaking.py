# SPDX-License-Identifier: Apache-2.0
"""Tells this machine's scheduler for whom a thread works, where one is in force that wants to know.

    with serving("alice", deadline):
        ...

What is said is a hint `Serving(tenant, until, since)`, which the scheduler `by_tenant` takes: a write into shared
memory.
"""

from __future__ import annotations

import math
import os
import threading
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass
from threading import get_native_id
from typing import ClassVar

from transect.base.hints import Application, Refused
from transect.base.tenant import number_of

LOOK_S = 5.0  # between two looks whether a scheduler listens


@dataclass(frozen=True)
class Serving:
    """The thread works for this tenant from now on; times by the monotonic clock (ns)."""

    tenant: int
    until: int  # 0: no deadline
    since: int

    FORM: ClassVar[str] = "Serving"


KIND = zlib.crc32(b"Serving(tenant, until, since)")  # as the scheduler knows this form
NOBODY = (0, 0)  # tenant and until


class _Here(threading.local):
    """What was last said of the calling thread."""

    said: tuple[int, int] = NOBODY


class _Block:
    """A `with` statement, which costs a request less than a generator does."""

    __slots__ = ("_before", "_speaker", "_what")

    def __init__(self, speaker: Speaker, what: tuple[int, int]) -> None:
        self._speaker = speaker
        self._what = what

    def __enter__(self) -> None:
        self._before = self._speaker.say(self._what)

    def __exit__(self, *_: object) -> None:
        self._speaker.say(self._before)


class Speaker:
    """This process, attached to the scheduler while one listens.  A request never waits for that."""

    def __init__(self) -> None:
        self._here = _Here()
        self._scheduler: Application | None = None
        self._look_at = 0.0

    def serving(self, tenant: str, until: float | None) -> _Block:
        """Until the block ends, the thread works for the tenant.

        `until`: the deadline, as `time.monotonic()` says it; None: there is none.
        """
        return _Block(self, (number_of(tenant), 0 if until is None else int(until * 1e9)))

    def say(self, what: tuple[int, int]) -> tuple[int, int]:
        """The thread works for that tenant until then; what was said before."""
        before = self._here.said
        if what == before:
            return before
        self._here.said = what
        if time.monotonic() >= self._look_at:
            self._look_at = math.inf
            threading.Thread(target=self._look, name="transect-serving", daemon=True).start()
        scheduler = self._scheduler
        if scheduler is not None:  # where the ring is full, it is lost
            scheduler.send(KIND, get_native_id(), *what, time.monotonic_ns())
        return before

    def _look(self) -> None:
        """Attach, or let go of a scheduler that has gone."""
        try:
            if self._scheduler is not None and self._scheduler.gone():
                self._scheduler.close()
                self._scheduler = None
            if self._scheduler is None:
                with suppress(Refused):  # nobody listens, or to something else
                    self._scheduler = Application({Serving: KIND}, {})
        finally:
            self._look_at = time.monotonic() + LOOK_S

    def close(self) -> None:
        """Let go."""
        if self._scheduler is not None:
            self._scheduler.close()
        self._scheduler = None

    def born(self) -> None:
        """In a child after a fork: the place at the scheduler is the parent's."""
        if self._scheduler is not None:
            self._scheduler.drop()
        self._scheduler, self._look_at = None, 0.0
        self._here.said = NOBODY


_speaker = Speaker()
serving = _speaker.serving
os.register_at_fork(after_in_child=_speaker.born)
