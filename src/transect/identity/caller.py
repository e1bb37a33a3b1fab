# SPDX-License-Identifier: Apache-2.0
"""For whom this thread, or this task of asyncio, works now."""

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
    """Whose a request is, and until when."""

    tenant: str
    deadline: float | None = None
    """When it is over, as `time.monotonic()` says it; None: it has no end."""
    named: Named = NAMELESS
    """What its headers call it; `named.headers` tell the next layer."""


NOBODY = Caller(ANONYMOUS)
_current: ContextVar[Caller] = ContextVar("transect_caller", default=NOBODY)


def current() -> Caller:
    """For whom this code runs: in a handler of `know_callers`, or a block of `working_for`; elsewhere for nobody."""
    return _current.get()


def work_for(caller: Caller) -> None:
    """From now on `current()` is this one, in this thread or task."""
    _current.set(caller)


def known_as(tenant: str | None) -> None:
    """Who has found out whose the request is says so: `current()` is of that tenant, with the deadline of before.

    Without a tenant's name it is of nobody; where nobody is known by a layer's word, nothing changes.
    """
    now = _current.get()
    if now is not NOBODY:
        name = tenant if tenant is not None and NAME.fullmatch(tenant) else ANONYMOUS
        _current.set(replace(now, tenant=name))


@contextmanager
def working_for(caller: Caller) -> Iterator[None]:
    """Until the block ends, `current()` is this one, in this thread or task alone."""
    before = _current.set(caller)
    try:
        yield
    finally:
        _current.reset(before)
