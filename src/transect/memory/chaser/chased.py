# SPDX-License-Identifier: Apache-2.0
"""A probe whose walks run elsewhere: chains fetch the elements, and the probe itself, unchanged, judges them here.

If a chain does not end as it should (a list changed under it, a structure lies on two pages, a peer was lost), its walk
is done in the ordinary way, which repairs or names the fault; the round says which walks these were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from transect.base.counted import counted
from transect.core.ir import Program
from transect.lang.tape import LiveTape
from transect.linux.errors import KernelDataError
from transect.memory.chaser.lower import XDP, Kept, Limits, Lowered, check, lower
from transect.memory.chaser.steps import REASONS, Chain, Status
from transect.memory.chaser.walker import Places, Sets, walk
from transect.memory.findings import Said
from transect.memory.machine import Machine
from transect.memory.objects import Node
from transect.memory.questions import Answers
from transect.memory.scan import Prepared, prepare


@dataclass(frozen=True)
class Outcome:
    """The result of a chain."""

    status: Status
    records: tuple[tuple[int, bytes], ...]
    elements: int  # that it visited, with those that a test dropped
    hops: int
    fault: int = 0
    packets: int = 0  # that user space sent and received for it


class Network(Protocol):
    """Where chains run."""

    limits: Limits

    def run(self, chains: Sequence[Chain]) -> list[Outcome]:
        """Run all chains.  A chain that asks a set begins when those before it have ended."""
        ...


@dataclass
class Here:
    """The reference: chains run in this process, one READ after the other."""

    machine: Machine
    limits: Limits = XDP

    def run(self, chains: Sequence[Chain]) -> list[Outcome]:
        sets: Sets = {}
        places, read = Places.of(self.machine), self.machine.physical.read
        done = [walk(chain, places, read, sets) for chain in chains]
        return [Outcome(w.status, tuple(w.records), w.elements, w.hops, w.fault) for w in done]


@dataclass(frozen=True)
class Round:
    """What a probe reported in one round, and what the round cost."""

    said: tuple[Said, ...]
    shown: tuple[Said, ...]
    outcomes: tuple[Outcome, ...]  # of its chains
    again: tuple[str, ...] = ()  # walks that were repeated here, and why


@dataclass
class Chased:
    """A probe bound to a machine, whose walks are bound to a network."""

    prepared: Prepared
    machine: Machine
    network: Network
    walks: tuple[Lowered | Kept, ...]
    lowered: list[Lowered] = field(init=False)

    def __post_init__(self) -> None:
        self.lowered = [w for w in self.walks if isinstance(w, Lowered)]

    @staticmethod
    def of(program: Program, machine: Machine, network: Network) -> Chased:
        """Raises `KernelDataError`, naming what this kernel lacks, or if no walk of the probe can run in
        the network.
        """
        prepared = prepare(program, machine, Answers(machine))
        walks = lower(program, prepared.views, network.limits)
        check(walks)
        return Chased(prepared, machine, network, walks)

    def round(self) -> Round:
        """One round.  Raises `KernelDataError` as the ordinary probe does."""
        problem = self.prepared.begin(self.machine)
        if problem:
            raise KernelDataError(problem)
        outcomes = self.network.run([one.chain for one in self.lowered])
        again: list[str] = []
        functions = self._functions(outcomes, again)
        self.prepared.instance.call("scan", [], tape=LiveTape(), functions=functions)
        return Round(tuple(self.prepared.said), tuple(self.prepared.shown), tuple(outcomes), tuple(again))

    def _functions(self, outcomes: Iterable[Outcome], again: list[str]) -> Mapping[str, Callable[..., Any]]:
        functions = dict(self.prepared.functions)
        brought: dict[str, dict[int, list[Node]]] = {}
        for one, outcome in zip(self.lowered, outcomes, strict=True):
            if outcome.status is Status.FINISHED:
                brought.setdefault(one.site.name, {})[one.site.number] = self._nodes(one, outcome)
            else:
                again.append(f"{one.site.text}: {REASONS[outcome.status]} ({outcome.fault:#x})")
        for name, by_number in brought.items():
            functions[name] = _serving(by_number, functions[name])
        return functions

    def _nodes(self, one: Lowered, outcome: Outcome) -> list[Node]:
        if outcome.elements < one.site.layout.least:
            least = one.site.layout.least
            raise KernelDataError(
                f"`{one.site.text}` gave {counted(outcome.elements, 'element')}, and at least {least} must be there"
            )
        return [self._node(one, link - one.link, data) for link, data in outcome.records]

    def _node(self, one: Lowered, address: int, data: bytes) -> Node:
        """An element with everything that was read of it, so that nothing is read again."""
        low, high = one.near
        near, at = bytearray(high - low), 0
        behind: dict[tuple[int, ...], dict[int, bytes]] = {}
        for piece in one.pieces:
            part = data[at : at + piece.length]
            at += piece.length
            if piece.pointers:
                behind.setdefault(piece.pointers, {})[piece.offset] = part
            else:
                near[piece.offset - low : piece.offset - low + piece.length] = part
        node = self.prepared.views.node(one.view, address)
        node.holds((), address + low, bytes(near))
        for pointers, stretch in self.prepared.views.stretches(one.view).items():
            place = _pointer(near, low, behind, pointers)
            parts = behind[pointers]
            start = min(parts)
            whole = b"".join(parts[offset] for offset in sorted(parts))
            node.holds(pointers, place, whole[stretch[0] - start : stretch[1] - start])
        return node


def _pointer(
    near: bytearray,
    low: int,
    behind: Mapping[tuple[int, ...], Mapping[int, bytes]],
    pointers: tuple[int, ...],
) -> int:
    """The last pointer on a path."""
    if len(pointers) == 1:
        return int.from_bytes(near[pointers[0] - low : pointers[0] - low + 8], "little")
    return int.from_bytes(behind[pointers[:-1]][pointers[-1]][:8], "little")


def _serving(by_number: Mapping[int, list[Node]], ordinary: Callable[..., Any]) -> Callable[[], Any]:
    """A function whose nth call returns the elements of the nth walk."""
    count = -1

    def serve() -> Any:
        nonlocal count
        count += 1
        return by_number[count] if count in by_number else ordinary()

    return serve
