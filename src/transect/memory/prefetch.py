# SPDX-License-Identifier: Apache-2.0
"""Reads ahead, for memory at the end of a link: what a probe's last round read is requested again at once.

Kernels change slowly: nearly all pointers lead where they led a round ago.  So a round begins with one burst of many
READs in flight, and follows pointers through what came; anything else that it needs is then read one by one.  A read of
the burst answers as many reads as the last round made of that place, and no more: a walk which looks again, because it
met a structure in mid-change, sees memory anew.  Every read between rounds does so, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, runtime_checkable

from transect.lang.tape import Tape
from transect.linux.physical import Physical, Range
from transect.memory.findings import Said
from transect.memory.machine import Closable, Machine
from transect.memory.scan import Prepared, Rounds

Place = tuple[int, int]
"""Physical address, size."""


@runtime_checkable
class Batched(Protocol):
    """Memory that answers many reads at a time."""

    def read_many(self, places: Sequence[Place]) -> list[bytes]:
        """Raises as `Physical.read`."""
        ...


@dataclass
class Trips:
    """How often the observer waited for the target."""

    bursts: int = 0
    single: int = 0
    ahead: int = 0  # reads that were answered from a burst

    @property
    def sequence(self) -> int:
        """Round trips that each had to wait for the one before."""
        return self.bursts + self.single


@dataclass
class Ahead:
    """Physical memory which is read ahead."""

    memory: Physical
    trips: Trips = field(default_factory=Trips)
    _last: dict[str, Counter[Place]] = field(default_factory=dict)  # by probe: what its last round read
    _now: Counter[Place] = field(default_factory=Counter)
    _ready: dict[Place, bytes] = field(default_factory=dict)
    _left: Counter[Place] = field(default_factory=Counter)
    _under_way: set[str] = field(default_factory=set)  # probes whose rounds have begun

    @property
    def ranges(self) -> Sequence[Range]:
        return self.memory.ranges

    @property
    def live(self) -> bool:
        return self.memory.live

    def begin(self, probes: Iterable[str]) -> None:
        """Rounds of these probes begin: one burst for all of them.  Raises as `Physical.read`."""
        names = list(probes)
        self._under_way.update(names)
        self._left = sum((self._last.get(name, Counter()) for name in names), Counter())
        places = list(self._left)
        self._ready = {}
        if places:
            assert isinstance(self.memory, Batched), "memory that is read ahead takes many reads at a time"
            self.trips.bursts += 1
            self._ready = dict(zip(places, self.memory.read_many(places), strict=True))

    def read(self, address: int, size: int) -> bytes:
        if not self._under_way:
            return self.memory.read(address, size)
        place = (address, size)
        self._now[place] += 1
        if self._left[place] > 0:
            self._left[place] -= 1
            self.trips.ahead += 1
            return self._ready[place]
        self.trips.single += 1
        return self.memory.read(address, size)

    def close(self) -> None:
        """Close the memory behind this."""
        if isinstance(self.memory, Closable):
            self.memory.close()

    def end(self, probe: str) -> None:
        """The round is over: the next one begins with the places that this one read."""
        self._under_way.discard(probe)
        self._last[probe] = self._now
        self._now = Counter()


@dataclass
class AheadProbe:
    """A probe that reads ahead."""

    runs_as: ClassVar = "the interpreter, which reads ahead"
    prepared: Prepared
    memory: Ahead
    runs: Rounds
    alone: bool = (
        True  # whether its rounds start their own burst; else one burst is made for the rounds of many
    )

    def round(self, machine: Machine, tape: Tape | None = None) -> tuple[tuple[Said, ...], tuple[Said, ...]]:
        """As `Prepared.round`."""
        name = self.prepared.program.name
        if self.alone:
            self.memory.begin([name])
        try:
            return self.runs.round(machine, tape)
        finally:
            self.memory.end(name)


def ahead(
    machine: Machine, prepared: Sequence[Prepared], others: Mapping[str, Rounds] | None = None
) -> Mapping[str, Rounds]:
    """The engine for memory that answers many reads at a time.  `others` run in place of the interpreter, by name."""
    memory = machine.physical if isinstance(machine.physical, Ahead) else Ahead(machine.physical)
    machine.physical = memory
    runs = others or {}
    return {p.program.name: AheadProbe(p, memory, runs.get(p.program.name, p)) for p in prepared}
