# SPDX-License-Identifier: Apache-2.0
"""Three equal clients that overload 1 … 8 engines, one of them pinned to half of these: the ratio of their services.

Each engine has a queue and a policy of its own; counters are exchanged at once, four times a second, every ten seconds,
or not at all (the control).
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from measuring import Control, Samples, begin, claim, report, result
from simulated import A10G, load

from transect.llm.simulator.clusters import pinned, replicated, shares
from transect.llm.simulator.trace import Trace, in_order
from transect.llm.simulator.workloads import steady, varied

END = 300.0  # s
BEGIN = 30.0
SEEDS = (1, 2)
PERIODS = {"at once": 0.0, "0.25 s": 0.25, "10 s": 10.0, "never": None}


def trace(engines: int, spread: float) -> Trace:
    """2.5 requests per second, client and engine: twice what an engine serves."""
    arrivals = in_order(a for c in "abc" for a in steady(c, 2.5 * engines, (128, 128), end=END))
    return varied(Trace("equal", arrivals), spread, seed=1) if spread else Trace("equal", arrivals)


def ratio(engines: int, period: float | None, spread: float, seed: int) -> float:
    policy, route = load("vtc"), pinned("a", engines)
    requests = trace(engines, spread)
    jobs = replicated(policy, requests, A10G, engines=engines, route=route, period=period, seed=seed)
    got = shares(jobs, BEGIN, END)
    return max(got.values()) / min(got.values())


def main() -> None:
    ratios: dict[str, dict[int, list[float]]] = {}
    for name, period in PERIODS.items():
        main_row = name == "0.25 s"
        for engines in (1, 2, 4, 8) if main_row else (2, 4):
            cases = [(spread, seed) for spread in (0.0, 0.5) for seed in (SEEDS if main_row else SEEDS[:1])]
            ratios.setdefault(name, {})[engines] = [ratio(engines, period, *case) for case in cases]
    samples = Samples()
    samples.add("worst", max(max(found) for found in ratios["0.25 s"].values()))
    report(
        result(
            claim(__file__),
            samples,
            [Control("counters of each engine alone", min(map(min, ratios["never"].values())) > 1.06)],
            ratios=ratios,
            conditions="simulated; equal requests, and output lengths ± 50 %; services from 30 s to 300 s; the worst of"
            " all runs with an exchange every 0.25 s",
        ),
        __file__,
    )


if __name__ == "__main__":
    begin(main)
