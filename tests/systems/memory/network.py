# SPDX-License-Identifier: Apache-2.0
"""Over what a machine of these tests grants its memory: a network card that is a pair of sockets, which needs no root;
and one on a tap interface, in a network namespace of its own."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import transect.memory
from transect.memory.machine import Machine
from transect.memory.roce.grant import Grant, RoceMemory
from transect.memory.roce.packet import Ends
from transect.memory.roce.transport import Frames, Udp

if TYPE_CHECKING:
    from tests.systems.memory.guest import Guest

SOURCES = Path(transect.memory.__file__).parent / "runtime"
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Link:
    """A machine's card, and the addresses of both sides."""

    device: str  # in the machine
    own: str
    peer: str


SOCKETS = Link("eth0", "10.99.0.1", "10.99.0.2")
TAP = Link("eth1", "10.99.1.1", "10.99.1.2")


class Network:
    """A network namespace with one tap interface.  Root only."""

    interface = "chaser0"

    def __init__(self) -> None:
        """Raises OSError."""
        before = _namespace()
        try:
            if LIBC.unshare(CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "a network namespace")
            self._own = _namespace()
            for words in (
                "link set lo up",
                f"tuntap add dev {self.interface} mode tap",
                f"addr add {TAP.own}/24 dev {self.interface}",
                f"link set {self.interface} up",
            ):
                subprocess.run(["/sbin/ip", *words.split()], check=True)
        finally:
            LIBC.setns(before, CLONE_NEWNET)
            os.close(before)

    @property
    def card(self) -> tuple[str, ...]:
        """What QEMU is told, which is started within."""
        netdev = f"tap,id=tap,ifname={self.interface},script=no,downscript=no"
        return ("-netdev", netdev, "-device", "virtio-net-pci,netdev=tap")

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This thread, and what it starts, is in it."""
        before = _namespace()
        try:
            if LIBC.setns(self._own, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "the network namespace of a test")
            yield
        finally:
            LIBC.setns(before, CLONE_NEWNET)
            os.close(before)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._own)


def _namespace() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY)


@contextmanager
def granted(guest: Guest, link: Link) -> Iterator[Path]:
    """The machine grants its memory to us over that card; the file with what it tells of the grant."""
    answers: AbstractContextManager[None] = answering(guest) if link is SOCKETS else nullcontext()
    with granting(guest, link, f"peer={link.own}", answers) as there:
        told = granter(guest).with_name(f"told-{link.device}")
        told.write_text(guest.shell(f"cat {there}"))
        yield told


def granter(guest: Guest) -> Path:
    """The module that grants, built once for a machine."""
    folder = guest.module.parent / "grant"
    made = folder / "grant.ko"
    return made if made.exists() else guest.target.build(folder, SOURCES)


@contextmanager
def granting(guest: Guest, link: Link, words: str, answers: AbstractContextManager[None]) -> Iterator[str]:
    """The machine grants its memory over that card, by those words; the file within it that tells of the grant.

    `answers`: meanwhile, somebody tells it where the peer is.
    """
    device = link.device
    modules = "virtio_net crc32_generic rdma_rxe rdma_ucm"
    guest.shell(f"/usr/sbin/modprobe -a -d {guest.target.modules} {modules}")
    guest.shell(
        f"ip link set lo up; ip link set {device} up; ip addr replace {link.peer}/24 dev {device}; "
        f"test -e /sys/class/infiniband/rxe-{device} || rdma link add rxe-{device} type rxe netdev {device}"
    )
    with answers:
        guest.shell(f"/usr/sbin/insmod {granter(guest)} device={device} {words}")
    told = "/tmp/told"
    guest.shell(f"cat /proc/transect_grant > {told}")
    try:
        yield told
    finally:
        guest.shell("test ! -d /sys/module/grant || /usr/sbin/rmmod grant")


@contextmanager
def answering(guest: Guest) -> Iterator[None]:
    """Somebody answers the machine's question who has our address."""
    frames = Frames(*guest.card, Ends(socket.inet_aton(SOCKETS.own), socket.inet_aton(SOCKETS.peer)))
    done = threading.Event()
    thread = threading.Thread(target=lambda: [frames.receive(0.05) for _ in iter(done.is_set, True)])
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        frames.close()


@dataclass
class Tapped:
    """A machine read through the network (`machine`) and from its RAM file (`local`)."""

    guest: Guest
    grant: Path
    machine: Machine
    interface: str = Network.interface

    @property
    def local(self) -> Machine:
        return self.guest.machine


@contextmanager
def tapped(guest: Guest) -> Iterator[Tapped]:
    """A machine that grants its memory over its tap; this thread is in its network meanwhile."""
    assert guest.network is not None, "the machine has no tap"
    with guest.network.entered(), granted(guest, TAP) as told:
        memory = RoceMemory(Grant.parse(told.read_text()), Udp(TAP.peer))
        try:
            machine = Machine.find(f"roce://{TAP.peer}/{told}", memory, guest.machine.known)
            yield Tapped(guest, told, machine)
        finally:
            memory.close()
