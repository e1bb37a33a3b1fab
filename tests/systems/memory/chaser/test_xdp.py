# SPDX-License-Identifier: Apache-2.0
"""Probes whose walks run in the network, between us and a live machine: what they say is what the ordinary probes say
of the machine's RAM file, and user space handles two packets a walk."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.systems.memory.guest import Guest
from tests.systems.memory.network import Tapped, tapped
from transect.core.frontend import compile_text
from transect.core.ir import Program
from transect.memory.chaser.chased import Chased, Here, Round
from transect.memory.chaser.lower import XDP, Limits, Lowered
from transect.memory.chaser.steps import Status
from transect.memory.chaser.xdp import Xdp
from transect.memory.machine import Machine
from transect.memory.p4.entries import P4
from transect.memory.roce.requester import PeerGone
from transect.memory.standard import standard

pytestmark = [
    pytest.mark.needs("root", "clang", "vm"),
    pytest.mark.parametrize("guest", ["6.12"], indirect=True),
]

PROBES = (
    *("ProcessList", "Credentials", "ModuleList", "KeyboardNotifiers"),
    *("TaskFlags", "BorrowedCredentials", "HiddenModules"),
)
OWNERS = """
from transect.memory import Probe, linux
class Owners(Probe):
    def scan(self) -> None:
        for task in linux.tasks():
            if task.uid == 0 and task.pid > 0:
                self.show("task", pid=task.pid, comm=task.comm, uid=task.uid, euid=task.euid, flags=task.tgid)
"""


@pytest.fixture(scope="module")
def there(guest: Guest) -> Iterator[Tapped]:
    with tapped(guest) as made:
        yield made


@pytest.fixture(scope="module")
def network(there: Tapped) -> Iterator[Xdp]:
    with Xdp(there.machine, there.interface) as made:
        yield made


def ordinary(program: Program, machine: Machine) -> Round:
    made = Chased.of(program, machine, Here(machine))
    said, shown = made.prepared.round(machine)
    return Round(said, shown, ())


@pytest.mark.parametrize("name", PROBES)
def test_a_probe_says_the_same_through_the_network(there: Tapped, network: Xdp, name: str) -> None:
    program = standard()[name]
    expected = ordinary(program, there.local)
    got = Chased.of(program, there.machine, network).round()
    assert got.again == ()
    assert (got.said, got.shown) == (expected.said, expected.shown)
    here = Chased.of(program, there.local, Here(there.local)).round()
    assert [o.hops for o in got.outcomes] == [o.hops for o in here.outcomes]
    assert all(o.status is Status.FINISHED for o in got.outcomes)


@pytest.mark.parametrize("limits", [XDP, P4], ids=["xdp", "p4"])
def test_chains_bring_what_the_ordinary_walks_read(there: Tapped, limits: Limits) -> None:
    for name in (*PROBES, "OpenFiles"):
        got = Chased.of(standard()[name], there.local, Here(there.local, limits)).round()
        expected = ordinary(standard()[name], there.local)
        assert (got.said, got.shown, got.again) == (expected.said, expected.shown, ()), name


def test_user_space_handles_two_packets_a_walk(there: Tapped, network: Xdp) -> None:
    chased = Chased.of(standard()["Credentials"], there.machine, network)
    outcomes = [chased.round().outcomes[0] for _ in range(5)]
    assert min(o.packets for o in outcomes) == 2  # a stall of the emulated machine may cost a repeated one
    assert all(o.hops > 100 for o in outcomes)


def test_a_condition_is_tested_on_the_way(there: Tapped, network: Xdp) -> None:
    program = compile_text(OWNERS).program("Owners")
    chased = Chased.of(program, there.machine, network)
    (lowered,) = [w for w in chased.walks if isinstance(w, Lowered)]
    assert (lowered.tested, lowered.left) == (1, 1)  # the order of signed numbers is the observer's
    assert chased.round().shown == ordinary(program, there.local).shown


def test_a_new_probe_needs_no_other_program(there: Tapped, network: Xdp) -> None:
    before = network.maps.object
    for number in range(10):
        text = OWNERS.replace("uid == 0", f"uid == {number}")
        assert Chased.of(compile_text(text).program("Owners"), there.machine, network).round().again == ()
    assert network.maps.object is before


def test_eight_chains_at_once_bring_what_each_alone_brings(there: Tapped, network: Xdp) -> None:
    chased = Chased.of(standard()["ModuleList"], there.machine, network)
    chain = chased.lowered[0].chain
    alone = network.run([chain])[0]
    assert {o.records for o in network.run([chain] * 8)} == {alone.records}


def test_a_machine_that_goes_away_is_an_alarm(there: Tapped, network: Xdp) -> None:
    chased = Chased.of(standard()["ProcessList"], there.machine, network)
    there.guest.shell("ip link set eth1 down")
    try:
        with pytest.raises(PeerGone, match="no answer"):
            network.run([chased.lowered[0].chain])
    finally:
        there.guest.shell("ip link set eth1 up")
    assert chased.round().again == ()
