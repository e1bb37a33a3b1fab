# SPDX-License-Identifier: Apache-2.0
"""When a report of a probe becomes a finding: if the probe repeats it after the kernel has gone on.

A kernel changes its books one after the other, so two views of one thing disagree for a moment, on a clean machine too.
If the machine stands still meanwhile, as virtual machines do, rounds that follow each other see the same moment twice.
The moment is over when every thread that was in the middle of something has left it, and that is what RCU counts: a
report must be repeated after `GRACE` of its grace periods, or after the machine had nothing to do.
`docs/design/confirmation.md` says why that suffices.  What a probe says by `caught` only needs the next round; a dump
has only one moment.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

from transect.linux.kaslr import Location
from transect.memory.findings import Key, Said
from transect.memory.machine import MASK, Machine

GRACE = 4  # whole grace periods; docs/design/confirmation.md counts them
STATE_BITS = (
    2  # of RCU's sequences: whether a grace period is under way; the bits above them count grace periods
)
UNDER_WAY = (1 << STATE_BITS) - 1
PATIENCE_S = 10.0  # within which a running target must go on
MOMENT_S = 0.05  # for which we watch how it goes on, before each round
POLL_S = 0.002
NEVER = float("-inf")
STANDS_STILL = "the target stands still: what was said may be a change that it is in the middle of"


@dataclass(frozen=True)
class Mark:
    """How far a kernel has come.  Times are of our clock, in seconds."""

    grace: int  # RCU's sequence of grace periods
    settled: float = NEVER  # everything that was under way at this time has ended
    at: float = 0.0


class Progress(Protocol):
    """How far a target has come."""

    def mark(self) -> Mark:
        """Raises `KernelDataError`."""
        ...

    def gone_on(self, since: Mark, now: Mark) -> bool:
        """Whether every change that was under way at `since` has ended by `now`."""
        ...


def progress_of(machine: Machine) -> Progress:
    """The progress of a target that runs, or of a dump."""
    return Running(machine) if machine.physical.live else Dumped()


class Dumped:
    """A dump does not go on: what it says in one round is all that will be known."""

    def mark(self) -> Mark:
        return Mark(0)

    def gone_on(self, since: Mark, now: Mark) -> bool:
        return True


@dataclass
class Running:
    """A kernel that runs, judged by its own record of RCU and, while RCU has nothing to do, by what its
    processors do.
    """

    machine: Machine
    _found: tuple[Location, Places] | None = None
    _before: Rcu | None = None  # RCU's state at the last look
    _active: float = NEVER  # when RCU was last seen to have something to do, or to have done something
    _settled: float = NEVER
    _processors: dict[int, Processor] = field(default_factory=dict)  # by the offset of its per-CPU area

    def mark(self) -> Mark:
        """What was under way is over if, while RCU had nothing to do, each processor came to a quiet moment."""
        rcu, looks = self._rcu(), {}
        for offset in self.machine.processors():
            looks[offset] = self._look(offset)
        now = time.monotonic()
        calm = not rcu.busy and rcu == self._before == self._rcu()
        if not calm or any(look.callbacks for look in looks.values()):
            self._active = now
        quiet = min((look.quiet for look in looks.values()), default=NEVER)
        if quiet > self._active:
            self._settled = quiet
        self._before, self._processors = rcu, looks
        return Mark(rcu.grace, self._settled, now)

    def gone_on(self, since: Mark, now: Mark) -> bool:
        """Only a grace period that began after `since` counts, not one that was under way then."""
        began = -(-since.grace >> STATE_BITS)
        return now.settled > since.at or (now.grace >> STATE_BITS) - began >= GRACE

    @property
    def _places(self) -> Places:
        """Where to look; a kernel that started again has other places."""
        if self._found is None or self._found[0] != self.machine.where:
            self._found = self.machine.where, Places.of(self.machine)
            self._before, self._processors, self._settled = None, {}, NEVER
        return self._found[1]

    def _rcu(self) -> Rcu:
        read, at = self.machine.u64, self._places
        return Rcu(read(at.sequence), read(at.needed), read(at.expedited))

    def _look(self, offset: int) -> Processor:
        began, at, read = time.monotonic(), self._places, self.machine.u64
        queue = self.machine.read(at.queues + offset & MASK, at.size)
        runs, now, idle, switches = (
            int.from_bytes(queue[start : start + size], "little") for start, size in at.fields
        )
        user, rests, left = (read(place + offset & MASK) for place in (at.user, at.rests, at.callbacks))
        look = Processor(began, runs, now == idle, switches, user, rests, left)
        return look.after(self._processors.get(offset))


@dataclass(frozen=True)
class Rcu:
    """RCU's sequence, the value that somebody wants it to reach, and the sequence of its expedited grace periods."""

    grace: int
    needed: int
    expedited: int

    @property
    def busy(self) -> bool:
        return bool((self.grace | self.expedited) & UNDER_WAY) or self.needed > self.grace


@dataclass(frozen=True)
class Processor:
    """The state of one processor, at one look."""

    at: float  # on our clock
    runs: int  # threads that run or could
    idle: bool
    switches: int
    user: int  # nanoseconds in user space, counted at each tick
    rests: int  # how often it had nothing to do
    callbacks: int  # of RCU, still to be called
    quiet: float = NEVER  # when it was last outside of the kernel, with no thread waiting to go on in it

    def after(self, before: Processor | None) -> Processor:
        """The same look, with what follows from the one before.

        A processor was quiet between two looks if it had nothing to do, or if its only thread was in user space.  A
        single look never shows a processor at rest if that processor answers it, as with soft-RoCE.
        """
        if self.idle and not self.runs:
            return replace(self, quiet=self.at)
        if before is None:
            return self
        alone = self.runs <= 1 and before.runs <= 1 and self.switches == before.switches
        was = self.rests != before.rests or (alone and self.user > before.user)
        return replace(self, quiet=before.at if was else before.quiet)


@dataclass(frozen=True)
class Places:
    """Where the kernel says how far it has come."""

    sequence: int
    needed: int
    expedited: int
    callbacks: int  # of each processor, to its offset; and what follows
    user: int
    rests: int
    queues: int
    size: int
    fields: tuple[
        tuple[int, int], ...
    ]  # of what runs, the thread, the idle thread, switches: offset and size

    @staticmethod
    def of(machine: Machine) -> Places:
        """Raises `KernelDataError` which names what this kernel does not have."""
        btf, state = machine.known.btf, machine.symbol("rcu_state")
        needed = btf.field("rcu_state", "node").offset + btf.field("rcu_node", "gp_seq_needed").offset
        callbacks = btf.field("rcu_data", "cblist").offset + btf.field("rcu_segcblist", "len").offset
        user = btf.field("kernel_cpustat", "cpustat").offset + 8 * btf.constants.get("CPUTIME_USER", 0)
        queue = {name: btf.field("rq", name).offset for name in ("nr_running", "curr", "idle", "nr_switches")}
        low = min(queue.values())
        return Places(
            sequence=state + btf.field("rcu_state", "gp_seq").offset,
            needed=state + needed,
            expedited=state + btf.field("rcu_state", "expedited_sequence").offset,
            callbacks=machine.symbol("rcu_data") + callbacks,
            user=machine.symbol("kernel_cpustat") + user,
            rests=machine.symbol("tick_cpu_sched") + btf.field("tick_sched", "idle_calls").offset,
            queues=machine.symbol("runqueues") + low,
            size=max(queue.values()) + 8 - low,
            fields=tuple((at - low, 4 if name == "nr_running" else 8) for name, at in queue.items()),
        )


def wait(progress: Progress, since: Mark, patience_s: float | None = None) -> bool:
    """Wait until the target has gone on since then; False if it stands still.  Raises `KernelDataError`."""
    until = time.monotonic() + (PATIENCE_S if patience_s is None else patience_s)
    while not progress.gone_on(since, progress.mark()):
        if time.monotonic() > until:
            return False
        time.sleep(POLL_S)
    return True


def distinct(said: Iterable[Said]) -> list[Said]:
    """Each report once: several elements may tell of one thing."""
    return list({one.key: one for one in said}.values())


@dataclass
class Confirmation:
    """What one probe said, round after round, and since when."""

    progress: Progress
    _since: dict[Key, Mark | None] = field(
        default_factory=dict
    )  # what the last round said; None: by `caught`
    _now: Mark | None = None  # when this round began

    @property
    def waits(self) -> Mark | None:
        """The mark from which the kernel must go on until all that was said can be confirmed; None if the next round
        suffices.
        """
        return max((m for m in self._since.values() if m is not None), key=lambda m: m.at, default=None)

    @property
    def waits_in_vain(self) -> bool:
        """Whether something that the last round said has waited too long for the kernel to go on."""
        marks = [m for m in self._since.values() if m is not None]
        now = self._now
        return now is not None and any(
            now.at - m.at > PATIENCE_S and not self.progress.gone_on(m, now) for m in marks
        )

    def begin(self) -> None:
        """A round begins; a running target is watched for a moment first.  Raises `KernelDataError`."""
        self._now = None
        if self._since and (since := self.waits) is not None:
            wait(self.progress, since, MOMENT_S)
            self._now = self.progress.mark()

    def lost(self) -> None:
        """A round could not look: what was said before it no longer counts."""
        self._since = {}

    def said(self, said: Iterable[Said]) -> list[Said]:
        """Take what a round said; return the part that is confirmed, each report once.  Raises `KernelDataError`."""
        before, self._since = self._since, {}
        confirmed: list[Said] = []
        after: Mark | None = None
        for one in distinct(said):
            key = one.key
            if key in before:
                since = before[key]
                if self._gone_on(since):
                    confirmed.append(one)
            elif one.caught:
                since = None
            else:
                since = after = after or self.progress.mark()
            self._since[key] = since
        return confirmed

    def _gone_on(self, since: Mark | None) -> bool:
        return since is None or (self._now is not None and self.progress.gone_on(since, self._now))
