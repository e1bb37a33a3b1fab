# SPDX-License-Identifier: Apache-2.0
"""`by_tenant` on a simulated machine: shares of tenants, deadlines within one, and who works for nobody."""

from __future__ import annotations

import statistics

import pytest

from tests.unit.cpu.policies import example
from transect.base.tenant import number_of
from transect.cpu.simulator import Machine, Work
from transect.cpu.tenants import arranged

MS = 1_000_000
NEVER = 0
ALICE, BOB = number_of("alice"), number_of("bob")
PROGRAM = example("by_tenant")


def hog(name: str, tenant: int, until: int = NEVER) -> Work:
    return Work(name, hint=(tenant, until) if tenant else ())


def machine(*work: Work, cpus: int = 1, said: bool = True, weights: dict[int, int] | None = None) -> Machine:
    """`said`: whether hints arrive.  `weights`: what the operator says, of tenants by number."""
    made = Machine(PROGRAM, cpus, work)
    state = made.instance.state
    state["weights"][0] = 100
    for lane, (tenant, weight) in enumerate(
        ({ALICE: 400, BOB: 100} if weights is None else weights).items(), 1
    ):
        state["tenants"][lane], state["weights"][lane] = tenant, weight
    made.heard = made.heard if said else None
    return made


def ran(machine: Machine, since: dict[str, int] | None = None) -> dict[str, int]:
    """Nanoseconds by tenant: the first word of a task's name."""
    found: dict[str, int] = dict.fromkeys((t.work.name.split()[0] for t in machine.tasks), 0)
    for task in machine.tasks:
        found[task.work.name.split()[0]] += task.ran_ns
    return {name: ns - (since or {}).get(name, 0) for name, ns in found.items()}


@pytest.mark.parametrize("cpus", [1, 2, 4])
def test_tenants_get_cpu_time_by_weight_whatever_number_of_hogs_each_has(cpus: int) -> None:
    hogs = [hog(f"alice {n}", ALICE) for n in range(4)] + [hog(f"bob {n}", BOB) for n in range(24)]
    found = machine(*hogs, cpus=cpus)
    found.run(8_000 * MS)
    times = ran(found)
    assert times["alice"] / times["bob"] == pytest.approx(4, rel=0.02)
    assert sum(times.values()) == cpus * 8_000 * MS


@pytest.mark.parametrize("cpus", [1, 2, 4])
def test_where_hints_do_not_arrive_hogs_get_by_their_number(cpus: int) -> None:
    hogs = [hog(f"alice {n}", ALICE) for n in range(4)] + [hog(f"bob {n}", BOB) for n in range(24)]
    found = machine(*hogs, cpus=cpus, said=False)
    found.run(8_000 * MS)
    times = ran(found)
    assert times["alice"] / times["bob"] == pytest.approx(4 / 24, rel=0.1)


def test_a_hog_costs_its_own_tenant_only() -> None:
    alice = Work("alice", run_ns=2 * MS, sleep_ns=18 * MS, hint=(ALICE, NEVER))
    quiet = machine(alice, hog("bob 0", BOB), cpus=2)
    flooded = machine(alice, *(hog(f"bob {n}", BOB) for n in range(16)), cpus=2)
    for one in (quiet, flooded):
        one.run(4_000 * MS)
    assert ran(flooded)["alice"] >= 0.98 * ran(quiet)["alice"]
    assert statistics.quantiles(flooded.tasks[0].waits_ns, n=100)[98] <= MS
    assert max(t.ran_ns for t in flooded.tasks[1:]) <= 1.3 * min(t.ran_ns for t in flooded.tasks[1:])


def test_within_a_tenant_the_nearest_deadline_is_first() -> None:
    """A request every 40 ms that is to be done 30 ms later, beside hogs without deadlines, and with one that passes."""
    bursts = tuple((n * 40 * MS, 4 * MS) for n in range(50))
    hogs = [hog(f"bob {n}", BOB) for n in range(3)] + [hog("bob late", BOB, 1), hog("alice", ALICE)]
    found = machine(Work("bob near", bursts=bursts, hint=(BOB, 30 * MS)), *hogs)
    for n in range(50):
        found.run(n * 40 * MS)
        found.hint(found.tasks[0], BOB, (n * 40 + 30) * MS, found.now)
    near, *others, _ = found.tasks
    assert statistics.median(near.waits_ns) < 0.4 * statistics.median(w for h in others for w in h.waits_ns)
    assert min(h.ran_ns for h in others) > 0.5 * max(h.ran_ns for h in others), (
        "who is late is not first for ever"
    )


def test_who_has_said_nothing_works_for_nobody_and_that_is_nobody_elses_tenant() -> None:
    hogs = [hog("alice 0", ALICE), hog("bob 0", BOB), *(hog(f"silent {n}", 0) for n in range(8))]
    found = machine(*hogs)
    found.run(6_000 * MS)
    times = ran(found)
    assert times["alice"] / times["bob"] == pytest.approx(4, rel=0.02)
    assert times["silent"] == pytest.approx(times["bob"], rel=0.03), "all of them together: one share of 100"


def test_who_no_longer_works_for_a_tenant_is_nobodys_again() -> None:
    found = machine(hog("alice 0", ALICE), hog("bob 0", BOB), hog("silent 0", 0))
    found.run(1_000 * MS)
    found.hint(found.tasks[0], 0, NEVER, found.now)
    before = ran(found)
    found.run(7_000 * MS)
    times = ran(found, before)
    assert times["alice"] == pytest.approx(times["silent"], rel=0.03)
    assert times["alice"] + times["silent"] == pytest.approx(times["bob"], rel=0.03)


def test_whom_the_operator_does_not_name_shares_with_nobody_and_a_change_is_in_force_at_once() -> None:
    carol = number_of("carol")
    found = machine(hog("alice 0", ALICE), hog("carol 0", carol), hog("silent 0", 0), weights={ALICE: 400})
    found.run(4_000 * MS)
    times = ran(found)
    assert times["alice"] / (times["carol"] + times["silent"]) == pytest.approx(4, rel=0.02)
    found.instance.state["weights"][1] = 50
    found.run(8_000 * MS)
    times = ran(found, times)
    assert (times["carol"] + times["silent"]) / times["alice"] == pytest.approx(2, rel=0.02)


def test_a_request_that_is_over_before_its_hints_are_heard_is_its_tenants() -> None:
    """A thread works for 1 ms for alice and then for 1 ms for bob; both are heard when it sleeps already, or later."""
    worker = Work("worker", bursts=((0, 3 * MS), (10 * MS, MS)))
    found = machine(worker)
    found.run(5 * MS)
    found.hint(found.tasks[0], ALICE, NEVER, MS)
    found.hint(found.tasks[0], BOB, NEVER, 2 * MS)
    found.run(12 * MS)
    found.hint(found.tasks[0], 0, NEVER, 12 * MS)
    time = found.instance.state["time"]
    assert [time[lane] for lane in range(4)] == [MS, MS // 4, 2 * MS, 0], (
        "of bob's two, one is from the second burst"
    )


def test_who_was_alone_or_away_has_no_debt_and_no_credit() -> None:
    s = 1000 * MS
    alone = machine(hog("alice 0", ALICE), Work("bob 0", hint=(BOB, NEVER), start_ns=4 * s))
    alone.run(8 * s)
    away = machine(
        Work("alice 0", hint=(ALICE, NEVER), bursts=((0, MS), (5 * s, 4 * s))),
        hog("bob 0", BOB),
        hog("bob 1", BOB),
    )
    away.run(8 * s)
    assert max(w for m in (alone, away) for task in m.tasks for w in task.waits_ns) <= 300 * MS


def test_the_lightest_tenant_waits_two_seconds_beside_the_heaviest() -> None:
    found = machine(hog("bob 0", BOB), *(hog(f"alice {n}", ALICE) for n in range(4)))
    state = found.instance.state
    for field, words in arranged(state, {"alice": 1_000_000, "bob": 1}).items():
        state[field] = words
    found.run(20_000 * MS)
    bob, *_ = found.tasks
    assert len(bob.waits_ns) > 5 and max(bob.waits_ns) <= 2_100 * MS


def test_hundreds_of_hogs_of_one_tenant_do_not_end_the_kernels_patience() -> None:
    found = machine(hog("alice 0", ALICE), *(hog(f"bob {n}", BOB) for n in range(400)))
    found.run(4_000 * MS)
    times = ran(found)
    assert found.starved() == []
    assert times["alice"] / times["bob"] == pytest.approx(4, rel=0.02)


def test_numbers_of_tenants_are_those_of_their_names_in_any_language() -> None:
    assert number_of("anonymous") == number_of("") == 0
    # printf alice | sha256sum, the first 16 digits
    assert ALICE == 0x2BD806C97F0E00AF & (1 << 63) - 1
    assert 0 < BOB < 1 << 63
