# SPDX-License-Identifier: Apache-2.0
"""Where chains of an operator run, and who is told that they cannot."""

from __future__ import annotations

import errno
import socket
from types import SimpleNamespace
from typing import Any, cast

import pytest

from transect.base.unavailable import Unavailable
from transect.linux.libbpf import BpfError
from transect.memory.chaser import engine
from transect.memory.chaser.engine import in_xdp, towards
from transect.memory.machine import Machine
from transect.memory.roce.grant import RoceMemory
from transect.memory.roce.transport import Udp
from transect.memory.target import BadTarget

ROUTES = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth1\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0
tap0\t0001630A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
off0\t0201630A\t00000000\t0000\t0\t0\t0\tFFFFFFFF\t0\t0\t0
"""


@pytest.mark.parametrize(
    ("peer", "interface"), [("10.99.1.2", "tap0"), ("10.1.1.2", "eth1"), ("192.0.2.1", "eth0")]
)
def test_packets_leave_by_the_narrowest_route(peer: str, interface: str) -> None:
    assert towards(socket.inet_aton(peer), ROUTES) == interface


def test_no_route_is_said() -> None:
    with pytest.raises(BadTarget, match=r"no route leads to 10.1.1.2: write `--via xdp:INTERFACE`"):
        towards(socket.inet_aton("10.1.1.2"), ROUTES.splitlines()[0])


def granted(monkeypatch: pytest.MonkeyPatch, refusal: Exception) -> Machine:
    """A machine that granted its memory, where the kernel refuses the program."""

    def refuse(*_: object) -> None:
        raise refusal

    monkeypatch.setattr(engine, "Xdp", refuse)
    memory: Any = RoceMemory.__new__(RoceMemory)
    memory.requester = SimpleNamespace(transport=Udp.__new__(Udp))
    return cast(Machine, SimpleNamespace(name="roce://there/grant", physical=memory))


@pytest.mark.parametrize("number", [errno.EPERM, errno.EACCES])
def test_who_is_not_root_is_told(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    machine = granted(monkeypatch, BpfError("load", -number, ""))
    with pytest.raises(Unavailable, match="only root") as told, in_xdp(machine, "eth0"):
        pass
    assert told.value.hint == "run it as root, or leave `--via` away"


def test_another_program_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = granted(monkeypatch, BpfError("attach", -errno.EBUSY, ""))
    with pytest.raises(BadTarget, match="another XDP program is on `eth0`"), in_xdp(machine, "eth0"):
        pass


def test_an_interface_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = granted(monkeypatch, OSError(errno.ENODEV, "No such device"))
    with pytest.raises(BadTarget, match="no network interface `eth7`"), in_xdp(machine, "eth7"):
        pass


def test_a_file_has_no_network() -> None:
    machine = cast(Machine, SimpleNamespace(name="ram:/dev/shm/vm", physical=object()))
    with pytest.raises(BadTarget, match="ram:/dev/shm/vm is not"), in_xdp(machine):
        pass
