# SPDX-License-Identifier: Apache-2.0 OR MIT
"""How an application talks with the scheduler in force.  This is the fixed part; the messages themselves are defined by
the emitted module.

Rings of shared memory go both ways.  The loader's broker hands them out at a Unix socket, where it refuses messages
that the policy in force does not know.  No privilege is needed, and only the standard library.
"""

from __future__ import annotations

import dataclasses
import json
import mmap
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any

SOCKET = "/run/transect-hints.sock"
RING = 1 << 16  # bytes of each ring
NUMBERS = 6
MESSAGE = struct.Struct(f"=II{NUMBERS}q")  # struct ts_message
HEAD = struct.Struct("=II")
ENTRY = struct.Struct(f"=IIII{NUMBERS}q")  # both
ZEROS = (0,) * NUMBERS
BUSY, DISCARD = 1 << 31, 1 << 30


class Refused(Exception):
    """No scheduler is in force, or it does not take this application's messages; the text says what to do."""


class Application:
    """This process, attached to the scheduler in force."""

    def __init__(self, says: Mapping[type, int], hears: Mapping[int, Any], path: str | None = None) -> None:
        forms = {"version": 1, "says": _forms(says), "hears": _forms(hears.values())}
        self.says = says
        self.hears = hears
        self._lock = threading.Lock()
        self._closed = False
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._socket.connect(path or os.environ.get("TRANSECT_HINTS", SOCKET))
            self._socket.send(json.dumps(forms).encode())
            answer, rings, _, _ = socket.recv_fds(self._socket, 1024, 2)
        except OSError as error:
            self._socket.close()
            raise Refused("no scheduler that takes hints is in force") from error
        if not answer.startswith(b"+"):
            self._socket.close()
            raise Refused(answer[1:].decode())
        self._outbox = rings[1]
        page, rest = mmap.PAGESIZE, mmap.PAGESIZE + 2 * RING
        both = mmap.PROT_READ | mmap.PROT_WRITE
        self._maps = (
            mmap.mmap(rings[0], page, prot=mmap.PROT_READ),
            mmap.mmap(rings[0], rest, prot=both, offset=page),
            mmap.mmap(rings[1], page, prot=both),
            mmap.mmap(rings[1], rest, prot=mmap.PROT_READ, offset=page),
        )
        os.close(rings[0])
        # Words of 8 bytes: a store to one is one instruction, and x86 keeps the order of stores.
        self._in_taken, self._in_put, self._out_taken, self._out_put = (
            memoryview(m)[:page].cast("Q") for m in self._maps
        )

    def say(self, hint: Any, *, thread: int | None = None) -> bool:
        """Send a hint about a thread of this process, by default the calling one.  False if the ring is full or
        closed.
        """
        numbers = vars(hint).values()
        return self.send(self.says[type(hint)], thread or threading.get_native_id(), *numbers)

    def send(self, kind: int, thread: int, *numbers: int) -> bool:
        """Send a hint of that kind."""
        message = ENTRY.pack(MESSAGE.size, 0, kind, thread, *numbers, *ZEROS[len(numbers) :])
        with self._lock:
            if self._closed:
                return False
            put = self._in_put[0]
            if put - self._in_taken[0] + ENTRY.size > RING:
                return False
            at = mmap.PAGESIZE + put % RING
            self._maps[1][at : at + ENTRY.size] = message
            self._in_put[0] = put + ENTRY.size
        return True

    def hear(self, wait_s: float = 0.0) -> list[Any]:
        """The messages received since the last call, in order.  If there are none, wait up to `wait_s` for one."""
        end = time.monotonic() + wait_s
        while not (heard := self._told()) and (left := end - time.monotonic()) > 0:
            select.select([self._outbox], [], [], left)
        return heard

    def _told(self) -> list[Any]:
        heard = []
        taken = self._out_taken[0]
        while taken < self._out_put[0]:
            at = mmap.PAGESIZE + taken % RING
            size, _ = HEAD.unpack_from(self._maps[3], at)
            if size & BUSY:
                break
            kind, _, *numbers = MESSAGE.unpack_from(self._maps[3], at + HEAD.size)
            if not size & DISCARD and kind in self.hears:
                told = self.hears[kind]
                heard.append(told(*numbers[: len(dataclasses.fields(told))]))
            taken += HEAD.size + ((size & ~DISCARD) + 7) // 8 * 8
        self._out_taken[0] = taken
        return heard

    def gone(self) -> bool:
        """Whether the scheduler's loader has ended or closed the connection."""
        try:
            return not self._socket.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def close(self) -> None:
        """Close the connection; the scheduler learns that this process is gone."""
        with self._lock:
            self.drop()

    def drop(self) -> None:
        """In a forked child, drop what belongs to the parent.  The lock may be held by a thread that does not exist
        here, so it is not taken.
        """
        self._closed = True
        for words in (self._in_taken, self._in_put, self._out_taken, self._out_put):
            words.release()
        for ring in self._maps:
            ring.close()
        os.close(self._outbox)
        self._socket.close()


def _forms(classes: Iterable[Any]) -> list[tuple[str, list[str]]]:
    return [(c.FORM, [f.name for f in dataclasses.fields(c)]) for c in classes]
