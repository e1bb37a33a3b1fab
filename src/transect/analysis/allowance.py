# SPDX-License-Identifier: Apache-2.0
"""How much one question may take before it goes to the solver, and after: terms are built, models are run.

A chain of helpers, each of which calls the next one twice, has a few lines and millions of terms.  Code that builds or
visits terms, or runs a model, calls `tick` at each step, which raises `Spent` when its time or memory is used up.  Time
is processor time, as the solver's is, so the load of the machine changes no answer.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

MOST_TERMS = 400_000  # that live at once: about 1 KiB each, with what the solver makes of them
LOOKS = 128  # ticks between two looks at the clock: a tick is some microseconds


class Spent(Exception):
    """A question used up what it may take; the text says what."""

    def __init__(self, why: str, *, late: bool) -> None:
        super().__init__(why)
        self.late = late  # whether more time may give an answer


@dataclass
class Allowance:
    """What one question may take."""

    seconds: float  # as they were given, for people
    end: float  # of this thread's processor time
    ticks: int = 0

    def tick(self) -> None:
        """A step of work.  Raises `Spent`."""
        self.ticks += 1
        if self.ticks % LOOKS == 0 and self.left() <= 0:
            raise Spent(f"the limit of {self.seconds:g} s was reached", late=True)

    def left(self) -> float:
        """Seconds of the processor."""
        return self.end - time.thread_time()


_allowance: ContextVar[Allowance | None] = ContextVar("allowance", default=None)


@contextmanager
def allowed(seconds: float) -> Iterator[None]:
    """A limit of processor time for the block, never beyond that of a block around it.  Raises `Spent`."""
    outer, end = _allowance.get(), time.thread_time() + seconds
    own = Allowance(seconds, end) if outer is None or end < outer.end else outer
    token = _allowance.set(own)
    try:
        yield
    finally:
        _allowance.reset(token)


def allowance() -> Allowance | None:
    """The limit in force; None if there is none."""
    return _allowance.get()


def tick() -> None:
    """A step of work.  Raises `Spent`."""
    own = _allowance.get()
    if own is not None:
        own.tick()


def seconds_left(limit: float) -> float:
    """At most `limit`, and no more than is left."""
    own = _allowance.get()
    return limit if own is None else max(0.0, min(limit, own.left()))


def too_many_terms() -> Spent:
    return Spent(
        f"it comes to more than {MOST_TERMS:,} terms, which is too much for a proof: "
        "let helpers call others less often",
        late=False,
    )
