# SPDX-License-Identifier: Apache-2.0
"""The simulated engine: its memory, its steps, and what it charges."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from pathlib import Path

import pytest

from transect.llm.adapter import MICRO
from transect.llm.policies import load
from transect.llm.simulator.job import Job
from transect.llm.simulator.memory import Peak, Sum, room_of
from transect.llm.simulator.model import Model, Reserve, Times, engine
from transect.llm.simulator.run import Run, Setting, simulate
from transect.llm.simulator.trace import Arrival, Trace, read
from transect.llm.watch import Watcher

SMALL = Model(
    name="small",
    times=Times(0.01, 0.0, 0.0, 0.01, 0.0, 0.0, 0.0, 0.0, 0.001),
    memory=100,
    sequences=8,
    quiet_steps=0,
    reserve=Reserve.SUM,
    longest_input=50,
    longest_output=50,
)


def trace(*arrivals: tuple[float, str, int, int]) -> Trace:
    return Trace("t", tuple(Arrival(*a) for a in arrivals))


def run(t: Trace, model: Model = SMALL, policy: str = "fcfs", setting: Setting | None = None) -> Run:
    return simulate(load(policy), t, model, setting)


def test_the_first_token_comes_with_the_prefill_and_each_step_brings_another() -> None:
    (job,) = run(trace((1.0, "a", 10, 5))).jobs
    assert job.first == pytest.approx(1.001)
    assert job.done == pytest.approx(1.001 + 4 * 0.01)
    assert job.produced == 5


def test_a_request_that_does_not_fit_waits_and_nobody_passes_it() -> None:
    jobs = run(trace((0.0, "a", 50, 40), (0.001, "b", 50, 40), (0.002, "c", 1, 1))).jobs
    assert jobs[1].first > jobs[0].done - 0.011
    assert jobs[2].first >= jobs[1].first


REAL = read("real_trace")
BEGIN = replace(REAL, arrivals=REAL.arrivals[:400])  # nearly three minutes


def test_every_token_is_charged_once_however_steps_are_taken_together() -> None:
    sums = {}
    for name, setting in (("loops", Setting()), ("steps", Setting(watch=Watcher(bound=1 << 60)))):
        found = run(BEGIN, engine("a10g-llama-2-7b"), "lcf", setting)
        sums[name] = {c: found.queues.chooser.counter(c) for c in {j.client for j in found.jobs}}
        for client, counter in sums[name].items():
            mine = [j for j in found.jobs if j.client == client]
            assert counter == MICRO * sum(j.input + 2 * j.output for j in mine)
    assert sums["loops"] == sums["steps"]


def test_steps_taken_together_change_nothing() -> None:
    fast = run(BEGIN, engine("a10g-llama-2-7b"), "vtc", Setting(seed=3))
    slow = run(BEGIN, engine("a10g-llama-2-7b"), "vtc", Setting(seed=3, watch=Watcher(1 << 60)))
    assert [(j.first, j.done) for j in fast.jobs] == [(j.first, j.done) for j in slow.jobs]


def test_without_reservation_the_last_one_is_preempted_and_computed_again_for_free() -> None:
    model = SMALL.but(reserve=Reserve.NONE)
    found = run(trace((0.0, "a", 30, 40), (0.0, "b", 30, 40)), model, "vtc")
    assert found.engines[0].preemptions >= 1
    assert [j.produced for j in found.jobs] == [40, 40]
    assert [found.queues.chooser.counter(c) for c in "ab"] == [110 * MICRO, 110 * MICRO]


def test_two_engines_share_the_queue_and_the_work() -> None:
    arrivals = [(0.01 * i, "ab"[i % 2], 20, 20) for i in range(40)]
    one, two = (run(trace(*arrivals), SMALL, "vtc", Setting(engines=n)) for n in (1, 2))
    assert two.seconds == pytest.approx(one.seconds / 2, rel=0.15)
    assert all(e.busy > 0 for e in two.engines)


def test_the_peak_of_future_use_is_less_than_the_sum_of_maxima() -> None:
    def job(size: int, output: int) -> Job:
        return Job(client="a", input=size, output=output, booked=output)

    peak, total = room_of(SMALL.but(reserve=Reserve.PEAK)), room_of(SMALL)
    assert isinstance(peak, Peak) and isinstance(total, Sum)
    for room in (peak, total):
        room.begin([], 0, 0)
        assert room.take(job(20, 60))
    assert peak.take(job(15, 20))  # while both run they use at most 20 + 15 + 2 · 20
    assert not total.take(job(15, 20))


def test_requests_per_minute_are_limited_and_what_is_more_is_refused() -> None:
    arrivals = [(1.0 * i, "a", 5, 2) for i in range(70)]
    found = simulate(load("rpm", limit=5), trace(*arrivals), SMALL)
    served = [i for i, j in enumerate(found.jobs) if not j.refused]
    assert served == [0, 1, 2, 3, 4, 61, 62, 63, 64, 65]


LOTTERY = """
from transect.lang import rand_below
from transect.shapes import Arbiter, Client


class Lottery(Arbiter):
    \"\"\"Whoever is drawn.\"\"\"

    def pick(self) -> Client:
        return min(self.waiting, key=lambda client: rand_below(1000))
"""


def test_a_policy_draws_by_the_seed_of_its_run(tmp_path: Path) -> None:
    (tmp_path / "lottery.py").write_text(LOTTERY)
    arrivals = trace(*((0.0, client, 20, 20) for client in "abcdefgh"))

    def order(seed: int) -> list[Hashable]:
        done = run(arrivals, policy=str(tmp_path / "lottery.py"), setting=Setting(seed=seed, spread=0.0)).jobs
        return [job.client for job in sorted(done, key=lambda job: job.done)]

    assert order(1) == order(1)
    assert order(1) != order(2) != [*"abcdefgh"]
