# SPDX-License-Identifier: Apache-2.0
"""Schedulers in force in the running kernel: one shim that stays attached, and versions of policies behind it.

A version is loaded, given its state, and then put in force by one store.  Whatever prevents it (the verifier refuses
it, its state does not fit, it lacks a queue in which tasks may wait) is found before that store, and changes nothing.
"""

from __future__ import annotations

import ctypes
import errno
import gzip
import mmap
import os
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from transect.base.bounded import whole
from transect.cpu.built import Built
from transect.cpu.hints import broker
from transect.cpu.hints.broker import Broker
from transect.cpu.ring import MAP, Drain, Rings, Write, possible
from transect.cpu.version import STATE, Kept, Version, common
from transect.linux.libbpf import BpfError, Object

KERNEL = Path("/sys/kernel/sched_ext")
TYPES = Path("/sys/kernel/btf/vmlinux")
LARGEST = 256 << 20  # bytes of the types of a kernel, which has some 10 million
SHIM = struct.Struct("=Qq128s1024s32768s")  # struct ts_shim
VERSIONS = 5  # places for versions; one is in force, an upgrade takes two more
WATCH_S = 2.0  # how long a new version is watched
PATIENCE_S = 1.0  # the longest that the first task of a queue may wait then while no task makes progress


class Missing(Exception):
    """The kernel does not have a function that a line of the policy needs."""

    def __init__(self, function: str, line: int) -> None:
        super().__init__(f"this kernel has no {function}, which line {line} needs")
        self.function = function
        self.line = line


class Ended(Exception):
    """The kernel has taken the scheduler out of force."""

    def __init__(self, reason: str, message: str, dump: str) -> None:
        super().__init__(f"{reason}: {message}" if message else reason)
        self.reason = reason
        self.message = message
        self.dump = dump
        if dump:
            self.add_note(dump)  # a traceback shows it


class Force:
    """The shim, attached, and the versions of policies behind it."""

    def __init__(self, shim: Path) -> None:
        self._shim, form = opened(shim)
        self._shim.load()
        size = -(-SHIM.size // mmap.PAGESIZE) * mmap.PAGESIZE
        self._memory = mmap.mmap(self._shim.map("ts_shims").fd, size)
        self._word = mmap.mmap(self._shim.map(".data.active").fd, mmap.PAGESIZE)
        self._active = ctypes.c_uint64.from_buffer(self._word)  # a store through it is one instruction
        self._shim.attach(form)
        self.versions: list[Version] = []
        self._recording: tuple[Version, Drain] | None = (
            None  # the version that was in force before, and will be again
        )
        self.broker: Broker | None = None  # of applications, once a policy exchanges messages with them
        self._lock = threading.Lock()  # a version is not closed while the broker runs a program of it

    # --- versions ------------------------------------------------------------------------------------------------

    @property
    def current(self) -> Version | None:
        number = self._active.value
        return next((v for v in self.versions if v.number == number), None)

    def load(self, built: Built) -> Version:
        """Load a version, with its queues and programs in place, but not yet in force.

        Raises `BpfError`, `Kept`; `Ended` if the kernel has ended the scheduler, which it shows by ENODEV.
        """
        look_for(built)
        old = self.current
        if built.hears_all and not self._shim.has_map("ts_to_dequeue"):
            why = "it was attached for a policy without `dequeue`, `wake` and `sleep`, and this one has one of them"
            raise Kept(why, "end it, and begin with this version")
        policy, _ = opened(built.object)
        maps = {} if old is None else _shared(old.built, built)
        for name, there in maps.items():
            assert old is not None, "something is shared with nobody"
            policy.share(name, old.object.map(there).fd)
        if built.tape:
            policy.resize(MAP, possible("cpu"))
        if built.hears or built.tells:
            self._listen()
            for name in broker.MAPS:
                policy.share(name, self._shim.map(name).fd)
        try:
            policy.load()
            version = Version(self._number(), built, policy, dict(policy.programs()))
            if STATE not in maps:
                version.fill(built.start)
            if failed := version.run("ts_make_queues"):
                raise BpfError("queues cannot be made", failed, policy.log.text)
            for op in built.ops:
                self._place(op, version)
        except BaseException:
            policy.close()
            self.check()
            raise
        self.versions.append(version)
        return version

    def activate(self, version: Version) -> None:
        """Put the version in force: one store."""
        self._active.value = version.number

    def upgrade(
        self, built: Built, *, watch_s: float = WATCH_S, watching: Built | None = None
    ) -> dict[str, str]:
        """Put another version in force, with the state kept; return what became of each field.

        The new version is watched, and the old one comes back if a task starves or a condition of the policy does not
        hold. `watching` is the new version in the form that checks its conditions; it runs meanwhile.

        Raises `Kept`, having changed nothing or having returned to the old version; `BpfError` when the verifier
        refuses it.
        """
        from transect.cpu.handover import check_queues, compared, hand_over

        old = self.current
        assert old is not None, "an upgrade of nothing"
        if self._recording is not None:
            raise Kept("it is recorded, and a log is of one version", "end the recording first")
        check_queues(old.built, built)
        fields = compared(old.built, built, watched=watch_s > 0)
        first = watching if watching is not None and watch_s else built
        new = self.load(first)
        try:
            hand_over(old, new)
        except Kept:
            self._retire(new)
            raise
        self.activate(new)
        if watch_s:
            self._watch(old, new, watch_s)
        if first is not built:
            self._follow(old, new, built)
        self._retire(old)
        return fields

    def _follow(self, old: Version, watched: Version, built: Built) -> None:
        """After the watch, continue with the same state in the form that does not check conditions."""
        try:
            self.activate(self.load(built))
        except BpfError:
            self._return(old, watched)
            raise
        self._retire(watched)

    def _return(self, old: Version, new: Version) -> str:
        """Put the old version in force again; say so in words."""
        from transect.cpu.handover import hand_back

        short = hand_back(old, new)
        self.activate(old)
        self._retire(new)
        return f"the old version is back{short}"

    def _watch(self, old: Version, new: Version, watch_s: float) -> None:
        """Raises `Kept` when the old version is back, or `Ended`.

        A task with little weight may have waited for long when its turn comes; it starves only if no task makes
        progress meanwhile.
        """
        since = last = time.monotonic()  # `since`: when a task last made progress
        end, before = since + watch_s, 0.0
        while last < end:
            time.sleep(0.05)
            self.check()
            if broken := new.broken():
                back = self._return(old, new)
                raise Kept(f"{new.built.name}: {broken}; {back}", "transect prove FILE")
            now, waited = time.monotonic(), self.longest_wait()
            since = since if waited - before > (now - last) / 2 else now
            last, before = now, waited
            if min(waited, now - since) > PATIENCE_S:
                back = self._return(old, new)
                why = f"{new.built.name} let the first task of a queue wait {waited:.1f} s; {back}"
                raise Kept(why, "watch it with `transect vm`, or replay a record of it")

    def longest_wait(self) -> float:
        """For how long the first task of any queue has been able to run, in seconds."""
        version = self.current
        return 0.0 if version is None else version.run("ts_longest_wait") / HERTZ

    def _number(self) -> int:
        used = {v.number for v in self.versions}
        return next(n for n in range(1, VERSIONS) if n not in used)

    def _place(self, op: str, version: Version) -> None:
        if op == "init":
            return  # the shim does by itself what is necessary
        table = self._shim.map(f"ts_to_{op}")
        table.write(struct.pack("=I", version.number), struct.pack("=I", version.programs[f"ts_op_{op}"]))

    def _retire(self, version: Version) -> None:
        """Remove a version from the tables and the kernel, once no CPU runs it any more."""
        quiet()
        if "ts_end_slices" in version.programs:
            version.run("ts_end_slices")  # this ends its alarms, too
        for op in version.built.ops:
            if op != "init":
                self._shim.map(f"ts_to_{op}").remove(struct.pack("=I", version.number))
        with self._lock:
            self.versions.remove(version)
            version.object.close()

    # --- recording -----------------------------------------------------------------------------------------------

    def record(self, built: Built, write: Write, close: Callable[[], object] = lambda: None) -> None:
        """Put the same policy in force as an object that records its calls, and give these to `write` as they come."""
        old = self.current
        assert old is not None and self._recording is None, "a recording of nothing, or a second one"
        new = self.load(built)
        rings = Rings(new.object.map(MAP).fd, possible("cpu"), built.tape)
        self._recording = old, Drain(rings, write, close)
        self.activate(new)

    def end_record(self) -> Drain:
        """Put the object that does not record in force again; return what was drained, and how many calls were lost."""
        assert self._recording is not None, "the end of no recording"
        old, drain = self._recording
        recorded = self.current
        assert recorded is not None, "what was recorded is in force"
        self.activate(old)
        quiet()  # every handler that ran has ended by now: its event is complete
        drain.end()
        self._recording = None
        self._retire(recorded)
        return drain

    # --- for operators --------------------------------------------------------------------------------------------

    def set(self, field: str, words: Sequence[int]) -> list[int]:
        """Give a parameter another value, in words; return the value before."""
        version = self.current
        assert version is not None, "a parameter of nothing"
        return version.set(field, words)

    # --- applications --------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        if self.broker is None:
            maps = {name: self._shim.map(name) for name in broker.MAPS}
            self.broker = Broker(
                maps, lambda: None if (v := self.current) is None else v.built, self._detached
            )

    def _detached(self, process: int) -> None:
        """Tell the policy that an application has gone."""
        with self._lock:
            version = self.current
            gone = struct.pack("=IIq5q", 0, 0, process, *[0] * 5)
            while version is not None and version.built.hears and version.run("ts_detach", gone):
                time.sleep(0.001)

    # --- the kernel's side ---------------------------------------------------------------------------------------

    def check(self) -> None:
        """Raises `Ended` once the kernel has ended the scheduler."""
        ended, _, reason, message, dump = SHIM.unpack_from(self._memory)
        if ended:
            raise Ended(
                *(text.partition(b"\0")[0].decode(errors="replace") for text in (reason, message, dump))
            )

    def close(self) -> None:
        """Take the scheduler out of force; tasks go back to the default scheduler."""
        if self.broker is not None:
            self.broker.close()
        self._shim.detach()
        renice()
        for version in self.versions:
            version.object.close()
        del self._active
        self._word.close()
        self._memory.close()
        self._shim.close()


def _shared(old: Built, new: Built) -> dict[str, str]:
    if old.layout == new.layout:
        return common(old, new)
    from transect.cpu.handover import shared

    return shared(old, new)


def look_for(built: Built, types: Path = TYPES) -> None:
    """Raises `Missing` if the kernel lacks what the policy needs.  Its types name every function that a policy can
    call.
    """
    names = whole(types, LARGEST)
    for function, line in built.needs:
        if b"\0" + function.encode() + b"\0" not in names:
            raise Missing(function, line)


def opened(path: Path, types: Path = TYPES) -> tuple[Object, str]:
    """An object that is not loaded yet, with the one form of its scheduler whose flags this kernel knows."""
    found = Object(path)
    form, other = _forms(types)
    found.leave_out(other)
    return found, form


@cache
def _forms(types: Path) -> tuple[str, str]:
    queued = b"\0SCX_OPS_ALLOW_QUEUED_WAKEUP\0" in whole(types, LARGEST)
    return ("policy_queued", "policy") if queued else ("policy", "policy_queued")


class Direct:
    """One policy attached by itself, as hand-written BPF is."""

    def __init__(self, built: Built) -> None:
        self.built = built
        self.object, form = opened(built.object)
        self.object.load()
        if built.start:  # hand-written objects have no state of ours
            Version(0, built, self.object, {}).fill(built.start)
        self.object.attach(form)

    def instructions(self) -> dict[str, int]:
        """How many instructions the verifier examined, by operation."""
        found = dict(self.object.programs())
        return {op: self.object.instructions(found[f"ts_op_{op}"]) for op in self.built.ops}

    def close(self) -> None:
        self.object.close()


def renice() -> None:
    """Tell the fair class the nice value of each task anew.

    The class ignores changes made while a scheduler of sched_ext was in force, and also ignores a value that a task has
    already: so each value is set to another one and back.
    """
    for thread in threads():
        with suppress(OSError):  # it has ended meanwhile, or belongs to another user namespace
            nice = os.getpriority(os.PRIO_PROCESS, thread)
            if os.sched_getscheduler(thread) in (os.SCHED_OTHER, os.SCHED_BATCH):
                os.setpriority(os.PRIO_PROCESS, thread, nice - 1 if nice > 0 else nice + 1)
                os.setpriority(os.PRIO_PROCESS, thread, nice)


def threads() -> Iterator[int]:
    """All threads; some may end meanwhile."""
    for process in filter(str.isdecimal, os.listdir("/proc")):
        with suppress(OSError):
            yield from map(int, os.listdir(f"/proc/{process}/task"))


def quiet() -> None:
    """Wait until every CPU has been at a point where it runs no BPF program: a barrier over all CPUs."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall(324, 1, 0, 0)  # membarrier(MEMBARRIER_CMD_GLOBAL)


def events() -> dict[str, int]:
    """The kernel's own counters of the scheduler in force; empty if there is none."""
    try:
        lines = _said(KERNEL / "root" / "events").splitlines()
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV):  # ENODEV: it ended meanwhile
            return {}
        raise
    return {name: int(count) for name, count in (line.split() for line in lines)}


def state() -> str:
    """`enabled`, `disabled` …; empty: this kernel has no sched_ext."""
    file = KERNEL / "state"
    return _said(file) if file.is_file() else ""


def partial() -> bool:
    """Whether the scheduler in force has only the tasks that opted in."""
    file = KERNEL / "switch_all"
    return file.is_file() and _said(file) == "0"


def _said(file: Path) -> str:
    """The content of one of the kernel's files.  Raises OSError."""
    return whole(file).decode().strip()


def _hertz() -> int:
    """Ticks of the kernel's clock in a second, from its configuration; stock kernels of Debian, which in a machine of
    its own do not have it beside them, have 250."""
    for path, opened in ((f"/boot/config-{os.uname().release}", open), ("/proc/config.gz", gzip.open)):
        with suppress(OSError), opened(path, "rt") as file:
            for line in file:
                if line.startswith("CONFIG_HZ="):
                    return int(line.partition("=")[2])
    return 250


HERTZ = _hertz()
