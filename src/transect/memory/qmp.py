# SPDX-License-Identifier: Apache-2.0
"""The memory of a QEMU, found through its monitor (QMP).  Nothing is changed; a dump pauses the machine while it is
made.
"""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from transect.base.temporary import Temporary
from transect.linux.errors import KernelDataError
from transect.linux.physical import Physical, dump, ram

LIMIT_S = 120.0  # for a dump
REPLY = 1 << 20  # bytes of one reply at most


class Monitor:
    """A connection to a QEMU's monitor."""

    def __init__(self, path: Path) -> None:
        """Raises OSError; `KernelDataError` if it is no QEMU."""
        self._socket = socket.socket(socket.AF_UNIX)
        self._buffer = b""
        try:
            self._begin(path)
        except BaseException:
            self._socket.close()
            raise

    def _begin(self, path: Path) -> None:
        self._socket.settimeout(LIMIT_S)
        try:
            self._socket.connect(str(path))
        except OSError as no:  # the error itself does not say where
            raise OSError(no.errno, no.strerror or str(no), str(path)) from None
        if "QMP" not in self._reply():
            raise KernelDataError(f"{path} is no QEMU monitor (QMP)")
        self.ask("qmp_capabilities")

    def ask(self, command: str, **arguments: Any) -> Any:
        """A command's answer.  Raises `KernelDataError` with what QEMU says."""
        request: dict[str, Any] = {"execute": command}
        if arguments:
            request["arguments"] = arguments
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        until = time.monotonic() + LIMIT_S
        while time.monotonic() < until:  # it sends events, too
            reply = self._reply()
            if "return" in reply:
                return reply["return"]
            if "error" in reply:
                raise KernelDataError(
                    f"QEMU refuses `{command}`: {reply['error'].get('desc', reply['error'])}"
                )
        raise KernelDataError("the QEMU monitor does not answer")

    def _reply(self) -> dict[str, Any]:
        while b"\n" not in self._buffer:
            try:
                part = self._socket.recv(65536)
            except TimeoutError:
                part = b""
            if not part or len(self._buffer) > REPLY:
                raise KernelDataError("the QEMU monitor does not answer")
            self._buffer += part
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            reply = json.loads(line)
        except ValueError:
            reply = None
        if not isinstance(reply, dict):
            raise KernelDataError("the QEMU monitor answers something that is no QMP")
        return reply

    def memory(self) -> Physical:
        """Its shared RAM file, live; else a dump taken now."""
        for backend in self.ask("query-memdev"):
            name = backend.get("id")
            if name is None or not backend.get("share"):
                continue
            try:
                path = self.ask("qom-get", path=f"/objects/{name}", property="mem-path")
            except KernelDataError:
                continue  # this one has no file
            return ram(path)
        with Temporary("transect-dump-") as folder:
            path = f"{folder}/core"
            self.ask("dump-guest-memory", paging=False, protocol=f"file:{path}")
            return dump(path)  # it is open, and so stays readable after its name is gone

    def __enter__(self) -> Monitor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
