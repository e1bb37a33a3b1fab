# SPDX-License-Identifier: Apache-2.0
"""Outside facts.  Time, randomness and every other answer from outside reach a policy through a tape, so that each
execution can be recorded and replayed exactly."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol


class Tape(Protocol):
    """Where a handler call gets its outside facts."""

    def now(self) -> int:
        """Nanoseconds; asked at most once per handler call."""
        ...

    def draw(self) -> int:
        """A uniform random number of 64 bits, unsigned."""
        ...

    def answer(self, intrinsic: str, ask: Callable[[], object]) -> object:
        """The answer of an outside intrinsic: asked live, or read back."""
        ...


class LiveTape:
    """The real clock (monotonic) and the system's randomness."""

    def now(self) -> int:
        """Nanoseconds of the monotonic clock."""
        return time.monotonic_ns()

    def draw(self) -> int:
        """64 bits from the system."""
        return secrets.randbits(64)

    def answer(self, intrinsic: str, ask: Callable[[], object]) -> object:
        """Call `ask`."""
        return ask()


class TapeExhausted(Exception):
    """A handler asked for more outside facts than the tape of a test holds."""


class GivenTape:
    """Outside facts given by a test: one `now` per handler call, one `rand` per draw; then it is exhausted.

    `now` in nanoseconds, one for all calls or one for each; `rand` as fractions in [0, 1) or 64-bit draws (int).
    """

    def __init__(self, now: int | Iterable[int] = 0, rand: float | int | Iterable[float | int] = ()) -> None:
        self._fixed = now if isinstance(now, int) else None
        self._times: Iterator[int] = iter(()) if isinstance(now, int) else iter(now)
        self._draws: Iterator[float | int] = iter((rand,)) if isinstance(rand, float | int) else iter(rand)

    def now(self) -> int:
        """The next of the given times."""
        if self._fixed is not None:
            return self._fixed
        for value in self._times:
            return value
        raise TapeExhausted("the handler asked for the time more often than `now=` has values")

    def draw(self) -> int:
        """The next of the given numbers."""
        for value in self._draws:
            return int(value * 2.0**53) << 11 if isinstance(value, float) else value
        raise TapeExhausted("the handler drew more random numbers than `rand=` has values")

    def answer(self, intrinsic: str, ask: Callable[[], object]) -> object:
        """Call `ask`."""
        return ask()


_current: ContextVar[Tape] = ContextVar("tape", default=LiveTape())  # noqa: B039 - a LiveTape has no state


def current() -> Tape:
    """The tape in force for this thread or task."""
    return _current.get()


@contextmanager
def use(tape: Tape) -> Generator[Tape]:
    """Take outside facts from `tape` within the block."""
    token = _current.set(tape)
    try:
        yield tape
    finally:
        _current.reset(token)


@contextmanager
def tape(now: int | Iterable[int] = 0, rand: float | int | Iterable[float | int] = ()) -> Generator[Tape]:
    """For tests: fix time and randomness within the block.

    >>> with tape(now=1_000_000_000, rand=0.25):
    ...     current().now()
    1000000000
    """
    with use(GivenTape(now, rand)) as given:
        yield given
