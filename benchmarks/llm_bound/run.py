# SPDX-License-Identifier: Apache-2.0
"""The largest gap / U of all runs: engines, numbers of engines, predictors (also absurd ones), adversarial traces."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from measuring import Control, Samples, begin, claim, report, result
from simulated import A10G, RUNS, Hint, load, workload

from transect.llm.bounds import bound, paper
from transect.llm.policies import Loaded
from transect.llm.simulator.model import Model, Reserve
from transect.llm.simulator.run import Setting
from transect.llm.simulator.search import TINY, gap, limits, search, tight
from transect.llm.simulator.trace import Arrival, Trace
from transect.llm.simulator.workloads import varied

SEEDS = min(RUNS, 3)


def noisy(seed: int) -> Hint:
    draw = random.Random(seed)
    return lambda a: draw.randrange(10**6)


PREDICTORS: dict[str, Callable[[int], Hint]] = {
    "0": lambda seed: lambda a: 0,
    "10^6": lambda seed: lambda a: 10**6,
    "random": noisy,
    "oracle": lambda seed: _output,
}


def _output(a: Arrival) -> int:
    return a.output


def runs() -> Iterator[tuple[str, Loaded, Trace, Model, Setting, int]]:
    """Name, policy, trace, model and setting of each run, and the most that its policy charges in advance."""
    vtc, hinted = load("vtc"), load("vtc_hint")
    for reserve in Reserve:
        model = A10G.but(reserve=reserve)
        yield f"tight, {reserve}", vtc, tight(model), model, Setting(), 0
        for seed in range(SEEDS):
            for engines in (1, 2, 4):
                trace = varied(workload("overload"), 0.5, seed)
                setting = Setting(seed=seed, engines=engines)
                yield f"overload, {reserve}, {engines} engines", vtc, trace, model, setting, 0
        yield f"real, {reserve}", vtc, workload("real"), model, Setting(seed=1), 0
    for name, hint in PREDICTORS.items():
        for seed in range(SEEDS):
            setting = Setting(seed=seed, hint=hint(seed))
            yield f"real, predicting {name}", hinted, workload("real"), A10G, setting, A10G.longest_output
    for name in ("vtc_predict", "foresight"):
        yield f"real, {name}", load(name), workload("real"), A10G, Setting(seed=1), A10G.longest_output


def main() -> None:
    found: dict[str, float] = {}
    of_papers: dict[str, float] = {}
    for what, policy, trace, model, setting, ahead in runs():
        allowed = bound(limits(model), engines=setting.engines, ahead=ahead).total
        reached = gap(policy, trace, model, setting)
        found[what] = max(found.get(what, 0.0), reached / allowed)
        of_papers[what] = max(of_papers.get(what, 0.0), reached / (setting.engines * paper(limits(model))))
    for policy_name in ("vtc", "fair_share"):
        for reserve in Reserve:
            model = TINY.but(reserve=reserve)
            best = search(load(policy_name), bound(limits(model)).total, model, tries=300)
            found[f"search, {policy_name}, {reserve}"] = best.gap / best.bound
    toy = search(load("lcf"), bound(limits(TINY)).total, TINY)
    samples = Samples()
    samples.add("worst", max(found.values()))
    report(
        result(
            claim(__file__),
            samples,
            [Control("least counter first, without the lift", toy.breaks)],
            gap_of_U=found,
            gap_of_the_papers_U=of_papers,
            conditions="simulated; U of docs/fairness.md for each engine; the paper's is max(w_p L, w_q M)",
        ),
        __file__,
    )


if __name__ == "__main__":
    begin(main)
