# SPDX-License-Identifier: Apache-2.0
"""Reading files that somebody names or that lie in a folder: never more than is wanted, however endless they are."""

from __future__ import annotations

import errno
import os
from pathlib import Path

SOURCE = 4 << 20  # bytes of a policy, chain or configuration at most; one more is read, so that it shows


def is_file(path: str | Path) -> bool:
    """Whether there is such a file.  False also of a name that is longer than names can be, where `Path` raises."""
    return os.path.isfile(path)


def is_folder(path: str | Path) -> bool:
    """Whether there is such a folder, likewise."""
    return os.path.isdir(path)


def head(path: Path, most: int = SOURCE) -> bytes:
    """At most one byte more than `most` of the file.  Raises OSError."""
    with path.open("rb") as file:
        return file.read(most + 1)


def whole(path: Path, most: int = SOURCE) -> bytes:
    """All of the file.  Raises OSError, also where it has more than `most` bytes."""
    data = head(path, most)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", str(path))
    return data
