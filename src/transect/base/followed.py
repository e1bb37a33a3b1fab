# SPDX-License-Identifier: Apache-2.0
"""A file that says something, and may say something else while we run: weights of tenants, keys of layers."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

logger = logging.getLogger("transect.followed")

LOOK_S = 1.0  # between two looks at a file that is followed

T = TypeVar("T")


class Changes:
    """Whether a file has been written, or put in the place of another, since it was last asked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen = self._now()

    def _now(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self.path)
        except OSError:
            return None  # missing while somebody replaces it: keep what is in force
        return found.st_mtime_ns, found.st_ino, found.st_size

    def come(self) -> bool:
        before, self._seen = self._seen, self._now() or self._seen
        return self._seen != before


class Followed(Generic[T]):
    """The current content of a file.  Any thread may ask."""

    def __init__(self, path: Path, read: Callable[[Path], T], refuses: type[Exception]) -> None:
        """`read` raises `refuses` for a damaged file, and so does this."""
        self._changes = Changes(path)  # first: what is written after that is noticed
        self._read = read
        self._refuses = refuses
        self._found = read(path)
        self._look_at = time.monotonic() + LOOK_S

    def now(self) -> T:
        """The current content; a file that has been damaged since changes nothing, and the log says so."""
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_S
            if self._changes.come():
                self._again()
        return self._found

    def _again(self) -> None:
        try:
            self._found = self._read(self._changes.path)
        except self._refuses as wrong:
            logger.error("what it said stays in force: %s %s", self._changes.path, wrong)
