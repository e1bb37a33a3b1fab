# SPDX-License-Identifier: Apache-2.0
"""So many bytes of a stream, not more and not fewer."""

from __future__ import annotations

import socket

AT_ONCE = 1 << 16  # bytes asked for at a time: who announces many has not sent them yet


def exactly(connection: socket.socket, size: int) -> bytes:
    """The next `size` bytes.  Raises `ConnectionError` when it ends before, and as `recv` does."""
    found = bytearray()
    while len(found) < size:
        piece = connection.recv(min(size - len(found), AT_ONCE))
        if not piece:
            raise ConnectionError("the connection ended in the middle of a message")
        found += piece
    return bytes(found)
