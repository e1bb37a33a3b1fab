# SPDX-License-Identifier: Apache-2.0
"""What each client of a queue was served, and for how long it waited."""

from __future__ import annotations

from dataclasses import dataclass

from transect.control.answers import OTHERS, Share
from transect.rpc.accounts import Accounts

S = 10**9


@dataclass
class Clock:
    now: int = 0

    def __call__(self) -> int:
        return self.now


def of(accounts: Accounts) -> dict[str, Share]:
    return {row["tenant"]: row for row in accounts.shares(lambda client: 400 if client == "alice" else 100)}


def test_what_is_in_service_counts_as_it_goes_on() -> None:
    clock = Clock()
    accounts = Accounts(clock=clock)
    for came in (0, 1 * S):
        clock.now = came
        accounts.joins("alice")
        accounts.leaves("alice")
        accounts.begins("alice")
    clock.now = 3 * S
    assert (of(accounts)["alice"]["served"], of(accounts)["alice"]["running"]) == (5.0, 2)
    accounts.ends("alice")
    assert of(accounts)["alice"]["served"] == 5.0, "nothing jumps at an end, whichever of the two it was"
    clock.now = 4 * S
    accounts.ends("alice")
    assert (of(accounts)["alice"]["served"], of(accounts)["alice"]["running"]) == (6.0, 0)


def test_a_client_is_backlogged_from_the_first_that_waits_to_the_last() -> None:
    clock = Clock()
    accounts = Accounts(clock=clock)
    accounts.joins("bob")
    clock.now = 1 * S
    accounts.joins("bob")
    accounts.leaves("bob")
    clock.now = 3 * S
    assert (of(accounts)["bob"]["backlogged"], of(accounts)["bob"]["waiting"]) == (3.0, 1)
    accounts.leaves("bob")
    clock.now = 9 * S
    assert of(accounts)["bob"]["backlogged"] == 3.0


def served(accounts: Accounts, clock: Clock, client: str, ns: int) -> None:
    accounts.joins(client)
    accounts.leaves(client)
    accounts.begins(client)
    clock.now += ns
    accounts.ends(client)


def test_names_that_strangers_make_up_become_one_and_the_sum_stays() -> None:
    clock = Clock()
    accounts = Accounts(kept=5, clock=clock)
    served(accounts, clock, "alice", 2 * S)
    accounts.joins("bob")  # who waits is kept, served or not
    for number in range(100):
        served(accounts, clock, f"stranger {number}", S // 10)
    rows = of(accounts)
    assert len(rows) <= 11
    assert {"alice", "bob", OTHERS} < rows.keys()
    assert abs(sum(row["served"] for row in rows.values()) - 12.0) < 1e-9
    assert rows["alice"]["weight"] == 400


def test_who_calls_himself_the_others_is_one_of_them() -> None:
    clock = Clock()
    accounts = Accounts(clock=clock)
    served(accounts, clock, OTHERS, S)
    assert [row["tenant"] for row in accounts.shares(lambda _: 100)] == [OTHERS]


def test_a_name_cannot_move_the_cursor_of_who_looks() -> None:
    accounts = Accounts()
    accounts.joins("\x1b[2Jx")
    accounts.joins("y" * 1000)
    assert [
        len(row["tenant"]) < 100 and row["tenant"].isprintable() for row in accounts.shares(lambda _: 100)
    ] == [
        True,
        True,
    ]
