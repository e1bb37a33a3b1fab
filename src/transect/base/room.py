# SPDX-License-Identifier: Apache-2.0
"""Files that are written where somebody says, and disks that are full: which place it was, and what to do."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
SAYS = "No space left on device"
LITTLE = 64 << 10  # bytes: who has fewer left was, or will be, refused


@contextlib.contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """An OSError of the block says which file it is about: what is written into an open file raises one without a
    name."""
    try:
        yield
    except OSError as wrong:
        if wrong.filename is None:
            wrong.filename = str(path)
        raise


def put(path: Path, content: bytes, *, fresh: bool = False, mode: int = 0o666) -> None:
    """The file is there, with that content; what there was no room for is not, in part, either.

    `fresh`: it must not be there yet.  `mode`: of one that is new.  Raises OSError, FileExistsError, with its name.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_EXCL if fresh else os.O_TRUNC)
    with naming(path):
        descriptor = os.open(path, flags, mode)
        try:
            with open(descriptor, "wb") as file:
                file.write(content)
        except OSError:
            with contextlib.suppress(OSError):  # what is said is what was wrong first
                if stat.S_ISREG(path.lstat().st_mode):
                    path.unlink()
            raise


def is_full(place: str | Path) -> bool:
    """Whether there is no room to speak of on the disk of a folder that is there, for bytes or for files."""
    try:
        found = os.statvfs(place)
    except OSError:
        return False
    files = found.f_files > 0 and found.f_favail == 0  # some systems count none
    return found.f_bavail * found.f_frsize < LITTLE or files


def full_ones(places: Iterable[str | Path]) -> list[str]:
    """Those of these folders, or of the folders that they would be made in, whose disks are full."""
    there = (next(p for p in (place, *place.parents) if p.exists()) for place in map(_absolute, places))
    return [str(place) for place in dict.fromkeys(there) if is_full(place)]


def _absolute(place: str | Path) -> Path:
    return Path(os.path.abspath(place))
