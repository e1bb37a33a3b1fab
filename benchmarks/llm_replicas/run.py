# SPDX-License-Identifier: Apache-2.0
"""Three equal clients that overload 1 … 8 engines, one of them pinned to half of these: the ratio of their services.

Each engine has a queue and a policy of its own; counters are exchanged four times a second, or every ten seconds, or
not at all (the control).
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from measuring import Control, Samples, claim, report, result
from simulated import A10G, load

from transect.llm.simulator.clusters import pinned, replicated, shares
from transect.llm.simulator.trace import Trace, in_order
from transect.llm.simulator.workloads import steady, varied

END = 180.0  # s
PERIODS = {"0.25 s": 0.25, "10 s": 10.0, "never": None}


def trace(engines: int) -> Trace:
    """± 50 % of output length; 2.5 requests a second, client and engine are twice what an engine serves."""
    arrivals = in_order(a for c in "abc" for a in steady(c, 2.5 * engines, (128, 128), end=END))
    return varied(Trace("equal", arrivals), 0.5, seed=1)


def main() -> None:
    vtc = load("vtc")
    ratios: dict[str, dict[int, float]] = {}
    for name, period in PERIODS.items():
        for engines in (1, 2, 4, 8):
            route = pinned("a", engines)
            jobs = replicated(
                vtc, trace(engines), A10G, engines=engines, route=route, period=period, seed=engines
            )
            got = shares(jobs, 20.0, END)
            ratios.setdefault(name, {})[engines] = max(got.values()) / min(got.values())
    samples = Samples()
    samples.add("worst", max(ratios["0.25 s"].values()))
    report(
        result(
            claim(__file__),
            samples,
            [Control("counters of each engine alone", max(ratios["never"].values()) > 1.06)],
            ratios=ratios,
            conditions="simulated; services from 20 s to 180 s; `worst` with an exchange every 0.25 s",
        ),
        __file__,
    )


if __name__ == "__main__":
    main()
