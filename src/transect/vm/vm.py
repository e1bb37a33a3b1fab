# SPDX-License-Identifier: Apache-2.0
"""A throw-away machine with a recent kernel, which sees the host's files and may write one folder of them.

Everything a machine leaves behind lies in one work folder of mode 0700, gone when it is closed.  It ends by itself when
its owner is gone: the agent notices that the host is gone, and `timeout` kills the machine if the agent does not.
"""

from __future__ import annotations

import itertools
import json
import os
import queue
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from transect.base import children
from transect.vm import accelerator as accelerators
from transect.vm import emulation
from transect.vm.channel import Frame, Kind, frames, send
from transect.vm.console import end
from transect.vm.machine import Accelerator, Setup, VmError, machine_command, share_command

# Emulation takes 3 to 13 s on an idle machine, many times that on a busy one; a dead machine is noticed at once
READY_S = 240.0
SAID = 64 << 20  # bytes collected of each output of a command
Sink = Callable[[bytes], object]


class EmulatorFault(VmError):
    """QEMU's emulation killed the machine, whatever ran in it."""

    hint = "run it again; under KVM this does not happen"


class TimeLimit(VmError):
    """A command ran longer than it may.  It has been killed; the machine goes on."""


class NotStarted(VmError):
    """The machine could not start the command: `code` is what a shell would return (126, 127)."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that has ended."""

    code: int  # its exit code; 128 + the signal that killed it
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        return self.stdout.decode(errors="replace")


class Running:
    """A command in the machine.  Its output is collected, or goes to the sinks as it comes."""

    def __init__(self, vm: Vm, number: int, stdout: Sink | None, stderr: Sink | None) -> None:
        self._vm = vm
        self._number = number
        self._collected: dict[Kind, list[bytes]] = {Kind.OUT: [], Kind.ERR: []}
        self._room = {Kind.OUT: SAID, Kind.ERR: SAID}  # bytes that may still be collected
        self._sinks: dict[Kind, Sink | None] = {Kind.OUT: stdout, Kind.ERR: stderr}
        self._end: queue.Queue[Frame | None] = queue.Queue()
        self._finished: Finished | None = None

    def take(self, frame: Frame | None) -> None:
        """Called by the reader of the channel; None: the machine is off."""
        if frame is None or frame.kind not in self._sinks:
            self._end.put(frame)
        elif sink := self._sinks[frame.kind]:
            sink(frame.payload)
        else:
            self._collect(frame)

    def _collect(self, frame: Frame) -> None:
        before = self._room[frame.kind]
        self._room[frame.kind] = before - len(frame.payload)
        if self._room[frame.kind] >= 0:
            self._collected[frame.kind].append(frame.payload)
        elif before >= 0:
            self._end.put(None)  # whoever waits kills it: this thread may not wait for the machine

    def output(self) -> bytes:
        """What it has written to stdout until now."""
        return b"".join(self._collected[Kind.OUT])

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self._finished is not None or not self._end.empty()

    def wait(self, limit_s: float | None = None) -> Finished:
        """Wait for its end.  Raises `TimeLimit`, or `VmError` for too much output, after killing it; `NotStarted`; and
        `VmError` when the machine goes off.
        """
        if self._finished is None:
            try:
                frame = self._end.get(timeout=limit_s)
            except queue.Empty:
                self.kill()
                raise TimeLimit(f"the command took longer than {limit_s:g} s") from None
            self._finished = self._outcome(frame)
        return self._finished

    def _outcome(self, frame: Frame | None) -> Finished:
        if min(self._room.values()) < 0:
            self.kill()
            raise VmError(f"the command says more than {SAID:,} bytes")
        if frame is None:
            raise self._vm.gone("the machine went off under the command")
        if frame.kind is Kind.REFUSED:
            refused = json.loads(frame.payload)
            raise NotStarted(refused["code"], refused["reason"])
        (code,) = struct.unpack("<i", frame.payload)
        out, err = (b"".join(self._collected[kind]) for kind in (Kind.OUT, Kind.ERR))
        return Finished(code if code >= 0 else 128 - code, out, err)

    def write(self, data: bytes) -> None:
        """Write to its stdin; it must have been started with `input=True`."""
        if data:
            self._vm.send(self._number, Kind.INPUT, data)

    def close_input(self) -> None:
        self._vm.send(self._number, Kind.INPUT)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the command and its children."""
        self._vm.send(self._number, Kind.SIGNAL, bytes([number]))

    def kill(self) -> None:
        self.signal(signal.SIGKILL)


class Vm:
    """A running machine.  `with Vm(Setup(find())) as vm: vm.run(["uname", "-r"])`."""

    def __init__(
        self, setup: Setup, *, ready_s: float = READY_S, say: Callable[[str], None] = lambda _: None
    ):
        self.folder = Path(tempfile.mkdtemp(prefix="transect-vm-"))  # mode 0700
        self.job = setup.job.resolve() if setup.job else self.folder / "job"
        self.job.mkdir(mode=0o700, exist_ok=True)
        self.setup = replace(setup, job=self.job)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._numbers = itertools.count(1)
        self._jobs: dict[int, Running] = {}
        self._lock = threading.Lock()
        self._off = False
        self._listener: threading.Thread | None = None
        self._channel: socket.socket | None = None
        try:
            accelerators.choose(setup, self._boot, ready_s, say)
        except BaseException:
            self.close()
            raise

    # --- starting and stopping -----------------------------------------------------------------------------------

    def _boot(self, accelerator: Accelerator, ready_s: float) -> None:
        """Start the programs and wait for the agent.  Raises `VmError` when it does not answer in time."""
        self.accelerator = accelerator
        began = time.monotonic()
        before = os.umask(0o077)  # sockets, console and RAM file are for us alone
        try:
            self._launch(accelerator)
        finally:
            os.umask(before)
        try:
            frame = self._ready.get(timeout=ready_s)
        except queue.Empty:
            frame = None
        if frame is None:
            error = self.gone(f"the machine was not ready after {time.monotonic() - began:.1f} s")
            self._end()
            raise error
        facts = json.loads(frame.payload)
        self.release: str = facts["release"]
        self.boot_s = time.monotonic() - began

    def _launch(self, accelerator: Accelerator) -> None:
        if self.setup.ram is not None:
            descriptor = os.open(self.setup.ram, os.O_RDWR | os.O_CREAT, 0o600)
            os.fchmod(descriptor, 0o600)
            os.close(descriptor)
        self._share("rootfs", Path("/"), writable=False)
        self._share("job", self.job, writable=True)
        self._channel, theirs = socket.socketpair()
        command = machine_command(self.setup, accelerator, theirs.fileno(), self._socket, self.console)
        with theirs:
            self._start(command, [theirs.fileno()])
        self._off = False
        self._ready: queue.Queue[Frame | None] = queue.Queue()
        self._listener = threading.Thread(target=self._listen, args=(self._channel, self._ready), daemon=True)
        self._listener.start()

    def _share(self, tag: str, folder: Path, *, writable: bool) -> None:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(self._socket(tag)))
            listening.listen(1)
            self._start(share_command(folder, listening.fileno(), writable=writable), [listening.fileno()])

    def _socket(self, tag: str) -> Path:
        return self.folder / f"{tag}.socket"

    def _start(self, command: Sequence[str], keep: Iterable[int]) -> None:
        with open(self.folder / "log", "ab") as log:
            process = children.start(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=keep,
                start_new_session=True,
            )
        self._processes.append(process)

    @property
    def console(self) -> Path:
        """What the kernel and the agent said."""
        return self.folder / "console"

    @property
    def pid(self) -> int:
        """Of the machine's process (`timeout` with QEMU below it); its group is its own."""
        return self._processes[-1].pid

    def last_words(self, what: str) -> str:
        """The text `what`, followed by the ends of console and log."""
        said = []
        for name in ("console", "log"):
            text = end(self.folder / name)
            said += [line for line in text.replace("\r", "").splitlines() if line.strip()][-60:]
        return "\n  ".join([what, *said])

    def gone(self, what: str) -> VmError:
        """The error for a machine that has ended: its last output, and the culprit if known."""
        if self.accelerator == "tcg" and emulation.killed_by(end(self.console)):
            return EmulatorFault(f"{emulation.WHY}\n{self.last_words(what)}")
        return VmError(self.last_words(what))

    def close(self) -> None:
        """Switch it off and remove its work folder.  Files of the job folder stay."""
        if self._listener is not None and not self._off:
            try:
                self.send(0, Kind.OFF)
                self._processes[-1].wait(timeout=3)
            except (VmError, subprocess.TimeoutExpired):
                pass  # it is killed below
        self._end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._processes.clear()
        for tag in ("rootfs", "job"):
            self._socket(tag).unlink(missing_ok=True)
        if self._listener is not None:
            self._listener.join()  # the machine has closed its end
            self._listener = None
        if self._channel is not None:
            self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- commands ------------------------------------------------------------------------------------------------

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        limit_s: float | None = 30,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        input: bytes | None = None,
        stdout: Sink | None = None,
        stderr: Sink | None = None,
    ) -> Finished:
        """Run a command to its end.  Raises what `Running.wait` does."""
        running = self.start(argv, cwd=cwd, env=env, input=input is not None, stdout=stdout, stderr=stderr)
        if input is not None:
            running.write(input)
            running.close_input()
        return running.wait(limit_s)

    def start(
        self,
        argv: Sequence[str | Path],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        input: bool = False,
        stdout: Sink | None = None,
        stderr: Sink | None = None,
    ) -> Running:
        """Start a command; it runs beside others.  In the job folder, unless `cwd` says where."""
        running = Running(self, number := next(self._numbers), stdout, stderr)
        with self._lock:
            if self._off:
                raise self.gone("the machine is off")
            self._jobs[number] = running
        asked = {
            "argv": [str(word) for word in argv],
            "cwd": str(cwd or self.job),
            "env": {"TRANSECT_JOB": str(self.job), **(env or {})},
            "input": input,
        }
        self.send(number, Kind.START, json.dumps(asked).encode())
        return running

    def send(self, job: int, kind: Kind, payload: bytes = b"") -> None:
        """A frame to the agent.  Raises `VmError` when nobody is there."""
        try:
            with self._lock:
                assert self._channel is not None, "a frame before the machine was started"
                send(self._channel, job, kind, payload)
        except OSError:
            raise self.gone("the machine is off") from None

    def _listen(self, channel: socket.socket, ready: queue.Queue[Frame | None]) -> None:
        for frame in frames(channel):
            if frame.kind is Kind.READY:
                ready.put(frame)
            elif job := self._jobs.get(frame.job):
                job.take(frame)
                if frame.kind in (Kind.EXIT, Kind.REFUSED):
                    del self._jobs[frame.job]
        with self._lock:
            self._off = True
            orphans = list(self._jobs.values())
        ready.put(None)
        for job in orphans:
            job.take(None)
