# SPDX-License-Identifier: Apache-2.0
"""The keys under which layers vouch for requests: a file that all of them read, and that may change while they run.

One key a line, 64 hexadecimal digits; `#` begins a remark.  The first one signs, all are believed.  A new key is added
as the last line everywhere; then it is moved to the top; then the old one is taken out.
"""

from __future__ import annotations

import math
import os
import re
import secrets
import stat
import time
from collections.abc import Sequence
from pathlib import Path

from transect.base.bounded import opened
from transect.base.followed import Followed
from transect.base.weights import NAME
from transect.identity.words import Word

LIFE_S = 30.0  # of a word: a request must reach the next layer within it, even if the clocks differ by some seconds
MOST = 8  # keys
_KEY = re.compile(r"[0-9a-fA-F]{64}")
_LARGEST = 1 << 16
_LATEST_MS = 10**15  # of Unix time, in some 30,000 years: the largest that a word has room for
MAKE = "make one by `umask 077; openssl rand -hex 32 > identity.key`"


class NoKeys(Exception):
    """A file without valid keys; the text says why, and is written after the file's name."""


def read_keys(path: Path) -> Sequence[bytes]:
    """The keys (32 bytes each) in the order of the file.  Raises `NoKeys`."""
    try:
        with opened(path) as file:
            mode, data = os.fstat(file.fileno()).st_mode, file.read(_LARGEST + 1)
    except OSError as error:
        raise NoKeys(f"cannot be read: {error.strerror}; {MAKE}") from error
    if mode & (stat.S_IROTH | stat.S_IWOTH):
        raise NoKeys("can be read or written by anybody, who could then speak for everybody: `chmod 600` it")
    lines = (line.partition("#")[0].strip() for line in data.decode("latin-1").splitlines())
    found = [line for line in lines if line]
    if len(data) > _LARGEST or not 1 <= len(found) <= MOST:
        raise NoKeys(f"holds no key, or more than {MOST}; {MAKE}")
    if not all(_KEY.fullmatch(line) for line in found):
        raise NoKeys(f"has a line that is no key of 64 hexadecimal digits; {MAKE}")
    return [bytes.fromhex(line) for line in found]


class Keys(Followed[Sequence[bytes]]):
    """The keys in a file, as the file says now; the first one signs."""

    def __init__(self, path: Path) -> None:
        """Raises `NoKeys`."""
        super().__init__(path, read_keys, NoKeys)

    def vouch(self, tenant: str, deadline: float | None = None) -> str:
        """The value of the header `HEADER` for one request of this tenant; a verifier does not accept it a second time.
        `deadline`: on the clock of `time.monotonic()` (seconds); None or infinite for none.  Raises ValueError for a
        name that no tenant can have, and for a deadline that is not a number.
        """
        if NAME.fullmatch(tenant) is None:
            raise ValueError(
                f"{tenant!r} is no name of a tenant: letters, digits, `_`, `.`, `@`, `-`; 64 at most"
            )
        now = time.time()
        left = math.inf if deadline is None else deadline - time.monotonic()
        over = 0 if left == math.inf else _milliseconds(now + left)
        return Word(tenant, int((now + LIFE_S) * 1000), over, secrets.token_hex(8)).signed(self.now()[0])


def _milliseconds(seconds: float) -> int:
    """The time in milliseconds of Unix time, at least 1, since 0 means that there is no deadline."""
    if math.isnan(seconds):
        raise ValueError("a deadline that is no number")
    return int(min(max(seconds * 1000, 1), _LATEST_MS))
