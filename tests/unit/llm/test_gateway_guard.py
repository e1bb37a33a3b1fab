# SPDX-License-Identifier: Apache-2.0
"""Who may hold a connection to the gateway, for how long, and who goes first when there is no room."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transect.base.unavailable import Unavailable
from transect.cli.control import lines
from transect.llm.gateway.bodies import Bodies
from transect.llm.gateway.budget import FILES, OPERATORS, budget
from transect.llm.gateway.dispatch import TurnedAway
from transect.llm.gateway.guard import SETTLED_S, YOUNG_S, Guard, Patience, Phase, Why, address_of
from transect.llm.gateway.settings import Limits
from transect.llm.gateway.strangers import Strangers


@dataclass(eq=False)
class Client:
    """A connection."""

    address: str = "a"
    aborted: bool = False
    late: list[Phase] = field(default_factory=list)

    def overdue(self, phase: Phase) -> bool:
        self.late.append(phase)
        return True

    def abort(self) -> None:
        self.aborted = True


@dataclass
class Clock:
    at: float = 0.0

    def __call__(self) -> float:
        return self.at


def guarded(most: int = 100, each: int = 100) -> tuple[Guard, Clock]:
    clock = Clock()
    return Guard(most, each, Patience(head=10, idle=75, unread=60), now=clock), clock


def come(guard: Guard, addresses: Sequence[str]) -> list[Client]:
    clients = [Client(address) for address in addresses]
    for client in clients:
        guard.enter(client)
    return clients


def with_room(guard: Guard) -> bool:
    """Whether another one may come within a moment."""

    async def go() -> bool:
        try:
            async with asyncio.timeout(0.02):
                await guard.room()
        except TimeoutError:
            return False
        return True

    return asyncio.run(go())


def test_who_makes_room_is_the_oldest_of_the_address_that_has_most() -> None:
    guard, clock = guarded(most=6)
    clients = come(guard, ["good", "x", "y", "y", "y", "x"])
    for _ in range(4):
        clock.at += YOUNG_S
        assert with_room(guard)
        clients += come(guard, ["y"])
    closed = [number for number, client in enumerate(clients) if client.aborted]
    assert closed == [2, 3, 4, 6], "each time the oldest of y"
    assert guard.closed[Why.ROOM] == 4


def test_the_operator_reads_how_many_connections_there_are_and_how_many_there_may_be() -> None:
    guard, _ = guarded(most=13269)
    come(guard, ["a", "b"])
    assert list(lines({"connections": guard.status()})) == ["connections", "  open     2", "  at most  13269"]


def test_nobody_new_and_no_request_under_way_is_closed_for_anothers_sake() -> None:
    guard, clock = guarded(most=2)
    working, new = come(guard, ["a", "a"])
    guard.known(working)
    guard.move(working, Phase.BUSY)
    clock.at = YOUNG_S / 2
    assert not with_room(guard)
    clock.at = YOUNG_S
    assert with_room(guard)
    assert new.aborted and not working.aborted
    come(guard, ["b"])
    guard.known(working)
    clock.at = 10 * YOUNG_S
    guard.move(working, Phase.BUSY)
    assert with_room(guard) and not working.aborted


def test_strangers_go_before_those_who_are_known_and_idle() -> None:
    guard, clock = guarded(most=3)
    older, newer, stranger = come(guard, ["a", "b", "c"])
    for known in (older, newer):
        guard.known(known)
        guard.move(known, Phase.IDLE)
    clock.at = 1.0
    assert with_room(guard) and stranger.aborted
    assert with_room(guard) and not older.aborted, "there is a place free"
    come(guard, ["d"])
    guard.known(next(iter(guard._strangers.of("d"))))
    assert with_room(guard) and older.aborted and not newer.aborted


def test_who_waits_for_a_place_hears_of_one_that_is_free() -> None:
    guard, _ = guarded(most=1)
    (only,) = come(guard, ["a"])

    async def go() -> float:
        loop = asyncio.get_running_loop()
        loop.call_later(0.01, guard.gone, only)
        began = loop.time()
        await guard.room()
        return loop.time() - began

    assert asyncio.run(go()) < YOUNG_S


def test_an_address_has_so_many_strangers_and_those_who_are_known_do_not_count() -> None:
    guard, clock = guarded(each=3)
    clients = come(guard, ["a"] * 5)
    assert not any(c.aborted for c in clients), "a client that opens many at once has a moment to use them"
    guard.known(clients[0])
    clock.at = SETTLED_S
    clients += come(guard, ["b", "a"])
    assert [c.aborted for c in clients] == [False, True, True, False, False, False, False]
    assert guard.closed[Why.ADDRESS] == 2


@pytest.mark.parametrize(
    ("phase", "seconds", "why"),
    [
        (Phase.STRANGE, 10, Why.LATE),
        (Phase.HEAD, 10, Why.LATE),
        (Phase.IDLE, 75, Why.IDLE),
        (Phase.UNREAD, 60, Why.UNREAD),
        (Phase.LEAVING, 2, Why.LINGERED),
        (Phase.BUSY, 1 << 30, None),
    ],
)
def test_each_phase_has_an_end_but_a_request_under_way(phase: Phase, seconds: int, why: Why | None) -> None:
    guard, clock = guarded()
    (client,) = come(guard, ["a"])
    guard.move(client, phase)
    clock.at = seconds - 0.1
    asyncio.run(guard.look())
    assert not client.late
    clock.at = seconds
    asyncio.run(guard.look())
    assert client.late == ([] if why is None else [phase])
    assert guard.closed == ({} if why is None else {why: 1})


def test_what_is_gone_is_counted_nowhere() -> None:
    guard, _ = guarded()
    clients = come(guard, ["a", "b"])
    for client in (*clients, *clients):
        guard.gone(client)
    guard.move(clients[0], Phase.IDLE)
    assert len(guard) == 0 and guard.phase(clients[0]) is None
    assert not any(guard.count(phase) for phase in Phase)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=60))
def test_strangers_are_counted_as_a_plain_list_counts_them(steps: list[tuple[int, int]]) -> None:
    strangers: Strangers[tuple[int, int]] = Strangers()
    plain: list[tuple[int, int]] = []
    for step in steps:
        address = str(step[0])
        if step in plain:
            plain.remove(step)
            strangers.discard(address, step)
        else:
            plain.append(step)
            strangers.add(address, step)
        sizes = {a: sum(1 for x, _ in plain if x == a) for a in range(4)}
        first = strangers.first_to_go()
        assert (first is None) == (not plain)
        if first is not None:
            assert sizes[first[0]] == max(sizes.values())
            assert first == next(one for one in plain if one[0] == first[0])
        assert all(strangers.count(str(a)) == size for a, size in sizes.items())


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        (("192.0.2.1", 5), "192.0.2.1"),
        (("2001:db8:1:2:3:4:5:6", 5, 0, 0), "2001:db8:1:2::"),
        (("::ffff:192.0.2.1", 5, 0, 0), "192.0.2.1"),
        (("fe80::1%eth0", 5, 0, 2), "fe80::"),
        (None, ""),
    ],
)
def test_an_ipv6_host_is_one_address(peer: object, address: str) -> None:
    assert address_of(peer) == address


# ---------------------------------------------------------------- descriptors


@pytest.mark.parametrize("descriptors", [256, 1024, 65_536])
def test_clients_leave_descriptors_to_engines_and_operators(descriptors: int) -> None:
    found = budget(Limits(), descriptors)
    assert found.clients + found.engines + OPERATORS + FILES <= descriptors
    assert found.engines >= found.clients // 2
    assert found.clients >= min(100, descriptors // 2)


@pytest.mark.parametrize(("limits", "descriptors"), [(Limits(), 128), (Limits(connections=1000), 1024)])
def test_too_few_descriptors_are_said_so(limits: Limits, descriptors: int) -> None:
    with pytest.raises(Unavailable) as no:
        budget(limits, descriptors)
    needed = int(no.value.hint.split("ulimit -n ")[1].split("`")[0])
    assert budget(limits, needed).clients >= 32


# ---------------------------------------------------------------- bodies


def test_bodies_are_bounded_in_bytes_for_each_and_for_all() -> None:
    bodies = Bodies(most=100, each=60)
    with bodies.holding(1, "ann") as ann, bodies.holding(2, "ben") as ben:
        ann.grow(40)
        with bodies.holding(1, "ann") as more:
            more.grow(20)
            with pytest.raises(TurnedAway) as away:
                more.grow(1)
            assert away.value.status == 429 and "ann" in away.value.why
        ann.room_for(20)
        ben.grow(60)
        with pytest.raises(TurnedAway) as away:
            ann.grow(1)
        assert away.value.status == 503 and "ben" not in away.value.why
        assert bodies.total == 100
    assert bodies.total == 0 and not bodies.of
