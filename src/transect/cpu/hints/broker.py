# SPDX-License-Identifier: Apache-2.0
"""Lets applications attach to the scheduler in force, by a Unix socket that anyone may use.

An application says in one packet which messages it would send and hear.  If the policy does not know them, the
application is refused, with the reason; else it gets two rings of its own, and may speak for its own threads only.
Nothing that it does later reaches this process: the kernel reads and fills the rings, a limited amount at a time.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import mmap
import os
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transect.cpu.built import Built
from transect.linux.libbpf import BpfError, Map, make_map

log = logging.getLogger("transect.cpu")

SOCKET = Path("/run/transect-hints.sock")
SEATS = 64  # TS_SEATS
OF_ONE_USER = 16  # seats that one user may have; root may have more
PENDING = 64  # connections that have not said anything yet; when one more comes, the oldest is closed
PENDING_OF_ONE = 8  # of these, from one user
PATIENCE_S = 2.0  # for the packet in which an application introduces itself
SHORTAGE_S = 0.1  # between two attempts while descriptors are short
RING = 1 << 16  # bytes
SEAT = struct.Struct("=8q")  # struct ts_seat
COUNTS = ("heard", "unknown", "strange", "short", "told", "lost")
CREDENTIALS = struct.Struct("=3i")  # struct ucred
RINGBUF, USER_RINGBUF = 27, 31  # enum bpf_map_type
MAPS = ("ts_seats", "ts_seat_of", "ts_inboxes", "ts_outboxes")
VERSION = 1


class Unwelcome(Exception):
    """The application cannot attach; the text says why and what to do."""


@dataclass(eq=False)
class Guest:
    """A connection."""

    connection: socket.socket
    process: int
    user: int
    since: float  # when it came, by the monotonic clock
    seat: int = -1
    alive: int = -1  # a descriptor of the process, which tells when it ends
    rings: list[int] = field(default_factory=list)


class Broker:
    """The seats of applications, given away and taken back in a thread of its own."""

    def __init__(
        self,
        maps: dict[str, Map],
        policy: Callable[[], Built | None],
        detached: Callable[[int], None],
        path: Path = SOCKET,
    ) -> None:
        self.maps = maps
        self.policy = policy
        self.detached = detached
        self.path = path
        self.guests: list[Guest] = []
        self.refused = 0
        size = -(-(SEATS + 1) * SEAT.size // mmap.PAGESIZE) * mmap.PAGESIZE
        self._seats = memoryview(mmap.mmap(maps["ts_seats"].fd, size)).cast("q")
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        self._socket.bind(str(path))
        path.chmod(0o666)
        self._socket.listen(PENDING)
        self._watch = selectors.DefaultSelector()
        self._ending, self._end = os.pipe()
        self._watch.register(self._socket, selectors.EVENT_READ, self._accept)
        self._watch.register(self._ending, selectors.EVENT_READ, None)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take all seats back."""
        os.close(self._end)
        self._thread.join()
        for guest in list(self.guests):
            self._leave(guest)
        self._socket.close()
        self._watch.close()
        os.close(self._ending)
        self.path.unlink(missing_ok=True)

    def status(self) -> list[dict[str, int]]:
        """Who is attached, how many messages went through, and how many did not and why."""
        found = []
        for guest in list(self.guests):
            if guest.seat >= 0:
                data = self.maps["ts_seats"].read(_number(guest.seat))
                assert data is not None, "an array map has its entries"
                counts = SEAT.unpack(data)[2:]
                found.append({"process": guest.process, **dict(zip(COUNTS, counts, strict=True))})
        return found

    # ---------------------------------------------------------------- connections

    def _serve(self) -> None:
        while True:
            for key, _ in self._watch.select(PATIENCE_S / 2 if self._pending() else None):
                if key.data is None:
                    return
                key.data()
            for guest in self._pending():
                if guest.since + PATIENCE_S < time.monotonic():
                    self._leave(guest)

    def _pending(self) -> list[Guest]:
        """Connections that have not said anything yet, in the order in which they came."""
        return [guest for guest in self.guests if guest.seat < 0]

    def _accept(self) -> None:
        try:
            connection, _ = self._socket.accept()
        except (
            OSError
        ) as error:  # no descriptors or memory, which passes, or the application has gone already
            if error.errno != errno.ECONNABORTED:
                log.warning("hints: nobody can attach for now: %s", error)
                time.sleep(SHORTAGE_S)
            return
        connection.setblocking(False)
        data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
        process, user, _ = CREDENTIALS.unpack(data)
        guest, pending = Guest(connection, process, user, time.monotonic()), self._pending()
        if sum(other.user == user for other in pending) >= PENDING_OF_ONE:
            connection.close()
            return
        if (
            len(pending) >= PENDING
        ):  # an application speaks at once: who has waited longest has nothing to say
            self._leave(pending[0])
        self.guests.append(guest)
        try:
            self._watch.register(connection, selectors.EVENT_READ, lambda: self._read(guest))
        except OSError:  # no memory
            self.guests.remove(guest)
            connection.close()

    def _read(self, guest: Guest) -> None:
        """Read which messages it would send and hear; later, only that it has ended."""
        try:
            data = guest.connection.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data or guest.seat >= 0:
            self._leave(guest)
            return
        try:
            self._welcome(guest, data)
        except Unwelcome as no:
            self.refused += 1
            with contextlib.suppress(OSError):
                guest.connection.send(refusal(no))
            self._leave(guest)
        except OSError:  # gone already
            self._leave(guest)

    def _welcome(self, guest: Guest, data: bytes) -> None:
        known(self.policy(), data)
        seated = [g for g in self.guests if g.seat >= 0]
        if any(g.process == guest.process for g in seated):
            raise Unwelcome("this process is attached already; it has one place")
        if guest.user != 0 and sum(g.user == guest.user for g in seated) >= OF_ONE_USER:
            raise Unwelcome(f"user {guest.user} has {OF_ONE_USER} places, which is all that one may have")
        seat = next((n for n in range(SEATS) if all(g.seat != n for g in seated)), None)
        if seat is None:
            raise Unwelcome(f"all {SEATS} places are taken")
        self._seat(guest, seat)
        socket.send_fds(guest.connection, [b"+"], guest.rings)

    # ---------------------------------------------------------------- seats

    def _seat(self, guest: Guest, seat: int) -> None:
        alive = os.pidfd_open(guest.process)
        try:
            self._watch.register(alive, selectors.EVENT_READ, lambda: self._leave(guest))
        except OSError:
            os.close(alive)
            raise
        guest.alive = alive
        try:
            guest.rings.append(make_map(USER_RINGBUF, "ts_inbox", RING))
            guest.rings.append(make_map(RINGBUF, "ts_outbox", RING))
            self.maps["ts_seats"].write(_number(seat), SEAT.pack(guest.process, *[0] * 7))
            for name, ring in zip(("ts_inboxes", "ts_outboxes"), guest.rings, strict=True):
                self.maps[name].write(_number(seat), _number(ring))
            self.maps["ts_seat_of"].write(struct.pack("=Q", guest.process), _number(seat))
        except BpfError as error:
            raise Unwelcome(f"the kernel gives no rings: {error}") from error
        guest.seat = seat
        self._count()

    def _leave(self, guest: Guest) -> None:
        if guest not in self.guests:
            return  # its process ended, and so did its connection
        self.guests.remove(guest)
        self._watch.unregister(guest.connection)
        guest.connection.close()
        if guest.alive >= 0:
            self._watch.unregister(guest.alive)
            os.close(guest.alive)
        if guest.seat >= 0:
            self.maps["ts_seat_of"].remove(struct.pack("=Q", guest.process))
            for name in ("ts_inboxes", "ts_outboxes"):
                self.maps[name].remove(_number(guest.seat))
            self.maps["ts_seats"].write(_number(guest.seat), SEAT.pack(*[0] * 8))
            self._count()
            self.detached(guest.process)
        for ring in guest.rings:
            os.close(ring)

    def _count(self) -> None:
        """Write how many seats must be looked at: one word, since what lies beside it is in use."""
        highest = max((g.seat for g in self.guests), default=-1) + 1
        self._seats[SEATS * SEAT.size // 8] = highest


_Form = tuple[str, tuple[str, ...]]  # a message: its name, and the names of its numbers


def known(policy: Built | None, data: bytes) -> None:
    """Check that the policy knows what the application would say and hear.  Raises `Unwelcome`."""
    try:
        said = json.loads(data)
        version, says, hears = _version(said["version"]), _forms(said["says"]), _forms(said["hears"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Unwelcome("what the application says of itself is malformed") from None
    if version != VERSION:
        raise Unwelcome(f"this loader speaks version {VERSION} of the protocol, the application {version}")
    name = "no policy" if policy is None else policy.name
    takes = [] if policy is None else [*policy.hears]
    tells = [] if policy is None else [*policy.tells]
    for wanted, there, what in ((says, takes, "takes"), (hears, tells, "tells")):
        for form in wanted:
            if form not in there:
                listed = ", ".join(map(_shown, there)) or "nothing"
                raise Unwelcome(
                    f"{name} {what} {listed}, not {_shown(form)};"
                    " emit the application's side anew: transect compile POLICY --to hints-c (or hints-py)"
                )


def refusal(no: Unwelcome) -> bytes:
    """The answer.  It quotes what the application said, which may not be text."""
    return b"-" + str(no).encode(errors="replace")[:1000]


def _version(value: Any) -> int:
    """A version.  Raises TypeError also for `true` and `1.0`, which equal 1 and are no versions."""
    if type(value) is not int:
        raise TypeError(value)
    return value


def _forms(value: Any) -> list[_Form]:
    """A list of messages.  Raises TypeError and ValueError for anything else, such as a text, which is a
    sequence, too.
    """
    return [
        (_text(name), tuple(_text(n) for n in _list(numbers))) for name, numbers in map(_list, _list(value))
    ]


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(value)
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _shown(form: _Form) -> str:
    name, numbers = form
    return f"{name}({', '.join(numbers)})"


def _number(value: int) -> bytes:
    return struct.pack("=I", value)
