# SPDX-License-Identifier: Apache-2.0
"""Sends requests to a running module over its own Unix socket; the counterpart of runtime/envoy_control.c."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transect.base.exactly import exactly
from transect.control.protocol import Refused

HEAD = struct.Struct("<I")

TRIES = 3


class ControlError(Exception):
    """The module refused, or cannot be reached; the text says which."""


@contextmanager
def answering() -> Iterator[None]:
    """Turns the module's refusals into errors for the operator."""
    try:
        yield
    except ControlError as wrong:
        raise Refused(str(wrong)) from wrong


class NotDone(ControlError):
    """The module refused, or did not wait for the rest of the request: nothing has changed."""


@dataclass(frozen=True, slots=True)
class Control:
    """The control socket of a module."""

    path: Path
    timeout_s: float = 5.0

    def ask(self, verb: str, rest: bytes = b"", then: Callable[[bytes], bytes] | None = None) -> bytes:
        """One request, one answer; with `then`, the answer is made into a second request, and its answer returned.

        Raises ControlError.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
            s.settimeout(self.timeout_s)
            try:
                s.connect(str(self.path))
            except OSError as wrong:
                raise self._silent(wrong) from wrong
            answer = self._asked(s, verb, verb.encode() + rest)
            return answer if then is None else self._asked(s, verb, then(answer))

    def _asked(self, s: socket.socket, verb: str, request: bytes) -> bytes:
        try:
            s.sendall(HEAD.pack(len(request)) + request)
            answer = exactly(s, HEAD.unpack(exactly(s, HEAD.size))[0])
        except (BrokenPipeError, ConnectionResetError) as wrong:
            raise NotDone(f"the module at {self.path} did not wait: {wrong}") from wrong
        except OSError as wrong:
            raise self._silent(wrong) from wrong
        if not answer or answer[0] != 1:
            raise NotDone(answer[1:].decode() or f"the module refuses `{verb}`")
        return answer[1:]

    def _silent(self, wrong: OSError) -> ControlError:
        where = f"the module in Envoy, at {self.path},"
        if isinstance(wrong, TimeoutError):
            return ControlError(
                f"{where} does not answer within {self.timeout_s:g} s: its Envoy stands still"
            )
        return ControlError(f"{where} does not answer: {wrong.strerror or wrong}")

    def status(self) -> dict[str, Any]:
        """Counters since the start: rpcs, requests, rejected and responded per element, causes of ends, records …"""
        found: dict[str, Any] = json.loads(self.ask("s"))
        return found

    def description(self) -> dict[str, Any]:
        """What the chain says about itself: elements, schema hashes, methods."""
        found: dict[str, Any] = json.loads(self.ask("d"))
        return found

    def save(self, element: int) -> bytes:
        """The state of one element, as an image."""
        return self.ask("g", HEAD.pack(element))

    def load(self, element: int, image: bytes) -> None:
        """Replace an element's state; an image of another schema is refused and changes nothing."""
        self.ask("p", HEAD.pack(element) + image)

    def change(self, element: int, change: Callable[[bytes], bytes]) -> None:
        """Replace an element's state by what `change` makes of its image, between two handler calls.

        RPCs stand still meanwhile.  Raises NotDone, and nothing is changed, when several tries have each taken over
        250 ms; on a busy machine that may happen to a fast `change`, too.
        """
        for left in reversed(range(TRIES)):
            try:
                self.ask("x", HEAD.pack(element), change)
                return
            except NotDone:
                if not left:
                    raise

    def keep(self) -> None:
        """Keep the module reachable, with its state, even when Envoy has dropped this version."""
        self.ask("k")

    def release(self) -> None:
        """Take `keep` back: the module ends when Envoy drops this version."""
        self.ask("u")

    def edge(self, table: str) -> None:
        """Say in one step which version an RPC is for: `edge_table` in runtime/envoy_edge.c."""
        self.ask("v", table.encode())

    def forget(self) -> bool:
        """End a kept version that Envoy has dropped; False if Envoy has not dropped it."""
        try:
            self.ask("f")
        except ControlError:
            return False
        return True

    def replace(self, element: int, old: bytes, new: bytes) -> bool:
        """Load `new` if the state is still `old`, in one step."""
        try:
            self.ask("i", HEAD.pack(element) + HEAD.pack(len(old)) + old + new)
        except ControlError:
            return False
        return True

    def record(self, head: Callable[[Sequence[bytes], int], Path]) -> None:
        """Append all handler calls from now on to a log.

        `head` gets the state of each element and how many RPCs are under way, writes the log's head within 250 ms, and
        gives its path; RPCs stand still meanwhile.
        """

        def then(answer: bytes) -> bytes:
            return str(head(_images(answer[HEAD.size :]), HEAD.unpack_from(answer)[0])).encode()

        self.ask("r", HEAD.pack(0), then)

    def stop_recording(self) -> tuple[int, int, list[bytes]]:
        """Records, dropped records, and each element's state in the end.  When this returns, all are in the file."""
        answer = self.ask("R")
        records, dropped = struct.unpack_from("<II", answer)
        return records, dropped, _images(answer[8:])


@dataclass(frozen=True, slots=True)
class EnvoyCopy:
    """The state of one version in Envoy.  Implements `upgrading.Loaded`."""

    control: Control

    def serves(self) -> bool:
        return self.control.path.exists()

    def keep(self) -> None:
        self.control.keep()

    def release(self) -> None:
        self.control.release()

    def save(self, element: int) -> bytes:
        return self.control.save(element)

    def swap(self, element: int, change: Callable[[bytes], bytes]) -> None:
        for _ in range(TRIES):  # without holding RPCs back
            old = self.control.save(element)
            if self.control.replace(element, old, change(old)):
                return
        self.control.change(element, change)

    def open(self) -> int:
        return int(self.control.status()["open"])

    def over(self) -> bool:
        return bool(self.control.status()["gone"])

    def end(self) -> None:
        """Raises `NotDone` if the module goes on; on a busy machine its answer may be lost, and the next try tells."""
        if not self.control.forget() and self.serves():
            raise NotDone(f"the module at {self.control.path} has not ended")


def _images(rest: bytes) -> list[bytes]:
    images = []
    while rest:
        size = HEAD.unpack_from(rest)[0]
        images.append(rest[HEAD.size : HEAD.size + size])
        rest = rest[HEAD.size + size :]
    return images
