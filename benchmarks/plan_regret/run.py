# SPDX-License-Identifier: Apache-2.0
"""Chains of two to four elements: every admitted placement is brought up and measured, next to what was predicted.

A placement says which element stands in which processor; within a processor elements keep the written order, as far as
it is admitted, since no element here rejects anything.  Chains are drawn with a seed; those with more than `MOST`
placements, or only one, are skipped.  Control: the placement that is predicted to be the worst, instead of the plan.
"""

from __future__ import annotations

import os
import random
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from arranged import Tools, a_round, arranged, costs
from chains_at_random import Drawn, draw
from measuring import Control, Samples, begin, claim, report, result

from transect.rpc.chain.arrangement import PROCESSORS, Layout, Processor
from transect.rpc.equivalence.levels import Level
from transect.rpc.placement.calibrate import preferred
from transect.rpc.placement.optimum import Problem, price
from transect.rpc.placement.planning import Goal, judge, plan, posed

SEED = 5
CHAINS = 10
MOST = 7
ROUNDS = 9
CALLS = 25
NEAR = 1.05


def placements(problem: Problem) -> Iterator[tuple[tuple[Processor, tuple[int, ...]], ...]]:
    """All that are admitted, the elements of each processor in the written order."""
    for places in product(PROCESSORS, repeat=len(problem.items)):
        if _admitted(problem, places):
            there = sorted(set(places) | problem.required, key=PROCESSORS.index)
            yield tuple((at, tuple(i for i, p in enumerate(places) if p is at)) for at in there)


def _admitted(problem: Problem, places: Sequence[Processor]) -> bool:
    proxied = {at.side for at in (*places, *problem.required) if at.proxy}
    return (
        all(at in item.costs for at, item in zip(places, problem.items, strict=True))
        and all(
            places[other].rank <= places[number].rank
            for number, before in enumerate(problem.before)
            for other in range(number)
            if before >> other & 1
        )
        and all(len({places[i] for i in group}) == 1 for group in problem.together)
        and not any(
            item.first_at_side and not at.proxy and at.side in proxied
            for at, item in zip(places, problem.items, strict=True)
        )
    )


def spearman(first: Sequence[float], second: Sequence[float]) -> float:
    return statistics.correlation(_ranks(first), _ranks(second))


def _ranks(values: Sequence[float]) -> list[float]:
    """Equal values share the mean of their ranks."""
    return [sum(v < value for v in values) + (sum(v == value for v in values) + 1) / 2 for value in values]


def of_chain(drawn: Drawn, tools: Tools, folder: Path) -> dict[str, Any] | None:
    """None when it has too many placements to bring up, or no choice."""
    profile, judging = costs([drawn.chain]), judge()
    task = posed(drawn.chain, profile, Level.SERVICE, {}, Goal.LATENCY, judging)
    all_groups = list(placements(task.problem))
    if not 2 <= len(all_groups) <= MOST:
        return None
    predicted = [round(price(task.problem, groups), 6) for groups in all_groups]
    layouts: list[Layout] = [task.layout(groups) for groups in all_groups]
    chosen = plan(drawn.chain, profile, Level.SERVICE, judging=judging).after
    at = next(i for i, layout in enumerate(layouts) if _same(layout, chosen))
    rounds: list[list[float]] = [[] for _ in layouts]
    sides = {str(number): number for number in range(len(layouts))}
    ends = {"python_client": drawn.client_library, "python_server": drawn.server_library}
    with arranged(drawn.chain, layouts, tools, folder, **ends) as those:
        for which in range(len(layouts)):
            those.ask(which, 200)
        for _ in range(ROUNDS):
            for side, value in a_round(those, sides, CALLS, 3).items():
                rounds[int(side)].append(value["p50"])
    measured = [statistics.median(values) for values in rounds]
    return {
        "elements": list(drawn.chain.names),
        "kind": drawn.kind,
        "plan": {str(g): [drawn.chain.names[i] for i in g.elements] for g in chosen},
        "placements": len(layouts),
        "within": measured[at] <= NEAR * min(measured),
        "worst_within": measured[predicted.index(max(predicted))] <= NEAR * min(measured),
        "regret": measured[at] / min(measured) - 1,
        "rank": spearman(predicted, measured) if len(set(predicted)) > 1 else None,
        "predicted_us": predicted,
        "measured_us": [round(value, 1) for value in measured],
    }


def _same(one: Layout, other: Layout) -> bool:
    return [(g.processor, set(g.elements)) for g in one] == [(g.processor, set(g.elements)) for g in other]


def main() -> None:
    the_claim = claim(__file__)
    rng = random.Random(SEED)
    found: list[dict[str, Any]] = []
    drawn_so_far = 0
    with preferred(), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tools = Tools.made(folder)
        while len(found) < CHAINS:
            drawn_so_far += 1
            drawn = draw(rng, rng.choice([2, 3, 4]), folder / f"chain{drawn_so_far}.py")
            one = of_chain(drawn, tools, folder / str(drawn_so_far))
            if one is not None:
                found.append(one)
                told = (one["elements"], one["placements"], round(one["regret"], 3), one["rank"])
                print(len(found), *told, file=sys.stderr, flush=True)
    samples = Samples()
    samples.add("within", statistics.mean(one["within"] for one in found))
    for one in found:
        if one["rank"] is not None:
            samples.add("rank", one["rank"])
    worst = statistics.mean(one["worst_within"] for one in found)
    report(
        result(
            the_claim,
            samples,
            [
                Control(
                    "the worst prediction in the place of the plan",
                    not the_claim.targets["within"].met(worst),
                )
            ],
            seed=SEED,
            drawn=drawn_so_far,
            level="service",
            load=os.getloadavg()[0],
            chains=found,
        ),
        __file__,
    )


if __name__ == "__main__":
    begin(main)
