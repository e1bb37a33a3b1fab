# SPDX-License-Identifier: Apache-2.0
"""A network between two processors that can stand still, or break off, and heal."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Relay:
    """Passes bytes on to a port of this machine."""

    to: int
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    flows: threading.Event = field(default_factory=threading.Event)
    refuses: bool = False
    sockets: list[socket.socket] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    def stall(self) -> None:
        """Nothing passes; what is on its way waits."""
        self.flows.clear()

    def cut(self) -> None:
        """All connections end, and no new one comes about."""
        self.refuses = True
        for one in self.sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def heal(self) -> None:
        self.refuses = False
        self.flows.set()

    def start(self, does: Callable[..., None], *arguments: Any) -> None:
        self.threads.append(threading.Thread(target=does, args=arguments, daemon=True))
        self.threads[-1].start()

    def serve(self) -> None:
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            if self.refuses:
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self.to))
            self.sockets += near, far
            for pair in ((near, far), (far, near)):
                self.start(self._pump, *pair)

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self.flows.wait()
                target.sendall(data)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@contextmanager
def relayed(to: int) -> Iterator[Relay]:
    relay = Relay(to)
    relay.heal()
    relay.start(relay.serve)
    try:
        yield relay
    finally:
        relay.heal()
        relay.cut()
        relay.listener.shutdown(socket.SHUT_RDWR)
        for thread in relay.threads:
            thread.join(10)
        for one in (relay.listener, *relay.sockets):
            one.close()
