# SPDX-License-Identifier: Apache-2.0
"""Asking and telling a running module, over its own Unix socket; the counterpart of runtime/envoy_control.c."""

from __future__ import annotations

import json
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HEAD = struct.Struct("<I")


class ControlError(Exception):
    """The module refused, or is not there; the text says which."""


@dataclass(frozen=True, slots=True)
class Control:
    """A module's door."""

    path: Path
    timeout_s: float = 5.0

    def ask(self, verb: str, rest: bytes = b"") -> bytes:
        """One request, one answer; raises ControlError."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
                s.settimeout(self.timeout_s)
                s.connect(str(self.path))
                s.sendall(HEAD.pack(len(rest) + 1) + verb.encode() + rest)
                answer = _exactly(s, HEAD.unpack(_exactly(s, HEAD.size))[0])
        except OSError as wrong:
            raise ControlError(f"the module at {self.path} does not answer: {wrong}") from wrong
        if not answer or answer[0] != 1:
            raise ControlError(answer[1:].decode() or f"the module refuses `{verb}`")
        return answer[1:]

    def status(self) -> dict[str, Any]:
        """Counters since the start: rpcs, requests, rejected and responded per element, causes of ends, records …"""
        found: dict[str, Any] = json.loads(self.ask("s"))
        return found

    def description(self) -> dict[str, Any]:
        """What the chain says of itself: elements, schema hashes, methods."""
        found: dict[str, Any] = json.loads(self.ask("d"))
        return found

    def save(self, element: int) -> bytes:
        """The state of one element, as an image."""
        return self.ask("g", HEAD.pack(element))

    def load(self, element: int, image: bytes) -> None:
        """Replace an element's state; an image of another schema is refused and changes nothing."""
        self.ask("p", HEAD.pack(element) + image)

    def set(self, element: int, field: int, value: bytes) -> None:
        """Set one `param`, encoded by its type, between two handler calls."""
        self.ask("v", HEAD.pack(element) + HEAD.pack(field) + value)

    def record(self, path: Path) -> None:
        """Append all handler calls of RPCs that begin from now on to a file."""
        self.ask("r", str(path).encode())

    def stop_recording(self) -> None:
        """When this returns, the file is complete."""
        self.ask("R")


def _exactly(s: socket.socket, size: int) -> bytes:
    got = bytearray()
    while len(got) < size:
        part = s.recv(size - len(got))
        if not part:
            raise OSError("the connection ended early")
        got += part
    return bytes(got)
