# SPDX-License-Identifier: Apache-2.0
"""How long planning takes when the answers about pairs are cached on disk: the slowest of several random chains.

Each planning begins with nothing in memory but the chain, as it was read, and the profile; the quickest of a chain's
plannings counts, since other programs on the machine only add time.  Each element lets through a random share of the
calls, so that the order matters.  Control: looking at all orders, as the released code of the paper does, at one
microsecond each.
"""

from __future__ import annotations

import math
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from arranged import costs
from chains_at_random import Drawn, draw
from measuring import Control, Samples, begin, claim, report, result

from transect.rpc.equivalence.levels import Level
from transect.rpc.placement.calibrate import preferred
from transect.rpc.placement.planning import plan
from transect.rpc.placement.profile import Profile

SEED = 4
CHAINS = 8
REPEATS = 7


def passes(drawn: Drawn, rng: random.Random) -> dict[str, float]:
    return {name: rng.choice([1.0, rng.uniform(0.8, 1.0)]) for name in drawn.chain.names}


def timed(drawn: Drawn, profile: Profile, level: Level, shares: dict[str, float]) -> tuple[float, int]:
    """Seconds, the quickest of several; and how many states were looked at."""
    plan(drawn.chain, profile, level, shares)  # the pairs are on disk from now on
    took, states = [], 0
    for _ in range(REPEATS):
        start = time.perf_counter()
        states = plan(drawn.chain, profile, level, shares).states
        took.append(time.perf_counter() - start)
    return min(took), states


def main() -> None:
    the_claim = claim(__file__)
    rng = random.Random(SEED)
    samples = Samples()
    most: dict[str, int] = {}
    each: dict[str, list[float]] = {}
    with preferred(), tempfile.TemporaryDirectory() as name:
        for count in (10, 20):
            for number in range(CHAINS):
                drawn = draw(rng, count, Path(name) / f"{count}-{number}.py")
                profile, shares = costs([drawn.chain]), passes(drawn, rng)
                for level in Level:
                    seconds, states = timed(drawn, profile, level, shares)
                    each.setdefault(f"t{count}", []).append(seconds)
                    most[f"t{count}"] = max(most.get(f"t{count}", 0), states)
                print(count, number, each[f"t{count}"][-3:], file=sys.stderr, flush=True)
            samples.add(f"t{count}", max(each[f"t{count}"]))
    enumerating = math.factorial(20) * 1e-6
    report(
        result(
            the_claim,
            samples,
            [Control("all orders of 20, 1 µs each", not the_claim.targets["t20"].met(enumerating))],
            seed=SEED,
            chains=CHAINS,
            levels=len(Level),
            medians={key: statistics.median(values) for key, values in each.items()},
            most_states=most,
            load=os.getloadavg()[0],
        ),
        __file__,
    )


if __name__ == "__main__":
    begin(main)
