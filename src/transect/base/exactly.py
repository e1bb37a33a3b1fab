# SPDX-License-Identifier: Apache-2.0
"""Reading an exact number of bytes from a stream."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

AT_ONCE = 1 << 16  # bytes asked for at a time: a peer that announces many may never send them


def exactly(connection: socket.socket, size: int) -> bytes:
    """The next `size` bytes.  Raises `ConnectionError` when the connection ends before, and what `recv` raises.  The
    connection's timeout covers all of them, so a peer that sends single bytes gets no more time.
    """
    patience_s = connection.gettimeout()
    if not patience_s:
        return _received(connection, size, lambda: None)
    until = time.monotonic() + patience_s

    def shorten() -> None:
        left_s = until - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("timed out")
        connection.settimeout(left_s)

    try:
        return _received(connection, size, shorten)
    finally:
        connection.settimeout(patience_s)


def _received(connection: socket.socket, size: int, before: Callable[[], None]) -> bytes:
    found = bytearray()
    while len(found) < size:
        before()
        piece = connection.recv(min(size - len(found), AT_ONCE))
        if not piece:
            raise ConnectionError("the connection ended in the middle of a message")
        found += piece
    return bytes(found)
