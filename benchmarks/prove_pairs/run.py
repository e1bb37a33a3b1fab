# SPDX-License-Identifier: Apache-2.0
"""All pairs of the 14 published functions at three levels: seconds for the answers, cold; what stayed unknown.

`seconds` is the processor time of the proofs, which run on one core: for each pair and level, whether the obligation
holds; `wall_s` is their time by the clock.  The search for streams that show a difference (`witness_s`), and the second
proof, in another way, of what was proved (`recheck_s`), come on top.
`unknown` counts pairs without proof and without such a stream at `service`; `unknown_loose`, `unknown_identical` the
same at the other levels.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from itertools import combinations
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from measuring import Control, Samples, begin, claim, report, result

from transect.analysis.solve import Answer, solver
from transect.base.shipped import path_of
from transect.core.frontend import compile_file, compile_text
from transect.core.ir import Program
from transect.rpc.equivalence import LEVELS, Level, Pair, Settings, Verdict, decide, recheck

FUNCTIONS = (
    "fault",
    "cache",
    "rate_limit",
    "sticky",
    "logging",
    "mutation",
    "acl",
    "metrics",
    "admission",
    "encrypt",
    "decrypt",
    "bandwidth",
    "breaker",
    "null",
)

LIMIT = 10.0  # seconds of the processor for one question

# The control: two elements whose obligation multiplies unknown numbers, with less time than that takes.
HARD = """
from transect.rpc import Element, Forward, Message, Rpc, Verdict
class Ask(Message):
    n: int
class {name}(Element):
    k: int = 3
    def request(self, rpc: Rpc[Ask]) -> Verdict:
        rpc.msg.n = rpc.msg.n * self.k * rpc.msg.n
        return Forward()
"""


def programs() -> list[Program]:
    return [compile_file(path_of(name)).programs[0] for name in FUNCTIONS]


def decided(pairs: list[tuple[Program, Program]], settings: Settings) -> tuple[float, list[Pair]]:
    start = time.process_time()
    found = [decide(a, b, settings=settings) for a, b in pairs]
    return time.process_time() - start, found


def undecided(settings: Settings) -> bool:
    """Whether the control stays without a proof."""
    hard = [compile_text(HARD.format(name=name)).programs[0] for name in ("First", "Second")]
    return not decide(*hard, settings=settings).at(Level.SERVICE).holds


def main() -> None:
    the_claim = claim(__file__)
    solver()
    pairs = list(combinations(programs(), 2))
    began = time.perf_counter()
    seconds, _ = decided(pairs, Settings(limit=LIMIT, witnesses=False))
    wall_s = time.perf_counter() - began
    with_witness_s, found = decided(pairs, Settings(limit=LIMIT))
    verdicts = {level: Counter(pair.at(level).verdict for pair in found) for level in LEVELS}
    start = time.process_time()
    proved = [(pair, level) for pair in found for level in LEVELS if pair.at(level).holds]
    unconfirmed = sum(recheck(pair, level) is not Answer.NEVER for pair, level in proved)
    recheck_s = time.process_time() - start
    samples = Samples()
    samples.add("seconds", seconds)
    samples.add("unknown", verdicts[Level.SERVICE][Verdict.UNKNOWN])
    controls = [
        Control("two products of unknown numbers in place of a pair", undecided(Settings(witnesses=False)))
    ]
    report(
        result(
            the_claim,
            samples,
            controls,
            pairs=len(pairs),
            wall_s=wall_s,
            witness_s=with_witness_s - seconds,
            recheck_s=recheck_s,
            unconfirmed=unconfirmed,
            unknown_loose=verdicts[Level.LOOSE][Verdict.UNKNOWN],
            unknown_identical=verdicts[Level.IDENTICAL][Verdict.UNKNOWN],
            verdicts={level.value: {v.value: verdicts[level][v] for v in Verdict} for level in LEVELS},
            undecided=[
                f"{p.first.name}, {p.second.name} at {level.value}"
                for p in found
                for level in LEVELS
                if p.at(level).verdict is Verdict.UNKNOWN
            ],
        ),
        __file__,
    )


if __name__ == "__main__":
    begin(main)
