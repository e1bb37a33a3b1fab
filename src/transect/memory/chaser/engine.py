# SPDX-License-Identifier: Apache-2.0
"""Chains as an engine of scans and watches: walks run in the network where they can; all else is read ahead by the
observer.

It is recorded what ran where, so that nobody takes a walk of the observer for one of the network.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from transect.base.counted import counted
from transect.base.unavailable import Unavailable
from transect.lang.tape import Tape
from transect.linux.errors import KernelDataError
from transect.linux.libbpf import BpfError
from transect.memory.chaser.chased import Chased, Network
from transect.memory.chaser.lower import check, lower
from transect.memory.chaser.xdp import Xdp
from transect.memory.findings import Said
from transect.memory.machine import Machine
from transect.memory.prefetch import ahead
from transect.memory.roce.grant import RoceMemory
from transect.memory.roce.transport import Udp
from transect.memory.scan import Prepared, Rounds
from transect.memory.target import BadTarget

ROUTES = Path("/proc/net/route")
UP = 1


@dataclass
class Walked:
    """A probe whose walks run in the network."""

    runs_as: ClassVar = "the interpreter, whose walks run in XDP"
    chased: Chased
    again: Counter[str] = field(default_factory=Counter)  # walks that the observer repeated, and why

    def round(self, machine: Machine, tape: Tape | None = None) -> tuple[tuple[Said, ...], tuple[Said, ...]]:
        """As `Prepared.round`.  What is recorded is read by the observer."""
        if tape is not None:
            return self.chased.prepared.round(machine, tape)
        made = self.chased.round()
        self.again.update(made.again)
        return made.said, made.shown


@dataclass
class InNetwork:
    """The engine (`scan.Engine`)."""

    network: Network
    walked: dict[str, Walked] = field(default_factory=dict)  # by probe
    observed: dict[str, str] = field(
        default_factory=dict
    )  # probes of which nothing can run in the network, and why

    def __call__(self, machine: Machine, prepared: Sequence[Prepared]) -> Mapping[str, Rounds]:
        """Raises `BadTarget` if nothing of any probe can run in the network."""
        first = not self.walked and not self.observed
        for one in prepared:  # after an upgrade, some of them are here already
            name = one.program.name
            self.walked.pop(name, None)
            self.observed.pop(name, None)
            walks = lower(one.program, one.views, self.network.limits)
            try:
                check(walks)
            except KernelDataError as why:
                self.observed[name] = str(why)
            else:
                self.walked[name] = Walked(Chased(one, machine, self.network, walks))
        if first and prepared and not self.walked:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in self.observed.items())
            raise BadTarget(f"{reasons}; leave `--via` away, or name other probes")
        return ahead(machine, prepared, self.walked)

    def summary(self) -> Iterator[str]:
        """For people."""
        walks = sum(len(w.chased.lowered) for w in self.walked.values())
        yield f"in the network: {counted(walks, 'walk')} of {', '.join(sorted(self.walked))}"
        if self.observed:
            yield f"by the observer alone: {', '.join(sorted(self.observed))} (`transect memory plan` says why)"
        for name, walked in self.walked.items():
            for why, times in walked.again.items():
                yield f"{name}: done again by the observer, {times} × {why}"


@contextmanager
def in_xdp(machine: Machine, interface: str = "") -> Iterator[InNetwork]:
    """Chains in this machine's kernel, on the interface towards the target.

    Raises `BadTarget`, `Unavailable` (root, clang, a kernel with BPF), `BpfError`.
    """
    memory = machine.physical
    if not isinstance(memory, RoceMemory) or not isinstance(memory.requester.transport, Udp):
        raise BadTarget(
            f"`--via xdp` is for a target that is reached over a network interface, and {machine.name} is not: "
            "give roce://HOST/GRANT without `via=`"
        )
    interface = interface or towards(memory.requester.ends.peer)
    try:
        network = Xdp(machine, interface)
    except OSError as wrong:
        raise BadTarget(f"there is no network interface `{interface}` ({wrong.strerror})") from wrong
    except BpfError as refused:
        if refused.number in (errno.EPERM, errno.EACCES):
            why, hint = "the kernel lets only root load programs", "run it as root, or leave `--via` away"
            raise Unavailable("--via xdp", why, hint) from refused
        if refused.number == errno.EBUSY:
            raise BadTarget(
                f"another XDP program is on `{interface}`; `ip link show {interface}` names it"
            ) from refused
        raise
    with network:
        yield InNetwork(network)


def towards(peer: bytes, table: str | None = None) -> str:
    """The interface on which packets to an IPv4 address leave.  Raises `BadTarget`."""
    found = ("", -1)
    (address,) = struct.unpack("=I", peer)
    for line in (ROUTES.read_text() if table is None else table).splitlines()[1:]:
        name, target, _, flags, _, _, _, mask, *_ = line.split()
        if int(flags, 16) & UP and address & int(mask, 16) == int(target, 16):
            bits = int(mask, 16).bit_count()
            found = (name, bits) if bits > found[1] else found
    if not found[0]:
        raise BadTarget(f"no route leads to {socket.inet_ntoa(peer)}: write `--via xdp:INTERFACE`")
    return found[0]
