# SPDX-License-Identifier: Apache-2.0
"""Only one command at a time changes the processors of an edge: two could put a part of each one's version in force."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Sequence

from transect.base.unavailable import Unavailable, Unsafe
from transect.control.protocol import Refused
from transect.control.sockets import make_folder, socket_path


@contextlib.contextmanager
def alone(names: Sequence[str]) -> Iterator[None]:
    """Meanwhile, nobody else changes these instances.  The kernel releases the locks of a killed process.

    Raises Refused, Unavailable.
    """
    with contextlib.ExitStack() as held:
        for name in sorted(names):
            held.enter_context(_locked(name))
        yield


@contextlib.contextmanager
def _locked(name: str) -> Iterator[None]:
    try:
        make_folder()
        path = socket_path("rpc", name).with_suffix(".changing")
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except (OSError, ValueError, Unsafe) as wrong:
        raise Unavailable(f"rpc instance `{name}`", str(wrong), "transect rpc status") from wrong
    try:
        _take(lock, name)
        yield
    finally:
        os.close(lock)


def _take(lock: int, name: str) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        why = f"another `transect rpc upgrade` changes `{name}`"
        raise Refused(
            why, "wait until it has ended, which may take as long as the RPCs of its old version"
        ) from None
