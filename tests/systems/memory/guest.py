# SPDX-License-Identifier: Apache-2.0
"""A running virtual machine which tests tamper with and look at from outside."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from tests.systems.memory.kernels import Target, target
from tests.systems.memory.network import Network
from transect.core.ir import Program
from transect.linux import stored
from transect.linux.physical import ram
from transect.memory import scan as scanning
from transect.memory.findings import Result
from transect.memory.machine import Known, Machine
from transect.memory.scan import Engine
from transect.memory.standard import chosen, standard
from transect.vm import Setup, Vm
from transect.vm import machine as machines
from transect.vm.vm import READY_S

FIXTURE = "/proc/transect_fixture"
FIVE_LEVELS = "6.12"
LIFE_S = 1800


@contextmanager
def booted(
    version: str, module: Path, ready_s: float = READY_S, network: Network | None = None
) -> Iterator[Guest]:
    """A machine as shipped, with KASLR; one kernel has five levels of page tables, the other four.

    `module`: an empty folder for the module that tampers.  `network`: where a second card of it is.
    """
    wanted, dropped = target(version), ("no5lvl",) if version == FIVE_LEVELS else ()
    built = wanted.build(module)
    with (
        tempfile.TemporaryDirectory(prefix="transect-ram-", dir="/dev/shm") as folder,
        mock.patch.object(machines, "PARAMETERS", [w for w in machines.PARAMETERS if w not in dropped]),
    ):
        memory = Path(folder) / "ram"
        here, there = Path(folder) / "here", Path(folder) / "there"  # a network of two, without a network
        card = (
            "-netdev",
            f"dgram,id=card,local.type=unix,local.path={there},remote.type=unix,remote.path={here}",
            "-device",
            "virtio-net-pci,netdev=card",
            "-qmp",
            f"unix:{folder}/qmp,server=on,wait=off",
            *(() if network is None else network.card),
        )
        setup = Setup(
            wanted.kernel, cpus=1, memory_mib=512, ram=memory, boot="compressed", life_s=LIFE_S, qemu=card
        )
        with nullcontext() if network is None else network.entered():
            vm = Vm(setup, ready_s=ready_s)
        with vm:
            yield Guest.of(vm, wanted, memory, built, (here, there), network)


@dataclass
class Guest:
    """One machine, for all tests of a kernel."""

    vm: Vm
    target: Target
    ram: Path
    module: Path
    machine: Machine
    card: tuple[Path, Path]  # sockets of its network card: where QEMU sends, and where it listens
    network: Network | None = None  # of its second card
    _programs: Mapping[str, Program] = field(default_factory=standard)

    @staticmethod
    def of(
        vm: Vm, target: Target, memory: Path, module: Path, card: tuple[Path, Path], network: Network | None
    ) -> Guest:
        known = Known.of(stored.image(target.image))
        machine = Machine.find(f"ram:{memory}", ram(memory), known)
        return Guest(vm, target, memory, module, machine, card, network)

    def shell(self, text: str) -> str:
        done = self.vm.run(["/bin/sh", "-c", text], limit_s=120)
        assert done.code == 0, f"{text}: {done.text} {done.stderr.decode()}"
        return done.text.strip()

    def process(self, command: str = "sleep 1000") -> int:
        """A process that stays; its number."""
        return int(self.shell(f"{command} >/dev/null 2>&1 </dev/null & echo $!"))

    def sleeper(self, command: str = "sleep 1000") -> int:
        """A process that sleeps, so that its memory and its user are as they stay; its number."""
        pid = self.process(command)
        self.shell(f"until grep -q nanosleep /proc/{pid}/wchan; do sleep 0.1; done")
        return pid

    @contextmanager
    def tampered(self, how: str, **more: int) -> Iterator[None]:
        words = " ".join(f"{name}={value}" for name, value in more.items())
        self.shell(f"/usr/sbin/insmod {self.module} how={how} {words}")
        try:
            yield
        finally:
            self.shell(f"echo undo > {FIXTURE}; /usr/sbin/rmmod tamper")

    def scan(self, *probes: str, engine: Engine | None = None) -> dict[str, Result]:
        """Results by probe."""
        programs: Sequence[Program] = [self._programs[p] for p in probes] if probes else chosen(())
        return {r.probe: r for r in scanning.scan(self.machine, programs, engine=engine).results}

    def found(self, *probes: str, engine: Engine | None = None) -> set[str]:
        """Probes that found something; none of the others may be unsure."""
        results = self.scan(*probes, engine=engine)
        unsure = {p: r.problem for p, r in results.items() if r.verdict in ("unchecked", "unstable")}
        assert not unsure, unsure
        return {p for p, r in results.items() if r.findings}
