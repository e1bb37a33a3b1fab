# SPDX-License-Identifier: Apache-2.0
"""Runs commands inside the machine for the host.  It is process 1: when it ends, the machine is off.

    agent.py JOB        JOB: the folder of the host that is shared for writing, at the same path

Frames go both ways over a virtio port: length, job, kind, payload (see `transect.vm.channel`, which holds the same
numbers).  It imports the standard library only, because any Python of the host may run it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import json
import os
import select
import selectors
import signal
import socket
import struct
import subprocess
import sys
import time

import mounts  # type: ignore[import-not-found]  # beside this file, which runs alone

HEAD = struct.Struct("<IIB")
START, INPUT, SIGNAL, OFF = 1, 2, 3, 4
READY, OUT, ERR, EXIT, REFUSED = 16, 17, 18, 19, 20
CHUNK = 1 << 16
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def port() -> int:
    """The port that the host named `transect`; its name comes a moment after the device."""
    for _ in range(500):
        for label in glob.glob("/sys/class/virtio-ports/*/name"):
            with open(label) as file:
                if file.read().strip() == "transect":
                    return connected(os.open(f"/dev/{label.split('/')[-2]}", os.O_RDWR | os.O_NONBLOCK))
        time.sleep(0.01)
    print("transect: no port to the host", flush=True)
    power_off()
    raise AssertionError("the machine is off")


def connected(fd: int) -> int:
    """The port, once the host is connected to its other end, which happens a moment after the port has its name."""
    room = select.poll()
    room.register(fd, select.POLLOUT)
    for _ in range(3000):
        if not any(events & select.POLLHUP for _, events in room.poll()):
            break
        time.sleep(0.01)
    return fd


def power_off(*, sync: bool = False) -> None:
    """`sync`: write files back first; only while the host, which has them, is there: otherwise that may never end."""
    if sync:
        os.sync()
    with open("/proc/sysrq-trigger", "w") as trigger:
        trigger.write("b")  # QEMU ends; an orderly end may wait for devices without a host
    time.sleep(60)


def loopback_up() -> None:
    """127.0.0.1 answers, as on any machine.  (SIOCSIFFLAGS with IFF_UP.)"""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 1))


class Job:
    """One command: its process and what of its output is still open."""

    def __init__(self, number: int, process: subprocess.Popen[bytes]) -> None:
        self.number = number
        self.process = process
        self.open = 2
        self.code: int | None = None


class Agent:
    """Everything between the port and the processes, in one loop."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.room = select.poll()
        self.room.register(fd, select.POLLOUT)
        self.jobs: dict[int, Job] = {}
        self.watch = selectors.DefaultSelector()
        self.got = b""
        wake, self.woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.watch.register(wake, selectors.EVENT_READ, self.reap)
        self.watch.register(fd, selectors.EVENT_READ, self.read)
        self.wake = wake
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self.woken, warn_on_full_buffer=False)

    def send(self, job: int, kind: int, payload: bytes = b"") -> None:
        """Send a frame.  A write to a host that has gone away would wait for ever, so this checks first, and switches
        the machine off.
        """
        rest = memoryview(HEAD.pack(len(payload), job, kind) + payload)
        while rest:
            ((_, events),) = self.room.poll()
            if events & (select.POLLHUP | select.POLLERR):
                power_off()
            with contextlib.suppress(BlockingIOError):
                rest = rest[os.write(self.fd, rest) :]

    def loop(self) -> None:
        while True:
            for key, _ in self.watch.select():
                key.data()

    def read(self) -> None:
        try:
            data = os.read(self.fd, CHUNK)
        except BlockingIOError:
            return
        if not data:  # the host has gone away
            power_off()
        self.got += data
        while len(self.got) >= HEAD.size:
            length, job, kind = HEAD.unpack_from(self.got)
            if len(self.got) < HEAD.size + length:
                return
            payload = self.got[HEAD.size : HEAD.size + length]
            self.got = self.got[HEAD.size + length :]
            self.obey(job, kind, payload)

    def obey(self, number: int, kind: int, payload: bytes) -> None:
        if kind == OFF:
            power_off(sync=True)
        elif kind == START:
            self.start(number, json.loads(payload))
        elif number not in self.jobs:
            return  # it has ended meanwhile
        elif kind == SIGNAL:
            with contextlib.suppress(ProcessLookupError):  # likewise
                os.killpg(self.jobs[number].process.pid, payload[0])
        elif kind == INPUT:
            self.feed(self.jobs[number], payload)

    def start(self, number: int, asked: dict[str, object]) -> None:
        argv, cwd, env = asked["argv"], asked["cwd"], asked["env"]
        assert isinstance(argv, list) and isinstance(cwd, str) and isinstance(env, dict)
        try:
            process = subprocess.Popen(
                argv,
                cwd=cwd,
                env=os.environ | env,
                stdin=subprocess.PIPE if asked["input"] else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            code = 127 if error.errno == errno.ENOENT else 126
            reason = f"{error.filename or argv[0]}: {error.strerror}"
            self.send(number, REFUSED, json.dumps({"code": code, "reason": reason}).encode())
            return
        job = self.jobs[number] = Job(number, process)
        assert process.stdout is not None and process.stderr is not None
        for stream, label in ((process.stdout, OUT), (process.stderr, ERR)):
            self.watch.register(
                stream, selectors.EVENT_READ, lambda s=stream, k=label: self.forward(job, s, k)
            )

    def feed(self, job: Job, payload: bytes) -> None:
        assert job.process.stdin is not None
        try:
            job.process.stdin.write(payload) if payload else job.process.stdin.close()
        except BrokenPipeError:
            job.process.stdin.close()

    def forward(self, job: Job, stream: object, kind: int) -> None:
        if stream.closed:  # type: ignore[attr-defined]
            return  # its job ended by an event of the same moment
        data = os.read(stream.fileno(), CHUNK)  # type: ignore[attr-defined]
        if data:
            self.send(job.number, kind, data)
            return
        self.watch.unregister(stream)  # type: ignore[arg-type]
        stream.close()  # type: ignore[attr-defined]
        job.open -= 1
        self.end(job)

    def reap(self) -> None:
        """Collect what has ended: jobs, and orphans, which become children of process 1."""
        os.read(self.wake, CHUNK)
        by_pid = {job.process.pid: job for job in self.jobs.values()}
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in by_pid:
                job = by_pid[pid]
                job.code = os.waitstatus_to_exitcode(status)
                job.process.returncode = job.code
                self.end(job)

    def end(self, job: Job) -> None:
        """Report the end once the process is gone.  Do not wait for output pipes that one of its children still
        holds.
        """
        if job.code is None or job.number not in self.jobs:
            return
        for key in list(self.watch.get_map().values()):
            if key.fileobj in (job.process.stdout, job.process.stderr):
                self.drain(job, key)
        del self.jobs[job.number]
        self.send(job.number, EXIT, struct.pack("<i", job.code))

    def drain(self, job: Job, key: selectors.SelectorKey) -> None:
        kind = OUT if key.fileobj is job.process.stdout else ERR
        os.set_blocking(key.fd, False)
        while True:
            try:
                data = os.read(key.fd, CHUNK)
            except BlockingIOError:
                break
            if not data:
                break
            self.send(job.number, kind, data)
        self.watch.unregister(key.fileobj)
        key.fileobj.close()  # type: ignore[union-attr]


def main() -> None:
    mounts.mount_all(sys.argv[1])
    os.environ |= {"PATH": PATH, "HOME": "/run/home", "LANG": "C.UTF-8"}
    os.mkdir("/run/home")
    # A policy that starves every task must not starve the one who can stop it.  Commands start as ordinary tasks.
    os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    loopback_up()
    agent = Agent(port())
    facts = {"release": os.uname().release, "python": sys.version.split()[0], "cpus": os.cpu_count()}
    agent.send(0, READY, json.dumps(facts).encode())
    agent.loop()


if __name__ == "__main__":
    try:
        main()
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
        power_off()
