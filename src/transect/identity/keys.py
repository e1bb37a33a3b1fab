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

LIFE_S = 30.0  # of a word, within which a request has to reach the next layer, whose clock may be wrong by a part of it
MOST = 8  # keys
_KEY = re.compile(r"[0-9a-fA-F]{64}")
_LARGEST = 1 << 16
_LATEST_MS = 10**15  # of Unix time, some 30,000 years on: a word has room for it
MAKE = "make one by `umask 077; openssl rand -hex 32 > identity.key`"


class NoKeys(Exception):
    """A file that holds no keys; the text says why, and follows the file's name."""


def read_keys(path: Path) -> Sequence[bytes]:
    """In the order of the file.  Raises `NoKeys`."""
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
    """The keys in a file, as they are now; the first one signs."""

    def __init__(self, path: Path) -> None:
        """Raises `NoKeys`."""
        super().__init__(path, read_keys, NoKeys)

    def vouch(self, tenant: str, deadline: float | None = None) -> str:
        """The value of the header `HEADER` for one request of this tenant; nobody believes it of a second one.

        `deadline`: when the request is over, as `time.monotonic()` says it; None or infinite: it never is.
        Raises ValueError for no tenant's name, and for a deadline that is no number.
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
    """Of Unix time, from 1 on: 0 says that there is no deadline."""
    if math.isnan(seconds):
        raise ValueError("a deadline that is no number")
    return int(min(max(seconds * 1000, 1), _LATEST_MS))
