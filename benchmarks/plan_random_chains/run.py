# SPDX-License-Identifier: Apache-2.0
"""30 chains of five elements, drawn with a seed: what planning saves of the latency and CPU that a chain adds.

The baseline is the written order in two WASM sidecars.  A service without a library carrier is C++, one with it Python.
Control: the baseline in the place of the plan.
"""

from __future__ import annotations

import os
import random
import statistics
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from arranged import DIRECT, Tools, a_round, arranged, built, costs
from chains_at_random import Drawn, draw
from measuring import Control, Samples, begin, claim, report, result

from transect.rpc.chain.arrangement import Layout
from transect.rpc.equivalence.levels import Level
from transect.rpc.placement.calibrate import preferred
from transect.rpc.placement.optimum import Item, solve
from transect.rpc.placement.planning import Goal, judge, plan, posed
from transect.rpc.placement.profile import Profile

SEED = 3
CHAINS = 30
ELEMENTS = 5
ROUNDS = 7
TURNS = 5
CALLS = 20
LEVELS = (Level.IDENTICAL, Level.SERVICE)


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[int(share * (len(values) - 1))]


@dataclass(frozen=True)
class Planned:
    drawn: Drawn
    layouts: list[Layout]  # without a chain, the baseline, then by level

    @property
    def sides(self) -> dict[str, int]:
        return {"first": 1, "none": 0, "second": 1, **{level.value: 2 + i for i, level in enumerate(LEVELS)}}


def planned(drawn: Drawn, profile: Profile) -> Planned:
    judging = judge()
    plans = [plan(drawn.chain, profile, level, judging=judging) for level in LEVELS]
    return Planned(drawn, [DIRECT, plans[0].before, *(one.after for one in plans)])


def fewest_proxies(drawn: Drawn, profile: Profile) -> int:
    """The fewest proxies of any arrangement that the words admit, whatever it means: no proof can save these."""
    task = posed(drawn.chain, profile, LEVELS[0], {}, Goal.LATENCY, judge())
    items = [
        Item(dict.fromkeys(piece.allowed, 0.0), 1.0, at)
        for piece, at in zip(task.pieces, task.reference, strict=True)
    ]
    hops = {at: float(at.proxy) for at in task.problem.hops}
    free = replace(task.problem, items=items, before=[0] * len(items), hops=hops, second=0.0, together=())
    found = solve(free)
    assert found is not None, "the written arrangement is one"
    return sum(at.proxy for at, _ in found.groups)


def measured(one: Planned, tools: Tools, folder: Path) -> dict[str, Any]:
    """What each arrangement takes; two levels with the same plan are measured once."""
    drawn, layouts, sides = one.drawn, list(one.layouts), one.sides
    if layouts[3] == layouts[2]:
        del layouts[3], sides["service"]
    rounds: dict[str, dict[str, list[float]]] = {}
    ends = {"python_client": drawn.client_library, "python_server": drawn.server_library}
    with arranged(drawn.chain, layouts, tools, folder, **ends) as those:
        for which in range(len(layouts)):
            those.ask(which, 200)
        for _ in range(ROUNDS):
            for side, value in a_round(those, sides, CALLS, TURNS).items():
                for key in ("p50", "cpu"):
                    rounds.setdefault(side, {}).setdefault(key, []).append(value[key])
        tails = {side: quantile(those.took[which], 0.99) for side, which in sides.items()}
    rounds.setdefault("service", rounds["identical"])
    tails.setdefault("service", tails["identical"])
    medians = {side: {k: statistics.median(v) for k, v in keys.items()} for side, keys in rounds.items()}
    return {
        "kind": drawn.kind,
        "elements": list(drawn.chain.names),
        "all_in_client_library": drawn.all_in_one_library,
        "medians": medians,
        "p99": tails,
        "after": {
            level.value: {str(g): [drawn.chain.names[i] for i in g.elements] for g in one.layouts[2 + index]}
            for index, level in enumerate(LEVELS)
        },
    }


def saved(one: dict[str, Any], side: str, key: str) -> float:
    """1 - planned / baseline, of what each adds."""
    value = one["p99"] if key == "p99" else {name: keys[key] for name, keys in one["medians"].items()}
    base = (value["first"] + value["second"]) / 2 - value["none"]
    return float(1 - (value[side] - value["none"]) / base)


def aa(one: dict[str, Any], key: str) -> float:
    value = {name: keys[key] for name, keys in one["medians"].items()}
    return float(1 - (value["first"] - value["none"]) / (value["second"] - value["none"]))


def main() -> None:
    the_claim = claim(__file__)
    rng = random.Random(SEED)
    found: list[dict[str, Any]] = []
    with preferred(), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tools = Tools.made(folder)
        drawn = [draw(rng, ELEMENTS, folder / f"chain{number}.py") for number in range(CHAINS)]
        profile = costs([one.chain for one in drawn])
        ready = [planned(one, profile) for one in drawn]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda one: built(one.drawn.chain, one.layouts, tools), ready))
        print("compiled", file=sys.stderr, flush=True)
        for number, one in enumerate(ready):
            found.append(
                measured(one, tools, folder / str(number))
                | {"fewest_proxies": fewest_proxies(one.drawn, profile)}
            )
            shown = {level.value: round(saved(found[-1], level.value, "p50"), 3) for level in LEVELS}
            print(number, found[-1]["kind"], found[-1]["elements"], shown, file=sys.stderr, flush=True)
    samples = Samples()
    for one in found:
        samples.add("identical", saved(one, "identical", "p50"), aa(one, "p50"))
        samples.add("identical_cpu", saved(one, "identical", "cpu"), aa(one, "cpu"))
        samples.add("service", saved(one, "service", "p50"), aa(one, "p50"))
        samples.add("service_cpu", saved(one, "service", "cpu"))
        for level in LEVELS:
            samples.add(f"{level.value}_p99", saved(one, level.value, "p99"))
    toy = statistics.median(saved(one, "second", "p50") for one in found)
    kinds = Counter(one["kind"] for one in found)
    by_kind = {
        kind: {
            f"{level.value}{suffix}": round(
                statistics.median(saved(one, level.value, key) for one in found if one["kind"] == kind), 3
            )
            for level in LEVELS
            for key, suffix in (("p50", ""), ("cpu", "_cpu"))
        }
        for kind in kinds
    }
    report(
        result(
            the_claim,
            samples,
            [Control("the baseline in the place of the plan", not the_claim.targets["identical"].met(toy))],
            seed=SEED,
            kinds=dict(kinds),
            by_kind=by_kind,
            fewest_proxies=dict(Counter(str(one["fewest_proxies"]) for one in found)),
            all_in_client_library_violates=sum(not one["all_in_client_library"] for one in found)
            / len(found),
            load=os.getloadavg()[0],
            chains=found,
        ),
        __file__,
    )


if __name__ == "__main__":
    begin(main)
