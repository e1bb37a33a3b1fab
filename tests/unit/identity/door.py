# SPDX-License-Identifier: Apache-2.0
"""A scheduler's door, at which applications attach, and what they say there."""

from __future__ import annotations

import mmap
import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

from transect.base.hints import MESSAGE, RING
from transect.identity.speaking import KIND, Speaker

PAGE = mmap.PAGESIZE
Said = tuple[int, int, int, int]
"""Thread, tenant, until, since."""


class Scheduler:
    """The loader's door, as an application finds it: `transect.cpu.hints.broker`."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.bind(str(path))
        self._socket.listen()
        self.rings = [os.memfd_create("ring") for _ in range(2)]
        for ring in self.rings:
            os.ftruncate(ring, 2 * PAGE + 2 * RING)
        self._connection: socket.socket | None = None
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            connection.recv(1 << 16)
            socket.send_fds(connection, [b"+"], self.rings)
            self._connection = connection

    def said(self) -> list[Said]:
        (put,) = struct.unpack("=Q", os.pread(self.rings[0], 8, PAGE))
        size = 8 + MESSAGE.size
        found = []
        for at in range(0, put, size):
            data = os.pread(self.rings[0], MESSAGE.size, 2 * PAGE + at + 8)
            kind, thread, tenant, until, since, *_ = MESSAGE.unpack(data)
            assert kind == KIND
            found.append((thread, tenant, until, since))
        return found

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        if self._connection is not None:
            self._connection.close()
        for ring in self.rings:
            os.close(ring)


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def attached(speaker: Speaker) -> None:
    def now() -> bool:
        with speaker.serving("somebody", None):
            return speaker._scheduler is not None

    until(now)
