# SPDX-License-Identifier: Apache-2.0
"""A machine that granted its memory over RDMA (soft-RoCE) is read by packets alone, from user space, without root."""

from __future__ import annotations

import pytest

from tests.systems.memory.guest import Guest
from transect.linux.physical import ram
from transect.memory.roce import packet
from transect.memory.roce.grant import RoceMemory
from transect.memory.roce.packet import BTH, RETH, UDP
from transect.memory.roce.requester import Denied, PeerGone
from transect.memory.scan import scan
from transect.memory.standard import chosen
from transect.memory.target import open_target

only_generic = pytest.mark.parametrize("guest", ["6.12"], indirect=True)  # the cloud flavour has no soft-RoCE


@only_generic
def test_probes_run_over_rdma_reads(guest: Guest, granted: str) -> None:
    machine = open_target(granted, guest.target.image)
    assert machine.where == guest.machine.where
    results = {
        r.probe: r for r in scan(machine, chosen(["HiddenTasks", "HiddenModules", "Processes"])).results
    }
    assert {p: r.problem for p, r in results.items() if r.verdict != "clean"} == {}
    by_file = {dict(s.evidence)["pid"] for s in guest.scan("Processes")["Processes"].shown}
    assert {dict(s.evidence)["pid"] for s in results["Processes"].shown} == by_file
    close(machine.physical)


@only_generic
def test_what_is_read_is_what_the_memory_holds(guest: Guest, granted: str) -> None:
    machine = open_target(granted, guest.target.image)
    memory, text = machine.physical, machine.where.base
    assert isinstance(memory, RoceMemory)
    places = [(text + 3000 * i, 2500) for i in range(64)]
    assert memory.read_many(places) == [ram(guest.ram).read(*place) for place in places]
    close(memory)


@only_generic
def test_a_write_is_refused_and_changes_nothing(guest: Guest, granted: str) -> None:
    machine = open_target(granted, guest.target.image)
    memory, at = machine.physical, machine.where.base
    assert isinstance(memory, RoceMemory)
    before = ram(guest.ram).read(at, 8)
    requester, grant = memory.requester, memory.grant
    request = packet.read_request(requester.ends, grant.pairs[-1], grant.psn, grant.linear + at, grant.key, 8)
    size = len(request) + 8
    head = bytearray(request[:-4])
    head[2:4] = size.to_bytes(2, "big")
    head[10:12] = bytes(2)
    head[10:12] = packet._checksum(bytes(head[:20])).to_bytes(2, "big")
    head[24:26] = (size - 20).to_bytes(2, "big")
    head[28] = 0x0A  # RDMA WRITE, only
    write = bytes(head) + b"overwrit"
    requester.transport.send(write + packet.icrc(write))
    answers = [packet.answer(requester.ends, requester.transport.receive(0.2) or b"") for _ in range(8)]
    refused = [a.syndrome for a in answers if a is not None and a.opcode == packet.Opcode.ACKNOWLEDGE]
    assert refused and refused[0] in (packet.Nak.INVALID, packet.Nak.ACCESS, packet.Nak.OPERATION)
    assert ram(guest.ram).read(at, 8) == before
    assert UDP.size + BTH.size + RETH.size == 36
    close(memory)


@only_generic
def test_a_wrong_key_is_refused_and_a_grant_that_is_taken_back_is_an_alarm(
    guest: Guest, granted: str
) -> None:
    machine = open_target(granted, guest.target.image)
    memory = machine.physical
    assert isinstance(memory, RoceMemory)
    memory.requester.key += 1
    with pytest.raises((Denied, PeerGone)):
        memory.read(machine.where.base, 8)
    memory.requester.key -= 1
    assert memory.read(machine.where.base, 8) == ram(guest.ram).read(machine.where.base, 8)
    guest.shell("ip link set eth0 down")
    with pytest.raises(PeerGone):
        memory.read(machine.where.base, 8)
    guest.shell("ip link set eth0 up")
    close(memory)


def close(memory: object) -> None:
    assert isinstance(memory, RoceMemory)
    memory.close()
