# SPDX-License-Identifier: Apache-2.0
"""Frames between the host and the agent in a machine:
length, job, kind, payload; `runtime/agent.py` has the other end.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum

from transect.base.exactly import exactly

LARGEST = 1 << 20  # bytes of a frame; the agent sends 64 KiB of a stream at once
HEAD = struct.Struct("<IIB")


class Kind(IntEnum):
    """Below 16 from the host, the others from the machine."""

    START = 1  # JSON: argv, cwd, env, input
    INPUT = 2  # bytes for stdin; none: it ends
    SIGNAL = 3  # one byte, to the job's process group
    OFF = 4
    READY = 16  # JSON: release, python, cpus
    OUT = 17
    ERR = 18
    EXIT = 19  # i32: the exit code, or minus the signal
    REFUSED = 20  # JSON: code, reason: the command could not be started


KNOWN = frozenset(map(int, Kind))


@dataclass(frozen=True, slots=True)
class Frame:
    job: int  # 0: the machine itself
    kind: Kind
    payload: bytes


def send(channel: socket.socket, job: int, kind: Kind, payload: bytes = b"") -> None:
    channel.sendall(HEAD.pack(len(payload), job, kind) + payload)


def frames(channel: socket.socket) -> Iterator[Frame]:
    """The frames that arrive, until the machine is off or sends something that its agent never sends."""
    with suppress(ConnectionError):
        while True:
            length, job, kind = HEAD.unpack(exactly(channel, HEAD.size))
            if length > LARGEST or kind not in KNOWN:
                return
            yield Frame(job, Kind(kind), exactly(channel, length))
