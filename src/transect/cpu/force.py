# SPDX-License-Identifier: Apache-2.0
"""Schedulers in force in the running kernel: one shim that stays attached, and versions of policies behind it.

A version is loaded, given its state, and then put in force by one store.  What a version cannot do (the verifier
refuses it, its state does not fit, it lacks a queue in which tasks may wait) is found before that store, and changes
nothing.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from transect.cpu.built import Built
from transect.cpu.hints import broker
from transect.cpu.hints.broker import Broker
from transect.cpu.ring import RING, Drain, Ring
from transect.linux.libbpf import BpfError, Object

KERNEL = Path("/sys/kernel/sched_ext")
TYPES = Path("/sys/kernel/btf/vmlinux")
SHIM = struct.Struct("=QQq128s1024s32768s")  # struct ts_shim
VERSIONS = 64
WATCH_S = 2.0  # how long a new version is watched
PATIENCE_S = 1.0  # the longest that the first of a queue may wait meanwhile
ZERO = bytes(4)
STATE = ".data.policy"  # the map of a policy's state: TS_STATE
COUNTS = ".data.counts"  # TS_COUNTERS
BROKEN = ".data.broken"  # watched.h


class Kept(Exception):
    """The new version does not take over; the old one is in force as before."""

    def __init__(self, why: str, hint: str) -> None:
        super().__init__(why)
        self.why = why
        self.hint = hint


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


@dataclass(slots=True)
class Version:
    """A loaded policy."""

    number: int
    built: Built
    object: Object
    programs: dict[str, int]

    def run(self, name: str, context: bytes = b"") -> int:
        """Run one of its `syscall` programs; its result."""
        return self.object.run(self.programs[name], context)

    def words(self) -> list[int]:
        """The words of its state."""
        return self._words(STATE)

    def counts(self) -> list[dict[str, str | int]]:
        """What happened at its lines that no checker sees: `counted.py`."""
        words = self._words(COUNTS) if self.built.counts else []
        return [
            {"what": what, "path": path, "line": line, "count": count}
            for (what, path, line), count in zip(self.built.counts, words, strict=False)
        ]

    def broken(self) -> str:
        """Which of its conditions did not hold, in words; empty: none."""
        number = self._words(BROKEN)[0] if self.built.conditions else 0
        if not number:
            return ""
        hook, path, line = self.built.conditions[number - 1]
        what = f"what `{hook}` ensures does not hold" if hook else "the invariant does not hold"
        return f"{what} ({Path(path).name}, line {line})"

    def _words(self, name: str) -> list[int]:
        data = self.object.map(name).read(ZERO)
        assert data is not None, "an array map has its entry"
        return [word for (word,) in struct.iter_unpack("=q", data)]


class Force:
    """The shim, attached, and the versions of policies behind it."""

    def __init__(self, shim: Path) -> None:
        self.began = time.monotonic()
        self._shim = Object(shim)
        self._shim.load()
        self._map = self._shim.map("ts_shims")
        size = -(-SHIM.size // mmap.PAGESIZE) * mmap.PAGESIZE
        self._memory = mmap.mmap(self._map.fd, size)
        self._active = ctypes.c_uint64.from_buffer(self._memory)  # a store to it is one instruction
        self._shim.attach("policy")
        self.versions: list[Version] = []
        self._recording: tuple[Version, Drain] | None = None  # the version that was in force, and goes on
        self.broker: Broker | None = None  # of applications, once a policy talks with them
        self._lock = threading.Lock()  # a version is not closed while the broker runs a program of it
        self.ticks = os.sysconf("SC_CLK_TCK")

    # --- versions ------------------------------------------------------------------------------------------------

    @property
    def current(self) -> Version | None:
        number = self._active.value
        return next((v for v in self.versions if v.number == number), None)

    def load(self, built: Built, state: list[int] | None = None) -> Version:
        """Load a version, with its queues and programs in place; not yet in force.  Raises `BpfError`."""
        look_for(built)
        old = self.current
        policy = Object(built.object)
        shares = old is not None and old.built.layout == built.layout
        if old is not None and shares:
            for name in self._shared(old.built, built):
                policy.share(name, old.object.map(name).fd)
        if built.hears or built.tells:
            self._listen()
            for name in broker.MAPS:
                policy.share(name, self._shim.map(name).fd)
        try:
            policy.load()
            version = Version(self._number(), built, policy, dict(policy.programs()))
            if not shares:
                self._fill(version, state or list(built.start))
            if failed := version.run("ts_make_queues"):
                raise BpfError("queues cannot be made", failed, policy.log.text)
            for op in built.ops:
                self._place(op, version)
        except BaseException:
            policy.close()
            raise
        self.versions.append(version)
        return version

    def activate(self, version: Version) -> None:
        """Put it in force: one store."""
        self._active.value = version.number

    def upgrade(
        self, built: Built, *, watch_s: float = WATCH_S, watching: Built | None = None
    ) -> dict[str, str]:
        """Put another version in force, state kept; what became of each field.

        It is watched, and the old one comes back when somebody starves, or when a condition of the policy's own does
        not hold: `watching` is the version in the form that looks at them, which runs meanwhile.

        Raises `Kept`, having changed nothing or having returned; `BpfError` when the verifier refuses it.
        """
        old = self.current
        assert old is not None, "an upgrade of nothing"
        if self._recording is not None:
            raise Kept("it is recorded, and a log is of one version", "end the recording first")
        fields = compared(old.built, built)
        if lost := [name for name, kind in old.built.queues if (name, kind) not in built.queues]:
            why = f"tasks may wait in the queue `{lost[0]}`, which the new version does not have"
            raise Kept(why, "keep the queue, and dispatch from it")
        first = watching if watching is not None and watch_s else built
        new = self.load(first, carried(old, first))
        self.activate(new)
        if watch_s:
            self._watch(old, new, watch_s)
        if first is not built:
            self._follow(old, new, built)
        self._retire(old)
        return fields

    def _follow(self, old: Version, watched: Version, built: Built) -> None:
        """What was watched goes on with the same state, and looks no more."""
        try:
            self.activate(self.load(built))
        except BpfError:
            self._return(old, watched)
            raise
        self._retire(watched)

    def _return(self, old: Version, new: Version) -> None:
        self.activate(old)
        self._retire(new)

    def _watch(self, old: Version, new: Version, watch_s: float) -> None:
        end = time.monotonic() + watch_s
        while time.monotonic() < end:
            time.sleep(0.05)
            self.check()
            if broken := new.broken():
                self._return(old, new)
                raise Kept(f"{new.built.name}: {broken}; the old version is back", "transect prove FILE")
            if (waited := self.longest_wait()) > PATIENCE_S:
                self._return(old, new)
                why = f"{new.built.name} let the first task of a queue wait {waited:.1f} s; the old version is back"
                raise Kept(why, "watch it with `transect vm`, or replay a record of it")

    def longest_wait(self) -> float:
        """For how long the first task of any queue has been able to run, in seconds."""
        version = self.current
        return 0.0 if version is None else version.run("ts_longest_wait") / self.hertz

    @property
    def hertz(self) -> int:
        return HERTZ

    def _number(self) -> int:
        used = {v.number for v in self.versions}
        return next(n for n in range(1, VERSIONS) if n not in used)

    def _shared(self, old: Built, new: Built) -> Iterator[str]:
        yield STATE
        if old.own == new.own:
            yield "policy_tasks"
        yield from (f"policy_table_{place.field}" for place in new.places if not place.words)

    def _fill(self, version: Version, words: list[int]) -> None:
        states = version.object.map(STATE)
        data = b"".join(struct.pack("=Q", word % 2**64) for word in words)
        states.write(ZERO, data.ljust(states.value_size, b"\0"))

    def _place(self, op: str, version: Version) -> None:
        if op == "init":
            return  # the shim's own does what has to be done
        table = self._shim.map(f"ts_to_{op}")
        table.write(struct.pack("=I", version.number), struct.pack("=I", version.programs[f"ts_op_{op}"]))

    def _retire(self, version: Version) -> None:
        """Out of the tables and the kernel, once no CPU is in it any more."""
        quiet()
        for op in version.built.ops:
            if op != "init":
                self._shim.map(f"ts_to_{op}").remove(struct.pack("=I", version.number))
        with self._lock:
            self.versions.remove(version)
            version.object.close()

    # --- recording -----------------------------------------------------------------------------------------------

    def record(
        self, built: Built, write: Callable[[bytes], object], close: Callable[[], object] = lambda: None
    ) -> None:
        """Put the same policy in force as an object that keeps its calls, and give them to `write` as they come."""
        old = self.current
        assert old is not None and self._recording is None, "a recording of nothing, or a second one"
        new = self.load(built)
        ring, recorder = new.object.map("ts_events"), new.object.map("ts_recorders")
        self._recording = old, Drain(Ring(ring.fd, RING, recorder.fd, built.tape), write, close)
        self.activate(new)

    def end_record(self) -> Drain:
        """The object that keeps nothing is in force again; what was drained, and how many calls were lost."""
        assert self._recording is not None, "the end of no recording"
        old, drain = self._recording
        recorded = self.current
        assert recorded is not None, "what was recorded is in force"
        self.activate(old)
        quiet()  # whoever was in a handler has left it: its event is complete
        drain.end()
        self._recording = None
        self._retire(recorded)
        return drain

    # --- for operators --------------------------------------------------------------------------------------------

    def set(self, field: str, value: int) -> int:
        """Give a parameter another value; the one before.  One store, which handlers see at once."""
        version = self.current
        assert version is not None, "a parameter of nothing"
        place = next(p for p in version.built.places if p.field == field)
        with mmap.mmap(version.object.map(STATE).fd, mmap.PAGESIZE * (1 + place.word // 512)) as memory:
            before: int = struct.unpack_from("=q", memory, place.word * 8)[0]
            struct.pack_into("=q", memory, place.word * 8, value)
        return before

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
        _, ended, _, reason, message, dump = SHIM.unpack_from(self._memory)
        if ended:
            raise Ended(
                *(text.partition(b"\0")[0].decode(errors="replace") for text in (reason, message, dump))
            )

    def close(self) -> None:
        """Out of force; tasks go back to the default scheduler."""
        if self.broker is not None:
            self.broker.close()
        self._shim.detach()
        renice()
        for version in self.versions:
            version.object.close()
        del self._active
        self._memory.close()
        self._shim.close()


def look_for(built: Built, types: Path = TYPES) -> None:
    """Raises `Missing` when the kernel lacks what the policy needs.  A function of its interface has its name there."""
    names = types.read_bytes()
    for function, line in built.needs:
        if b"\0" + function.encode() + b"\0" not in names:
            raise Missing(function, line)


class Direct:
    """One policy attached by itself, as hand-written BPF is."""

    def __init__(self, built: Built) -> None:
        self.built = built
        self.object = Object(built.object)
        self.object.load()
        if built.start:  # hand-written objects keep no state of ours
            states = self.object.map(STATE)
            data = b"".join(struct.pack("=Q", word) for word in built.start)
            states.write(ZERO, data.ljust(states.value_size, b"\0"))
        self.object.attach("policy")

    def instructions(self) -> dict[str, int]:
        """What the verifier went through, by operation."""
        found = dict(self.object.programs())
        return {op: self.object.instructions(found[f"ts_op_{op}"]) for op in self.built.ops}

    def close(self) -> None:
        self.object.close()


def compared(old: Built, new: Built) -> dict[str, str]:
    """What becomes of each field, by the rules for state across versions.  Raises `Kept`."""
    if old.layout == new.layout:
        return {place.field: "keep" for place in new.places}
    from transect.core.schema import Schema
    from transect.core.upgrade import compare

    comparison = compare(Schema.from_json(old.schema), Schema.from_json(new.schema))
    if comparison.refused:
        why = "; ".join(f"`{d.field}`: {d.reason}" for d in comparison.refused)
        raise Kept(f"its state does not go over: {why}", "give the field another name")
    return {d.field: str(d.action) for d in comparison.decisions}


def carried(old: Version, built: Built) -> list[int]:
    """The words of the new version's state, with what goes over from the old one's."""
    words, source = list(built.start), old.words()
    before = {place.field: place for place in old.built.places}
    for place in built.places:
        was = before.get(place.field)
        if was is not None and place.words and was.words:
            count = min(place.words, was.words)
            words[place.word : place.word + count] = source[was.word : was.word + count]
    return words


def renice() -> None:
    """Tell the fair class the nice value of each task anew.

    It takes no notice of those that changed while a scheduler of sched_ext was in force, and setting the value that a
    task has already is nothing to it: so each is set to another one and back.
    """
    for folder in Path("/proc").glob("[0-9]*/task/[0-9]*"):
        thread = int(folder.name)
        try:
            nice = os.getpriority(os.PRIO_PROCESS, thread)
            if nice != 0 and os.sched_getscheduler(thread) in (os.SCHED_OTHER, os.SCHED_BATCH):
                os.setpriority(os.PRIO_PROCESS, thread, nice - 1 if nice > 0 else nice + 1)
                os.setpriority(os.PRIO_PROCESS, thread, nice)
        except (ProcessLookupError, PermissionError):
            continue  # it has ended meanwhile, or belongs to another user namespace


def quiet() -> None:
    """Until every CPU has been through a point where it is in no program: a barrier of all."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall(324, 1, 0, 0)  # membarrier(MEMBARRIER_CMD_GLOBAL)


def events() -> dict[str, int]:
    """The kernel's own counters of the scheduler in force; none: there is no scheduler."""
    file = KERNEL / "root" / "events"
    if not file.is_file():
        return {}
    return {name: int(count) for name, count in (line.split() for line in file.read_text().splitlines())}


def state() -> str:
    """`enabled`, `disabled` …; empty: this kernel has no sched_ext."""
    file = KERNEL / "state"
    return file.read_text().strip() if file.is_file() else ""


def partial() -> bool:
    """Whether the scheduler in force has those tasks only that opted in."""
    file = KERNEL / "switch_all"
    return file.is_file() and file.read_text().strip() == "0"


def _hertz() -> int:
    """Ticks of the kernel's clock in a second; stock kernels of Debian have 250."""
    config = Path(f"/boot/config-{os.uname().release}")
    if config.is_file():
        for line in config.read_text().splitlines():
            if line.startswith("CONFIG_HZ="):
                return int(line.partition("=")[2])
    return 250


HERTZ = _hertz()
Say = Callable[[str], None]
