# SPDX-License-Identifier: Apache-2.0
"""Requests to the machines of running plugins; the counterpart of runtime/wasm_control.c.

A plugin has no socket, but its host makes HTTP calls for it: each machine (one for each worker of the host, and one for
its main thread) calls here.  The reply to a call is a request to the machine, as soon as there is one; the machine's
next call brings its answer.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transect.control.protocol import allowed
from transect.rpc.envoy.control import ControlError

KEY = struct.Struct("<IQ")
CALLER = struct.Struct("<IQB")  # version, machine, kind of its answer
NOTHING, DONE = range(2)
MAGIC = b"transect"
CALL_S = 5.0  # a machine that has nothing to do calls again after that
ANSWER_S = 20.0  # for a machine to answer: it does so between two events of its worker
LOOK_S = 0.2  # until we ask whether the machine has gone
MOST = 256 << 20  # bytes of a call


class Gone(ControlError):
    """The host has let that machine go."""


Answer = tuple[bool, bytes]  # whether the request was done, and what the machine says


@dataclass(eq=False)
class Machine:
    """A machine that has called."""

    version: int
    number: int
    gone: bool = False  # its call broke off, and it has not called since
    requests: asyncio.Queue[tuple[bytes, asyncio.Future[Answer]]] = field(
        default_factory=asyncio.Queue, repr=False
    )
    asked: asyncio.Future[Answer] | None = field(default=None, repr=False)

    @property
    def key(self) -> bytes:
        """The name under which it leaves its states."""
        return KEY.pack(self.version, self.number)

    def leave(self) -> None:
        """The machine has gone: whoever waits for an answer gets none."""
        self.gone = True
        waiting = [] if self.asked is None else [self.asked]
        while not self.requests.empty():
            waiting.append(self.requests.get_nowait()[1])
        for answer in waiting:
            if not answer.done():
                answer.set_exception(Gone(f"a machine of version {self.version} has gone"))


class Door:
    """A Unix socket at which machines call."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._machines: dict[tuple[int, int], Machine] = {}
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, name="transect-plugins", daemon=True)
        self._thread.start()
        self._run(self._open()).result()

    def close(self) -> None:
        self._run(self._close()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def machines(self, version: int) -> list[Machine]:
        """The machines of a version that have called so far."""
        return [machine for machine in list(self._machines.values()) if machine.version == version]

    def others(self, version: int) -> list[Machine]:
        """The machines of other versions that are there, the newest first."""
        there = [m for m in list(self._machines.values()) if m.version != version and not m.gone]
        return sorted(there, key=lambda machine: -machine.version)

    def forget(self, version: int) -> None:
        for machine in self.machines(version):
            del self._machines[machine.version, machine.number]

    def ask(
        self, machine: Machine, verb: str, rest: bytes = b"", gone: Callable[[], bool] = lambda: False
    ) -> Answer:
        """Whether the machine has done what was asked, and its answer.  `gone`: called when that takes long, because a
        machine may go before it has said what it has done.  Raises Gone, ControlError."""
        running = self._run(self._ask(machine, verb.encode() + rest))
        until = time.monotonic() + ANSWER_S
        while True:
            try:
                found: Answer = running.result(LOOK_S)
                return found
            except CancelledError:
                raise ControlError("nobody asks machines any more") from None
            except TimeoutError:
                if not running.done() and time.monotonic() < until and not gone():
                    continue
            running.cancel()
            if time.monotonic() < until:
                raise Gone(f"a machine of version {machine.version} has gone")
            raise ControlError(
                f"a machine of version {machine.version} does not answer within {ANSWER_S:g} s"
            )

    # ------------------------------------------------------------ in the loop

    def _run(self, what: Coroutine[Any, Any, Any]) -> Future[Any]:
        try:
            return asyncio.run_coroutine_threadsafe(what, self._loop)
        except RuntimeError:  # the loop is closed
            what.close()
            raise ControlError("nobody asks machines any more") from None

    async def _open(self) -> None:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(self.path))
        self.path.chmod(0o600)  # nobody can connect before it listens
        self._server = await asyncio.start_unix_server(self._serve, sock=listener)

    async def _close(self) -> None:
        assert self._server is not None, "it is open"
        self._server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _ask(self, machine: Machine, request: bytes) -> Answer:
        answer: asyncio.Future[Answer] = self._loop.create_future()
        machine.requests.put_nowait((request, answer))
        if machine.gone:
            machine.leave()
        return await answer

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: calls of machines of one worker, one after the other."""
        try:
            while allowed(writer.get_extra_info("socket")):
                body = await _body(reader)
                machine = self._caller(body)
                request = await _next(machine, reader)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (len(MAGIC) + len(request)))
                writer.write(MAGIC + request)
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()

    def _caller(self, body: bytes) -> Machine:
        """The machine that calls; its call may bring an answer, which is passed on."""
        version, number, kind = CALLER.unpack_from(body)
        machine = self._machines.setdefault((version, number), Machine(version, number))
        machine.gone = False
        if kind != NOTHING and machine.asked is not None and not machine.asked.done():
            machine.asked.set_result((kind == DONE, body[CALLER.size :]))
        machine.asked = None
        return machine


async def _next(machine: Machine, reader: asyncio.StreamReader) -> bytes:
    """The machine's next request; empty after a while.  Raises ConnectionError when its call breaks off meanwhile."""
    wanted = asyncio.ensure_future(_wanted(machine))
    ended = asyncio.ensure_future(reader.read(1))
    try:
        await asyncio.wait({wanted, ended}, timeout=CALL_S, return_when=asyncio.FIRST_COMPLETED)
        if wanted.done():
            request, machine.asked = wanted.result()
        if ended.done():
            machine.leave()
            raise ConnectionError("it broke off")
        return request if wanted.done() else b""
    finally:
        wanted.cancel()
        ended.cancel()
        await asyncio.wait({wanted, ended})


async def _wanted(machine: Machine) -> tuple[bytes, asyncio.Future[Answer]]:
    """The next request whose answer somebody waits for."""
    while True:
        request, answer = await machine.requests.get()
        if not answer.done():
            return request, answer


async def _body(reader: asyncio.StreamReader) -> bytes:
    """The body of the next call."""
    head = await reader.readuntil(b"\r\n\r\n")
    size = 0
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length":
            size = int(value)
    if not CALLER.size <= size <= MOST:
        raise ConnectionError(f"a call of {size} bytes")
    return await reader.readexactly(size)


def done(answer: Answer, what: str) -> bytes:
    """What the machine says, when it has done what was asked.  Raises ControlError when it refuses."""
    if not answer[0]:
        raise ControlError(f"a machine refuses `{what}`")
    return answer[1]
