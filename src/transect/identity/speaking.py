# SPDX-License-Identifier: Apache-2.0
"""Tells this machine's scheduler for which tenant a thread works, if the scheduler in force takes such hints.

    with serving("alice", deadline):
        ...

    await serving_task("alice", deadline, coroutine)  # asyncio, where one thread works for all by turns

It sends the hint `Serving(tenant, until, since)`, which the scheduler `by_tenant` takes, by a write into shared memory.
"""

from __future__ import annotations

import math
import os
import threading
import time
import zlib
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import suppress
from dataclasses import dataclass
from threading import get_native_id
from typing import Any, ClassVar, Generic, TypeVar

from transect.base.hints import Application, Refused
from transect.base.tenant import number_of

T = TypeVar("T")

LOOK_S = 5.0  # between two looks whether a scheduler listens


@dataclass(frozen=True)
class Serving:
    """The thread works for this tenant from now on; times by the monotonic clock (ns)."""

    tenant: int
    until: int  # 0: no deadline
    since: int

    FORM: ClassVar[str] = "Serving"


KIND = zlib.crc32(b"Serving(tenant, until, since)")  # as the scheduler knows this form
NOBODY = (0, 0)  # no tenant, and no deadline


class _Here(threading.local):
    """The last hint about the calling thread."""

    said: tuple[int, int] = NOBODY


class _Block:
    """A context manager as a class, which costs less for each request than a generator."""

    __slots__ = ("_before", "_speaker", "_what")

    def __init__(self, speaker: Speaker, what: tuple[int, int]) -> None:
        self._speaker = speaker
        self._what = what

    def __enter__(self) -> None:
        self._before = self._speaker.say(self._what)

    def __exit__(self, *_: object) -> None:
        self._speaker.say(self._before)


class _Steps(Generic[T]):
    """A coroutine, run step by step."""

    __slots__ = ("_speaker", "_what", "_work")

    def __init__(self, speaker: Speaker, what: tuple[int, int], work: Coroutine[Any, Any, T]) -> None:
        self._speaker = speaker
        self._what = what
        self._work = work

    def __await__(self) -> Generator[Any, Any, T]:
        say, work = self._speaker.say, self._work
        step: Callable[[Any], Any] = work.send
        given: Any = None
        while True:
            before = say(self._what)
            try:
                waits_for = step(given)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            finally:
                say(before)
            try:
                given = yield waits_for
                step = work.send
            except GeneratorExit:
                work.close()
                raise
            except BaseException as raised:  # `work` is to hear of it
                step, given = work.throw, raised


class Speaker:
    """This process, attached to a scheduler while one listens.  A request never waits for attaching."""

    def __init__(self) -> None:
        self._here = _Here()
        self._scheduler: Application | None = None
        self._look_at = 0.0

    def serving(self, tenant: str, until: float | None) -> _Block:
        """Within the block, the thread works for the tenant.  `until`: the deadline, on the clock of `time.monotonic()`
        (seconds); None if there is none.
        """
        return _Block(self, (number_of(tenant), _ns(until)))

    def serving_task(self, tenant: str, until: float | None, work: Coroutine[Any, Any, T]) -> Awaitable[T]:
        """Runs `work`; while one of its steps runs, from one `await` to the next, the thread works for the tenant.

        `until` as in `serving`.  Who begins where no scheduler listens says nothing until it ends.
        """
        if self._listener() is None:
            return work
        return _Steps(self, (number_of(tenant), _ns(until)), work)

    def say(self, what: tuple[int, int]) -> tuple[int, int]:
        """Say for which tenant the thread works, and until when.  Returns what was said before."""
        before = self._here.said
        if what == before:
            return before
        self._here.said = what
        scheduler = self._listener()
        if scheduler is not None:  # if the ring is full, the hint is lost
            scheduler.send(KIND, get_native_id(), *what, time.monotonic_ns())
        return before

    def _listener(self) -> Application | None:
        """The scheduler that listens, as far as is known; now and again another thread looks."""
        if time.monotonic() >= self._look_at:
            self._look_at = math.inf
            threading.Thread(target=self._look, name="transect-serving", daemon=True).start()
        return self._scheduler

    def _look(self) -> None:
        """Attach to a scheduler, or detach from one that has ended."""
        try:
            if self._scheduler is not None and self._scheduler.gone():
                self._scheduler.close()
                self._scheduler = None
            if self._scheduler is None:
                with suppress(Refused):  # no scheduler listens, or not to this hint
                    self._scheduler = Application({Serving: KIND}, {})
        finally:
            self._look_at = time.monotonic() + LOOK_S

    def close(self) -> None:
        """Detach."""
        if self._scheduler is not None:
            self._scheduler.close()
        self._scheduler = None

    def born(self) -> None:
        """In a child after a fork, forget the connection, which is the parent's."""
        if self._scheduler is not None:
            self._scheduler.drop()
        self._scheduler, self._look_at = None, 0.0
        self._here.said = NOBODY


def _ns(until: float | None) -> int:
    return 0 if until is None else int(until * 1e9)


_speaker = Speaker()
serving = _speaker.serving
serving_task = _speaker.serving_task
os.register_at_fork(after_in_child=_speaker.born)
