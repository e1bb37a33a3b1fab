# SPDX-License-Identifier: Apache-2.0
"""Reading files and streams that somebody else chose: at most a given number of bytes, however long they are."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from http.client import HTTPResponse

AT_ONCE = 1 << 16  # bytes
SOURCE = (
    4 << 20
)  # most bytes of a policy, chain or configuration; one more is read, to see that a file is too long


def is_file(path: str | Path) -> bool:
    """Whether there is such a file.  False also for a name that is too long for a file, for which `Path` raises."""
    return os.path.isfile(path)


def is_folder(path: str | Path) -> bool:
    """Whether there is such a folder, likewise."""
    return os.path.isdir(path)


def opened(path: Path | str) -> BinaryIO:
    """Open the file for reading.  Raises OSError, also if it is not a regular file: a device may never end, and a pipe
    may never begin.
    """
    # Without it, opening a pipe waits until somebody opens the other end.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError:  # a zero byte, or half a surrogate pair
        raise OSError(errno.EINVAL, "no file can have that name", str(path)) from None
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return open(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "it is not a regular file", str(path))


def head(path: Path, most: int = SOURCE) -> bytes:
    """At most one byte more than `most` of the file.  Raises OSError as `opened`."""
    with opened(path) as file:
        return first(file, most)


def first(stream: IO[bytes], most: int = SOURCE) -> bytes:
    """At most one byte more than `most` of a stream: standard input, a pipe."""
    pieces, left = [], most + 1
    # A single `read(most)` would allocate `most` bytes, however few there are.
    while left and (piece := stream.read(min(AT_ONCE, left))):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def tail(path: Path, most: int) -> bytes:
    """The last `most` bytes of a file that grows, such as a log; nothing where there is none.  Raises OSError."""
    try:
        file = opened(path)
    except FileNotFoundError:
        return b""
    with file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - most))
        return file.read(most)


def lines(path: Path, longest: int, start: int = 0) -> Iterator[bytes]:
    """The lines of a file that grows, with their line ends: from byte `start` to the end that the file has when this
    begins.  A line of more than `longest` bytes comes in pieces; a last line without a line end is left out.  Raises
    OSError.
    """
    with opened(path) as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(start)
        while start < end:
            line = file.readline(longest)
            if len(line) < longest and not line.endswith(b"\n"):
                return
            start += len(line)
            yield line


def in_time(stream: HTTPResponse, most: int, patience_s: float) -> bytes:
    """Read an answer to its end.  Raises TimeoutError, and OSError if it has more than `most` bytes or fewer than it
    announced.
    """
    until, found = time.monotonic() + patience_s, bytearray()
    while piece := stream.read1(AT_ONCE):
        found += piece
        if len(found) > most:
            raise OSError(errno.EFBIG, f"the answer has more than {most:,} bytes")
        if time.monotonic() > until:
            raise TimeoutError(f"the answer does not end within {patience_s:g} s")
    if stream.length:  # bytes that were announced and did not come
        raise OSError(errno.EPROTO, "the answer is cut off")
    return bytes(found)


def whole(path: Path, most: int = SOURCE) -> bytes:
    """All of the file.  Raises OSError, also where it has more than `most` bytes."""
    with opened(path) as file:
        return all_of(file, path, most)


def all_of(file: BinaryIO, path: Path, most: int) -> bytes:
    """All of a file that is open.  Raises as `whole`."""
    data = first(file, most)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", str(path))
    return data
