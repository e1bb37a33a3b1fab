# SPDX-License-Identifier: Apache-2.0
"""Writing a log while a policy runs.  The policy never waits for the disk: a call that finds the buffer full is
counted as dropped, and the log says so."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from transect.base.request_id import Named
from transect.base.room import naming
from transect.replay.log import (
    CLIENT,
    MAGIC,
    VERSION,
    Header,
    Naming,
    Policy,
    Record,
    Trailer,
    frame,
    json_frame,
)

BUFFER = 16 << 20  # bytes that wait for the disk at most


def create(path: Path) -> BinaryIO:
    """A new file that only its owner can read, since a log holds other people's data.  Raises FileExistsError,
    OSError.
    """
    return open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600))


class Writer:
    """A log under way.  Any thread may add records; one thread of its own writes them."""

    def __init__(self, path: Path, header: Header, *, buffer: int = BUFFER, limit: int | None = None) -> None:
        """`buffer`: bytes that wait for the disk at most; `limit`: bytes of the whole log (None: no limit)."""
        self._path = path
        self._file = create(path)
        self._buffer = buffer
        self._room = limit
        self._waiting: list[bytes] = []
        self._size = 0  # bytes that wait
        self._changed = threading.Condition()
        self._closing = False
        self._failure: OSError | None = None
        self._policies = 0
        self.records = 0
        self.dropped = 0
        with self._changed:
            self._put(MAGIC + VERSION.to_bytes(4, "little") + json_frame(b"H", header.to_json()))
        self._thread = threading.Thread(target=self._drain, name="transect-log", daemon=True)
        self._thread.start()

    # ---------------------------------------------------------------- from the policy's side

    def policy(self, policy: Policy) -> int:
        """Write that a policy, or a new version of one, comes into force.  Returns its number, for records."""
        with self._changed:
            self._put(json_frame(b"P", policy.to_json()))
            self._policies += 1
            return self._policies - 1

    def add(self, record: Record) -> bool:
        """Add one handler call; False if it was dropped."""
        data = frame(b"R", record.pack())
        with self._changed:
            assert record.policy < self._policies, (
                f"a record of policy {record.policy}, which is not in the log"
            )
            kept = self._added(data)
            self.records += kept
            return kept

    def name(self, instance: int, sequence: int, named: Named) -> None:
        """A request comes, before the call of that number; one that finds no room counts as a dropped call."""
        if named.ids:
            data = frame(b"N", Naming(instance, sequence, time.time_ns(), named).pack())
            with self._changed:
                self._added(data)

    def client(self, number: int, name: str) -> None:
        """What a client is called; likewise."""
        data = frame(b"C", CLIENT.pack(number) + name.encode(errors="replace"))
        with self._changed:
            self._added(data)

    def settle(self, size: int) -> None:
        """Wait until at most `size` bytes wait for the disk, for a caller that has all calls already and must lose
        none.
        """
        with self._changed:
            while self._size > size and self._failure is None:
                self._changed.wait(0.01)

    def drop(self, calls: int = 1) -> None:
        """Count calls that could not be recorded because their tapes exceeded the bound or there was no room."""
        with self._changed:
            self.dropped += calls

    def close(self, finals: Mapping[int, bytes]) -> Trailer:
        """Write what waits and the trailer; `finals` are the images of the state, by policy number.

        Raises OSError when the disk did not take everything.
        """
        with self._changed:
            trailer = Trailer(self.records, self.dropped, finals)
            if not self._closing:
                self._put(json_frame(b"T", trailer.to_json()))
                self._closing = True
            self._changed.notify()
        self._thread.join()
        with naming(self._path):
            self._file.close()
            if self._failure is not None:
                raise self._failure
        return trailer

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._closing:
            self.close({})

    # ---------------------------------------------------------------- towards the disk

    def _added(self, data: bytes) -> bool:
        """Whether there is room for it; the caller holds the lock."""
        full = self._closing or self._failure or self._size + len(data) > self._buffer
        if full or not self._fits(data):
            self.dropped += 1
            return False
        self._put(data)
        return True

    def _fits(self, data: bytes) -> bool:
        """Whether the log's limit has room."""
        if self._room is None:
            return True
        if len(data) > self._room:
            return False
        self._room -= len(data)
        return True

    def _put(self, data: bytes) -> None:
        """Hand over to the disk's thread; the caller holds the lock."""
        self._waiting.append(data)
        self._size += len(data)
        self._changed.notify()

    def _drain(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._closing:
                    self._changed.wait()
                pieces, self._waiting = self._waiting, []
                self._size = 0
                done = self._closing
            try:
                self._file.write(b"".join(pieces))
                self._file.flush()
            except OSError as error:
                with self._changed:
                    self._failure = error
                return
            if done:
                return
