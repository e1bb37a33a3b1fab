# SPDX-License-Identifier: Apache-2.0
"""Simulated seconds per second of processor time: the real trace under VTC, 1,500 requests, 16,000 steps."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from measuring import Control, Samples, begin, claim, report, result
from simulated import A10G, load, workload

from transect.core.interp import Instance
from transect.core.ir import Program
from transect.llm.policies import Loaded
from transect.llm.simulator.run import Run, Setting, simulate
from transect.llm.watch import Watcher

ROUNDS = 15


class Interpreted:
    """A policy object that runs on the reference interpreter."""

    def __init__(self, program: Program) -> None:
        self._instance = Instance(program)
        self.waiting = self._instance.waiting

    def __getattr__(self, name: str) -> object:
        if name in self._instance.handlers:
            return lambda *args: self._instance.call(name, args)
        return self._instance.state[name]


def interpreted(policy: Loaded) -> Any:
    return SimpleNamespace(make=lambda: Interpreted(policy.program), program=policy.program)


def seconds_of(simulated: Callable[[], Run]) -> float:
    """Simulated seconds per second of processor time."""
    began = time.process_time()
    return simulated().seconds / (time.process_time() - began)


def main() -> None:
    policy, real = load("vtc"), workload("real")
    policy.make()  # compiled once
    samples = Samples()
    wall = []
    for seed in range(ROUNDS):
        began, clock = time.process_time(), time.perf_counter()
        run = simulate(policy, real, A10G, Setting(seed=seed))
        samples.add("speed", run.seconds / (time.process_time() - began))
        wall.append(run.seconds / (time.perf_counter() - clock))
    slow = seconds_of(lambda: simulate(interpreted(policy), real, A10G, Setting(seed=0)))
    watched = seconds_of(lambda: simulate(policy, real, A10G, Setting(seed=0, watch=Watcher(1 << 62))))
    controls = [Control("the policy on the reference interpreter", slow < 1000)]
    report(
        result(
            claim(__file__),
            samples,
            controls,
            by_the_clock=sorted(wall)[len(wall) // 2],
            interpreted=slow,
            watched_at_every_step=watched,
            conditions="seconds of processor time; by the clock on a machine that others use as well",
        ),
        __file__,
    )


if __name__ == "__main__":
    begin(main)
