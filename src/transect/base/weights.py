# SPDX-License-Identifier: Apache-2.0
"""Who has which weight: a TOML file that every layer of a stack reads, and that may change while it runs.

[tenants]
alice = 400     # percent of an ordinary share
bob = 100
"""

from __future__ import annotations

import logging
import os
import re
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path

from transect.base import toml
from transect.base.bounded import whole

logger = logging.getLogger("transect.weights")

LOOK_S = 1.0  # between two looks at a file that is followed
ORDINARY = 100  # percent: of who is not named
MOST = 1_000_000
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}")


class NoWeights(Exception):
    """A file that does not say weights; the text says why, and follows the file's name."""


def read_weights(path: Path) -> Mapping[str, int]:
    """By tenant, in percent.  Raises `NoWeights`."""
    try:
        found = toml.parsed(whole(path))
    except OSError as error:
        raise NoWeights(f"cannot be read: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise NoWeights(f"is no TOML: {error}") from error
    tenants = found.get("tenants")
    if not isinstance(tenants, dict):
        raise NoWeights("has no table `[tenants]`")
    if others := sorted(found.keys() - {"tenants"}):
        raise NoWeights(f"has `{others[0]}`, which is not known here")
    for name, weight in tenants.items():
        if NAME.fullmatch(name) is None:
            raise NoWeights(f"has the tenant `{name}`: letters, digits, `_`, `.`, `@` and `-`, 64 at most")
        if type(weight) is not int or not 1 <= weight <= MOST:
            raise NoWeights(f"gives `{name}` no weight between 1 and {MOST:,}")
    return tenants


def written(weights: Mapping[str, int]) -> str:
    """The text of a file that says these."""
    return "".join(["[tenants]\n", *(f'"{name}" = {weight}\n' for name, weight in weights.items())])


class Changes:
    """Whether a file has been written, or put in the place of another, since it was last asked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen = self._now()

    def _now(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self.path)
        except OSError:
            return None  # a file that is being replaced by hand: what is in force stays
        return found.st_mtime_ns, found.st_ino, found.st_size

    def come(self) -> bool:
        before, self._seen = self._seen, self._now() or self._seen
        return self._seen != before


class Followed:
    """The weights in a file, as they are now.  May be asked by any thread."""

    def __init__(self, path: Path) -> None:
        """Raises `NoWeights`."""
        self._changes = Changes(path)  # first: what is written after that is noticed
        self._weights = read_weights(path)
        self._look_at = time.monotonic() + LOOK_S

    def of(self, name: str) -> int:
        """In percent of an ordinary share."""
        return self.now().get(name, ORDINARY)

    def now(self) -> Mapping[str, int]:
        """By tenant.  A file that is damaged meanwhile changes nothing, and the log says so."""
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_S
            if self._changes.come():
                self._read()
        return self._weights

    def _read(self) -> None:
        try:
            self._weights = read_weights(self._changes.path)
        except NoWeights as wrong:
            logger.error("weights stay as they were: %s %s", self._changes.path, wrong)
