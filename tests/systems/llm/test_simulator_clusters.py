# SPDX-License-Identifier: Apache-2.0
"""Several engines, simulated: behind a gateway, and each with counters that they share."""

from __future__ import annotations

import pytest

from transect.llm.policies import load
from transect.llm.simulator.clusters import behind_gateway, pinned, replicated, shares
from transect.llm.simulator.front import Account
from transect.llm.simulator.model import engine
from transect.llm.simulator.trace import Trace, in_order
from transect.llm.simulator.workloads import NAMES, steady, workload

A10G = engine("a10g-llama-2-7b")
END = 120.0


def unequal(engines: int = 1) -> Trace:
    """One client sends short answers often, the other long ones; both overload."""
    arrivals = [
        *steady("short", 6.0 * engines, (128, 64), end=END),
        *steady("long", 3.0 * engines, (128, 256), end=END),
    ]
    return Trace("unequal", in_order(arrivals))


def ratio(policy: str, **options: object) -> float:
    jobs = behind_gateway(load(policy), unequal(), A10G, **options)  # type: ignore[arg-type]
    got = shares(jobs, 20.0, END)
    return got["short"] / got["long"]


def test_a_gateway_that_charges_the_stream_is_fair_over_engines_that_know_no_clients() -> None:
    assert ratio("vtc") == pytest.approx(1, abs=0.02)
    assert ratio("vtc", account=Account.END) == pytest.approx(1, abs=0.1)
    assert ratio("fcfs") < 0.9


def test_an_estimate_that_is_never_corrected_is_worse_than_no_policy() -> None:
    assert ratio("vtc", account=Account.FIXED) < 0.6 < ratio("fcfs")


def test_a_window_that_is_too_small_costs_throughput() -> None:
    def tokens(window: int) -> float:
        jobs = behind_gateway(load("vtc"), unequal(), A10G, window=window)
        return sum(shares(jobs, 20.0, END).values())

    assert tokens(2_000) < 0.9 * tokens(10_000)


def test_shared_counters_make_up_for_a_client_that_may_use_half_of_the_engines() -> None:
    engines, end = 4, 50.0
    arrivals = in_order(a for c in "abc" for a in steady(c, 2.5 * engines, (128, 128), end=end))

    def worst(period: float | None) -> float:
        jobs = replicated(
            load("vtc"),
            Trace("equal", arrivals),
            A10G,
            engines=engines,
            route=pinned("a", engines),
            period=period,
        )
        got = shares(jobs, 20.0, end)
        return max(got.values()) / min(got.values())

    # Engines choose the same client at once, so that services swing by what is in flight; this does not add up.
    assert worst(0.0) < 1.15
    assert worst(0.25) < 1.2
    assert worst(None) > 1.5


@pytest.mark.parametrize("name", NAMES)
def test_each_workload_is_in_order_and_has_the_clients_of_the_paper(name: str) -> None:
    trace = workload(name)
    times = [a.at for a in trace.arrivals]
    clients = {"real": 27, "overload_multi": 8, "weighted": 4, "proportional": 3}
    assert times == sorted(times)
    assert len(trace.clients) == clients.get(name, 2)


def test_weights_of_one_to_four_give_services_of_one_to_four() -> None:
    from transect.llm.simulator.run import simulate

    run = simulate(load("vtc_weighted"), workload("weighted"), A10G)
    got = shares(run.jobs, 30.0, 150.0)  # while all of them wait
    each = [got[str(i)] / (i + 1) for i in range(3)]
    assert max(each) / min(each) < 1.1
