# SPDX-License-Identifier: Apache-2.0
"""What the bound of docs/fairness.md says, and counter-examples to policies that do not keep it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from transect.base.shipped import path_of
from transect.llm.bounds import bound, paper
from transect.llm.policies import load
from transect.llm.simulator.clusters import behind_gateway, replicated
from transect.llm.simulator.front import Account, modulo
from transect.llm.simulator.model import Reserve, engine
from transect.llm.simulator.run import Setting
from transect.llm.simulator.search import TINY, apart, gap, limits, most, search, tight
from transect.llm.simulator.trace import Trace, in_order
from transect.llm.simulator.workloads import steady, varied, workload

A10G = engine("a10g-llama-2-7b")


@pytest.mark.parametrize("reserve", list(Reserve))
@pytest.mark.parametrize("policy", ["vtc", "fair_share"])
def test_no_random_trace_breaks_the_bound(policy: str, reserve: Reserve) -> None:
    model = TINY.but(reserve=reserve)
    found = search(load(policy), bound(limits(model)).total, model, tries=60)
    assert not found.breaks, str(found)
    assert found.gap > 0


def test_without_the_lift_a_trace_breaks_it() -> None:
    found = search(load("lcf"), bound(limits(TINY)).total)
    assert found.breaks and len(found.trace.arrivals) <= 12, str(found)


@pytest.mark.parametrize("expected", [0, 10**6])
def test_forecasts_that_are_clamped_keep_it(expected: int) -> None:
    setting = Setting(hint=lambda a: expected)
    allowed = bound(limits(TINY), ahead=TINY.longest_output).total
    assert not search(load("vtc_hint"), allowed, setting=setting, tries=60).breaks


LIED = """\
from transect.llm import Request
from .vtc_hint import HintedVtc


class Trusting(HintedVtc):
    def admit(self, request: Request) -> None:
        self.ahead = self._expect(request)
        self.served[request.client] += self._price(request, self.ahead)
"""


def test_charging_what_clients_say_that_they_want_breaks_it(tmp_path: Path) -> None:
    for name in ("vtc", "vtc_hint"):
        shutil.copy(path_of(name), tmp_path)
    path = tmp_path / "trusting.py"
    path.write_text(LIED)
    setting = Setting(hint=lambda a: 10_000)  # max_tokens of a client that wants 20
    found = search(
        load(f"{path}:Trusting"), bound(limits(TINY), ahead=TINY.longest_output).total, setting=setting
    )
    assert found.breaks


def test_the_admission_of_the_published_engine_allows_more_than_the_papers_bound() -> None:
    """The peak of future use is no sum: requests that end one after the other share memory over time."""
    reached = gap(load("vtc"), tight(A10G), A10G)
    assert reached >= most(A10G) and reached > 5 * paper(limits(A10G))
    assert 0.85 <= reached / bound(limits(A10G)).total <= 1


def test_where_all_is_reserved_the_papers_bound_is_nearly_reached() -> None:
    model = A10G.but(reserve=Reserve.SUM)
    reached = gap(load("vtc"), tight(model), model)
    assert 0.8 <= reached / paper(limits(model)) <= 1


def backlog(seconds: float) -> Trace:
    """Two clients who always wait: one sends short answers, the other long ones."""
    return Trace(
        "backlog",
        in_order([*steady("a", 12, (128, 32), end=seconds), *steady("b", 4, (128, 256), end=seconds)]),
    )


def grows(services: list[int]) -> bool:
    """Whether the difference of services grows with time, as a constant bound cannot."""
    return services[1] > 1.7 * services[0]


def test_a_fixed_estimate_that_is_never_corrected_has_no_bound() -> None:
    vtc = load("vtc")
    fixed, stream = (
        [apart(behind_gateway(vtc, backlog(t), A10G, account=account), t - 1) for t in (100, 200)]
        for account in (Account.FIXED, Account.STREAM)
    )
    assert grows(fixed)
    assert not grows(stream) and max(stream) * 10**6 <= 2 * bound(limits(A10G)).total


def test_engines_chosen_by_modulo_have_no_bound() -> None:
    fcfs = load("fcfs")
    services = []
    for seconds in (100, 200):
        arrivals = in_order(
            [*steady("a", 24, (128, 32), end=seconds), *steady("b", 8, (128, 256), end=seconds)]
        )
        jobs = replicated(fcfs, Trace("backlog", arrivals), A10G, engines=2, route=modulo(2), period=None)
        services.append(apart(jobs, seconds - 1))
    assert grows(services)


@pytest.mark.parametrize("policy", ["vtc", "vtc_predict", "foresight"])
def test_the_real_trace_stays_far_below_the_bound(policy: str) -> None:
    ahead = A10G.longest_output if policy in ("vtc_predict", "foresight") else 0
    real = workload("real")
    begin = replace(real, arrivals=real.arrivals[:500])  # four minutes; benchmarks/llm_bound has all of it
    reached = gap(load(policy), begin, A10G, Setting(seed=1))
    assert reached <= paper(limits(A10G)) and reached <= bound(limits(A10G), ahead=ahead).total


def test_several_engines_on_one_queue_are_one_larger_engine() -> None:
    overload = workload("overload")
    trace = varied(replace(overload, arrivals=overload.arrivals[:600]), 0.5, seed=1)
    reached = gap(load("vtc"), trace, A10G, Setting(engines=2))
    assert reached <= bound(limits(A10G), engines=2).total
