# SPDX-License-Identifier: Apache-2.0
"""A grant as the target shows it (`/proc/transect_grant`), and the memory to which it gives access."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from transect.linux.errors import KernelDataError
from transect.linux.physical import OutOfRange, Range
from transect.memory.roce.requester import Requester
from transect.memory.roce.transport import Transport

MOST = 64  # ranges
LARGEST = 1 << 16  # bytes of a grant's file


@dataclass(frozen=True)
class Grant:
    """What the target lets one peer read."""

    key: int
    psn: int
    linear: (
        int  # the address of physical 0 on the target's device: for soft-RoCE a virtual address, for a card 0
    )
    pairs: tuple[int, ...]
    first_peer_pair: int
    ranges: tuple[Range, ...]
    init_task: int | None = None  # physical address, if the kernel gave it
    port: int = 0  # where an RDMA card connects; 0: it cannot

    @staticmethod
    def parse(text: str) -> Grant:
        """Raises `KernelDataError` which names what is missing."""
        values: dict[str, list[str]] = {}
        for line in text.splitlines():
            name, equals, value = line.strip().partition("=")
            if equals:
                values.setdefault(name, []).append(value)
        try:
            numbers = {n: int(values[n][0], 0) for n in ("rkey", "psn", "linear", "first_peer_pair")}
            pairs = tuple(int(v, 0) for v in values["pair"])
            told = int(values["init_task"][0], 0) if "init_task" in values else None
            port = int(values["port"][0], 0) if "port" in values else 0
            ends = [v.partition("-") for v in values["range"][:MOST]]
            ranges = tuple(sorted((Range(int(a, 0), int(b, 0)) for a, _, b in ends), key=lambda r: r.start))
        except KeyError as missing:
            raise KernelDataError(f"the grant does not say `{missing.args[0]}`") from None
        except ValueError as wrong:
            raise KernelDataError(f"the grant is damaged: {wrong}") from None
        if any(r.end <= r.start for r in ranges) or not ranges:
            raise KernelDataError("the grant has a range that is none")
        if not 0 <= port < 1 << 16:
            raise KernelDataError(f"the grant is damaged: port {port}")
        return Grant(
            numbers["rkey"],
            numbers["psn"],
            numbers["linear"],
            pairs,
            numbers["first_peer_pair"],
            ranges,
            told,
            port,
        )


class GrantedMemory(ABC):
    """Physical memory of a machine that granted it, by READs."""

    live = True

    def __init__(self, grant: Grant) -> None:
        self.grant = grant

    @property
    def ranges(self) -> Sequence[Range]:
        return self.grant.ranges

    @property
    def init_task(self) -> int | None:
        """Physical address of `init_task`, as the grant tells it."""
        return self.grant.init_task

    def read(self, address: int, size: int) -> bytes:
        return self.read_many([(address, size)])[0]

    def read_many(self, places: Sequence[tuple[int, int]]) -> list[bytes]:
        """Several reads in flight.  Every address is checked first: one that is not mapped can crash the target."""
        for address, size in places:
            if not any(r.start <= address and address + size <= r.end for r in self.ranges):
                raise OutOfRange(f"no memory at physical {address:#x} ({size} bytes)")
        return self._fetch([(self.grant.linear + address, size) for address, size in places])

    @abstractmethod
    def _fetch(self, places: Sequence[tuple[int, int]]) -> list[bytes]:
        """Read at addresses of the target's card.  Raises `KernelDataError`."""

    @abstractmethod
    def close(self) -> None: ...


class RoceMemory(GrantedMemory):
    """By packets of our own: no RDMA card here."""

    def __init__(self, grant: Grant, transport: Transport) -> None:
        super().__init__(grant)
        own = range(grant.first_peer_pair, grant.first_peer_pair + len(grant.pairs))
        self.requester = Requester(transport, grant.key, grant.pairs, own, grant.psn)

    def _fetch(self, places: Sequence[tuple[int, int]]) -> list[bytes]:
        return self.requester.read_many(places)

    def close(self) -> None:
        self.requester.transport.close()
