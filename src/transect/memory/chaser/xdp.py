# SPDX-License-Identifier: Apache-2.0
"""Chains in the kernel of the observer: an XDP program on the interface towards the target.  Needs root.

User space puts a chain into the program's maps and sends its first READ; the program turns each answer into the next
READ, and passes the last one on.  What the chain kept lies in memory shared with user space, which also repeats READs
that were lost.
"""

from __future__ import annotations

import mmap
import shutil
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from transect.base.temporary import Temporary
from transect.emit.bpf.toolchain import compiled
from transect.linux.libbpf import Object
from transect.memory.chaser import tables
from transect.memory.chaser.chased import Outcome
from transect.memory.chaser.lower import XDP, Limits
from transect.memory.chaser.steps import Chain, Status
from transect.memory.chaser.walker import Places, Walker
from transect.memory.machine import Machine
from transect.memory.roce.grant import RoceMemory
from transect.memory.roce.packet import PSNS, Nak, Opcode, answer, read_request
from transect.memory.roce.requester import AHEAD, TRIES, PeerGone

SOURCE = Path(__file__).parent / "chaser.bpf.c"
HEADER = Path(__file__).parents[2] / "emit" / "bpf" / "runtime" / "kernel.h"
OWN_PAIRS = 8  # the ones before it belong to the requester
TIMEOUT_S = 0.2
PROGRAM = "chase"


def build(folder: Path) -> Path:
    """The program's object.  Raises `Unavailable` without clang."""
    for file in (SOURCE, HEADER):
        shutil.copy(file, folder)
    return compiled(folder / SOURCE.name, folder / "chaser.o")


@dataclass
class Flight:
    """A chain that is under way."""

    chain: Chain
    slot: int
    tries: int = 0
    deadline: float = 0.0
    hops: int = 0
    packets: int = 0


class Maps:
    """The program, loaded, with its maps."""

    def __init__(self) -> None:
        """Raises `Unavailable`, `BpfError`."""
        with Temporary("transect-chaser-") as folder:
            self.object = Object(build(Path(folder)))
        self.object.load()
        self.object.map("crc").write(_key(0), tables.slices())
        self._states = self._shared("chains", tables.STATE.size * tables.CHAINS)
        self._kept = self._shared("kept", tables.ROOM * tables.CHAINS)
        self._steps = self.object.map("steps")
        self._installed: dict[Chain, int] = {}
        self._free = 0

    def _shared(self, name: str, size: int) -> mmap.mmap:
        return mmap.mmap(self.object.map(name).fd, -(-size // mmap.PAGESIZE) * mmap.PAGESIZE)

    def grant(self, entry: bytes) -> None:
        self.object.map("grants").write(_key(0), entry)

    def install(self, chain: Chain) -> int:
        """Return where the chain's steps begin; a chain that is installed already is left as it is."""
        if chain not in self._installed:
            if self._free + len(chain.steps) > tables.STEPS:  # none is under way when chains are installed
                self._installed.clear()
                self._free = 0
            for number, step in enumerate(chain.steps, self._free):
                self._steps.write(_key(number), tables.step(step, self._free))
            self._installed[chain] = self._free
            self._free += len(chain.steps)
        return self._installed[chain]

    def put(self, slot: int, entry: bytes) -> None:
        at = slot * tables.STATE.size
        self._states[at : at + len(entry)] = entry

    def state(self, slot: int) -> tables.State:
        at = slot * tables.STATE.size
        return tables.State.of(self._states[at : at + tables.STATE.size])

    def kept(self, slot: int, size: int) -> bytes:
        return self._kept[slot * tables.ROOM : slot * tables.ROOM + size]

    def close(self) -> None:
        self._states.close()
        self._kept.close()
        self.object.close()


class Xdp:
    """The network between us and one target, with our program in it."""

    limits: Limits = XDP

    def __init__(self, machine: Machine, interface: str) -> None:
        """Raises `Unavailable`, `BpfError`, OSError (no such interface)."""
        memory = machine.physical
        assert isinstance(memory, RoceMemory), "chains run between us and a target that granted its memory"
        self.memory, self.grant, self.machine = memory, memory.grant, machine
        self.transport = memory.requester.transport
        self.maps = Maps()
        self.maps.grant(tables.grant(self.grant, Places.of(machine), self.transport.ends))
        self._epoch = 0
        try:
            self.maps.object.attach_xdp(PROGRAM, socket.if_nametoindex(interface))
            self.slots = range(OWN_PAIRS, min(len(self.grant.pairs), tables.CHAINS))
            self._psn: dict[int, int] = {}  # the number that the peer expects, where it is known
            self._told: dict[int, int] = {}  # the number that the peer named last
        except BaseException:
            self.maps.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.maps.close()

    def learn(self, slot: int) -> int:
        """The number that the peer expects at a queue pair: it names it when it refuses another number."""
        own = self.grant.first_peer_pair + slot
        self.maps.put(slot, bytes(tables.STATE.size))  # a chain still under way there goes no further
        for _ in range(TRIES):
            self._send(
                slot, (self.grant.psn + AHEAD) % PSNS, self.grant.linear + self.grant.ranges[0].start, 8
            )
            until = time.monotonic() + TIMEOUT_S
            while time.monotonic() < until:
                packet = self.transport.receive(TIMEOUT_S)
                found = answer(self.transport.ends, packet) if packet else None
                if found is not None and found.pair == own and found.opcode == Opcode.ACKNOWLEDGE:
                    if found.syndrome == Nak.SEQUENCE:
                        self._told[slot] = found.psn
                        return found.psn
                    break
        if slot in self._told:  # a peer names it once, until it receives what it expects
            return self._told.pop(slot)
        raise PeerGone(f"queue pair {own:#x} does not answer")

    def _send(self, slot: int, psn: int, address: int, length: int) -> None:
        pair = self.grant.pairs[slot]
        self.transport.send(read_request(self.transport.ends, pair, psn, address, self.grant.key, length))

    # ------------------------------------------------------------ chains

    def run(self, chains: Sequence[Chain]) -> list[Outcome]:
        """Run all chains, as many at a time as there are queue pairs.  Raises `PeerGone`."""
        self._epoch += 1
        places = Places.of(self.machine)
        self.maps.grant(tables.grant(self.grant, places, self.transport.ends))
        outcomes: dict[int, Outcome] = {}
        waiting, flying = list(enumerate(chains)), dict[int, tuple[int, Flight]]()
        free = list(self.slots)
        while waiting or flying:
            while waiting and free and not (flying and _asks(waiting[0][1])):
                number, chain = waiting.pop(0)
                walker = Walker(chain, places)
                if walker.status is not Status.RUNNING:
                    outcomes[number] = Outcome(walker.status, (), 0, 0, walker.fault)
                    continue
                slot = free.pop()
                flying[slot] = number, self._begin(walker, slot)
            for slot in self._arrived(flying) if flying else ():
                number, flight = flying.pop(slot)
                outcomes[number] = self._end(flight)
                free.append(slot)
        return [outcomes[number] for number in range(len(chains))]

    def _begin(self, walker: Walker, slot: int) -> Flight:
        first = self.maps.install(walker.chain)
        psn = self._psn.pop(slot) if slot in self._psn else self.learn(slot)
        entry = tables.begin(walker, first, self.grant.linear, psn, self._epoch)
        self.maps.put(slot, entry)
        flight = Flight(walker.chain, slot)
        self._ask(flight)
        return flight

    def _ask(self, flight: Flight) -> None:
        """Send the READ that the chain waits for: its first one, or one that was lost."""
        state = self.maps.state(flight.slot)
        self._send(flight.slot, state.psn, state.address, state.length)
        flight.packets += 1
        patience = TIMEOUT_S * min(flight.tries + 1, 4)  # an emulated machine may stand still for seconds
        flight.hops, flight.deadline = state.hops, time.monotonic() + patience

    def _arrived(self, flying: dict[int, tuple[int, Flight]]) -> list[int]:
        """Slots of chains that have ended, after at most one packet."""
        packet = self.transport.receive(TIMEOUT_S)
        found = answer(self.transport.ends, packet) if packet else None
        if found is not None and found.pair - self.grant.first_peer_pair in flying:
            flying[found.pair - self.grant.first_peer_pair][1].packets += 1
        ended = [slot for slot in flying if self.maps.state(slot).status is not Status.RUNNING]
        if not ended:
            self._repeat(flying)
        return ended

    def _repeat(self, flying: dict[int, tuple[int, Flight]]) -> None:
        now = time.monotonic()
        for _, flight in flying.values():
            if now < flight.deadline:
                continue
            if self.maps.state(flight.slot).hops != flight.hops:
                flight.tries, flight.hops = 0, self.maps.state(flight.slot).hops
                flight.deadline = now + TIMEOUT_S
                continue
            flight.tries += 1
            if flight.tries > TRIES:
                raise PeerGone(f"no answer to {TRIES} READs of the chain {flight.chain.name}")
            self._ask(flight)

    def _end(self, flight: Flight) -> Outcome:
        state = self.maps.state(flight.slot)
        if state.status is not Status.REFUSED:
            self._psn[flight.slot] = (state.psn + 1) % PSNS
        kept = self.maps.kept(flight.slot, state.records * flight.chain.record)
        found = tables.records(flight.chain, state, kept)
        return Outcome(state.status, found, state.elements, state.hops, state.fault, flight.packets)


def _asks(chain: Chain) -> bool:
    """Whether it asks sets that other chains fill."""
    return any(step.outside is not None for step in chain.steps)


def _key(number: int) -> bytes:
    return number.to_bytes(4, "little")
