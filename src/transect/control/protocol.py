# SPDX-License-Identifier: Apache-2.0
"""What goes over the socket: a u32 size (little-endian) and a JSON text, one request and one answer for each
connection.  A verb that lasts as long as the connection is open gives a second answer at its end.
"""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from transect.base.exactly import exactly

VERSION = 3
LARGEST = 64 << 20  # bytes of one message

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid

T = TypeVar("T")


class Kind(StrEnum):
    """How a request ended."""

    DONE = "done"
    REFUSED = "refused"  # the answer is no; says why and what to do
    UNAVAILABLE = "unavailable"
    WRONG = "wrong"  # a verb, argument or version that the instance does not know
    BROKEN = "broken"  # our own error


@dataclass(frozen=True, slots=True)
class Request:
    verb: str
    arguments: dict[str, Any] = field(default_factory=dict)
    version: int = VERSION


@dataclass(frozen=True, slots=True)
class Answer:
    kind: Kind
    value: Any = None
    what: str = ""  # is missing, or was refused
    why: str = ""
    hint: str = ""


class Refused(Exception):
    """The running policy says no: `why`, and what to do (`hint`)."""

    def __init__(self, why: str, hint: str = "") -> None:
        super().__init__(f"{why} ({hint})" if hint else why)
        self.why = why
        self.hint = hint


class Broken(ConnectionError):
    """The other side does not keep to the protocol, or is gone in the middle of a message."""


def send(connection: socket.socket, message: Request | Answer) -> None:
    """Send one message.  Raises `Broken`, OSError."""
    import msgspec

    try:
        data = msgspec.json.encode(message)
    except (TypeError, ValueError, RecursionError) as error:
        raise Broken(f"a message that JSON cannot say: {error}") from error
    if len(data) > LARGEST:
        raise Broken(f"a message of {len(data)} bytes is too large")
    connection.sendall(len(data).to_bytes(4, "little") + data)


def receive(connection: socket.socket, of: type[T]) -> T:
    """Receive one message.  Raises `Broken`, `TimeoutError`."""
    import msgspec

    size = int.from_bytes(_received(connection, 4), "little")
    if size > LARGEST:
        raise Broken(f"a message of {size} bytes is too large")
    data = _received(connection, size)
    try:
        return msgspec.json.decode(data, type=of)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # ValueError: no UTF-8
        raise Broken(f"no message of this protocol: {error}") from error


def allowed(connection: socket.socket) -> bool:
    """Whether the other side is the same user, or root; the kernel says who connected, or listens."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(data)
    return uid in (0, os.geteuid())


def _received(connection: socket.socket, size: int) -> bytes:
    try:
        return exactly(connection, size)
    except ConnectionError as error:
        raise Broken(str(error)) from error
