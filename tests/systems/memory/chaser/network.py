# SPDX-License-Identifier: Apache-2.0
"""A machine that grants its memory on a network of two: a tap interface in a network namespace of its own."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import transect.memory
from tests.systems.memory.kernels import Target, target
from transect.linux.image import Image
from transect.linux.physical import ram
from transect.memory.machine import Known, Machine
from transect.memory.roce.grant import Grant, RoceMemory
from transect.memory.roce.transport import Udp
from transect.vm import Setup, Vm

OWN, PEER = "10.99.1.1", "10.99.1.2"
TAP = "chaser0"
CLONE_NEWNET = 0x40000000
SOURCES = Path(transect.memory.__file__).parent / "runtime"
LIBC = ctypes.CDLL(None, use_errno=True)


@contextmanager
def own_network() -> Iterator[None]:
    """This thread, and what it starts, has a network namespace of its own.  Root only."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        if LIBC.unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "a network namespace")
        yield
    finally:
        LIBC.setns(before, CLONE_NEWNET)
        os.close(before)


def ip(*words: str) -> None:
    subprocess.run(["/sbin/ip", *words], check=True)


@dataclass
class Tapped:
    """The machine, read through the network (`machine`) and from its RAM file (`local`)."""

    vm: Vm
    machine: Machine
    local: Machine
    interface: str = TAP

    def shell(self, text: str) -> str:
        done = self.vm.run(["/bin/sh", "-c", text])
        assert done.code == 0, f"{text}: {done.text} {done.stderr.decode()}"
        return done.text.strip()


@contextmanager
def tapped(folder: Path, memory: Path, life_s: int = 300) -> Iterator[Tapped]:
    """Boots it.  The caller is in a network of its own; the folder is one that the machine sees."""
    wanted = target("6.12")
    module = wanted.build(folder, SOURCES)
    ip("tuntap", "add", "dev", TAP, "mode", "tap")
    ip("addr", "add", f"{OWN}/24", "dev", TAP)
    ip("link", "set", TAP, "up")
    card = (
        "-netdev",
        f"tap,id=card,ifname={TAP},script=no,downscript=no",
        "-device",
        "virtio-net-pci,netdev=card",
    )
    setup = Setup(
        wanted.kernel, cpus=1, memory_mib=512, ram=memory, boot="compressed", life_s=life_s, qemu=card
    )
    with Vm(setup, ready_s=600) as vm:
        made = _granted(vm, wanted, memory, module)
        yield made
        assert isinstance(made.machine.physical, RoceMemory)
        made.machine.physical.close()


def _granted(vm: Vm, wanted: Target, memory: Path, module: Path) -> Tapped:
    guest = Tapped.__new__(Tapped)
    guest.vm = vm
    guest.shell(f"/usr/sbin/modprobe -a -d {wanted.modules} virtio_net crc32_generic rdma_rxe")
    guest.shell(
        f"ip link set eth0 up; ip addr add {PEER}/24 dev eth0; rdma link add rxe0 type rxe netdev eth0"
    )
    guest.shell(f"/usr/sbin/insmod {module} device=eth0 peer={OWN}")
    grant = Grant.parse(guest.shell("cat /proc/transect_grant"))
    known = Known.of(Image.from_file(wanted.image))
    machine = Machine.find(f"roce://{PEER}", RoceMemory(grant, Udp(PEER)), known)
    return Tapped(vm, machine, Machine.find("ram", ram(memory), known))
