# SPDX-License-Identifier: Apache-2.0
"""The tenant for whom this thread, or this task of asyncio, works now."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

from transect.base.request_id import NAMELESS, Named
from transect.base.tenant import ANONYMOUS
from transect.base.weights import NAME


@dataclass(frozen=True, slots=True)
class Caller:
    """The tenant and the deadline of a request."""

    tenant: str
    deadline: float | None = None
    """The deadline, on the clock of `time.monotonic()` (seconds); None if there is none."""
    named: Named = NAMELESS
    """What its headers call it; `named.headers` tell the next layer."""


NOBODY = Caller(ANONYMOUS)
_current: ContextVar[Caller] = ContextVar("transect_caller", default=NOBODY)


def current() -> Caller:
    """The caller for whom this code runs, within a handler of `know_callers` or a block of `working_for`; elsewhere
    nobody.
    """
    return _current.get()


def work_for(caller: Caller) -> None:
    """Make this the `current()` caller, in this thread or task, from now on."""
    _current.set(caller)


def known_as(tenant: str | None) -> None:
    """Say that the code has identified the tenant of its request: `current()` is then of that tenant, and keeps its
    deadline.  An empty name means nobody.  Nothing changes if no layer vouched for the request.
    """
    now = _current.get()
    if now is not NOBODY:
        name = tenant if tenant is not None and NAME.fullmatch(tenant) else ANONYMOUS
        _current.set(replace(now, tenant=name))


@contextmanager
def working_for(caller: Caller) -> Iterator[None]:
    """Make this the `current()` caller within the block, in this thread or task alone."""
    before = _current.set(caller)
    try:
        yield
    finally:
        _current.reset(before)
