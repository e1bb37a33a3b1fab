# SPDX-License-Identifier: Apache-2.0
"""Folders for what runs, gone when it ends; those of who was killed go when the next one of their kind begins."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path

LOCK = ".lock"  # held for as long as the folder is somebody's
LOCKED_S = 10.0  # after which whoever made a folder has long locked it


class Temporary(tempfile.TemporaryDirectory[str]):
    """As its base; `prefix`: of one kind of folders, `transect-rpc-`."""

    def __init__(self, prefix: str) -> None:
        self._held = -1
        sweep(prefix)
        super().__init__(prefix=prefix)
        self._held = os.open(os.path.join(self.name, LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._held, fcntl.LOCK_SH)

    def cleanup(self) -> None:
        super().cleanup()
        held, self._held = self._held, -1
        if held >= 0:
            os.close(held)


def sweep(prefix: str) -> None:
    """Remove the folders of that kind whose owners are dead, of this user alone."""
    for place in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        # Another process sweeps, too; and what cannot be removed keeps nobody from beginning.
        with contextlib.suppress(OSError):
            if _left(place):
                shutil.rmtree(place)


def _left(place: Path) -> bool:
    """Whether it is a folder of ours whose owner is dead.  Raises OSError for what is none."""
    inside = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(inside).st_uid != os.geteuid():
            return False
        lock = os.open(LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=inside)
    finally:
        os.close(inside)
    try:
        if os.fstat(lock).st_mtime > time.time() - LOCKED_S:
            return False
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: its owner lives
    finally:
        os.close(lock)
    return True
