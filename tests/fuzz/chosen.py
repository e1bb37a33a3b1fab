# SPDX-License-Identifier: Apache-2.0
"""The programs of `make test`: few, yet each pair, and each situation, that a larger number of programs has is met
`TIMES` times, or as often as there is such a program.  `make fuzz` goes through all of that number.

`python -m tests.fuzz.chosen` chooses anew, in some minutes: when the generator, or what counts as a pair, changes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.fuzz.compare import Refused, case, situations
from tests.fuzz.coverage import pairs

FILE = Path(__file__).with_name("chosen.txt")
HEAD = "# SPDX-License-Identifier: Apache-2.0\n"
PROGRAMS = 5000  # seeds from 0 that are chosen from
KEPT = (470,)  # shows what no pair tells: an operand that is evaluated late
RARE = (5749,)  # beyond those: the first with a pair that none of them has
TIMES = 5


def chosen() -> list[int]:
    """The seeds.  Those whose hundred also loads an image in C (`compare._c`) come first, so that batches do."""
    seeds = map(int, FILE.read_text().removeprefix(HEAD).split())
    return sorted(seeds, key=lambda seed: (seed // 100 % 5, seed))


def choose(met: Mapping[int, frozenset[str]], times: int = TIMES, kept: Iterable[int] = ()) -> list[int]:
    """Of programs that meet something: those that are kept, and some more, so that all of it is met so often.

    Who adds most that lacks comes next.
    """
    there = Counter(what for each in met.values() for what in each)
    lacking = {what: min(times, count) for what, count in there.items()}
    left, found, first = dict(met), [], list(kept)
    while first or lacking:
        seed = first.pop() if first else max(left, key=lambda seed: (len(left[seed] & lacking.keys()), -seed))
        found.append(seed)
        for what in left.pop(seed) & lacking.keys():
            lacking[what] -= 1
            if not lacking[what]:
                del lacking[what]
    return sorted(found)


def _met(seeds: Iterable[int]) -> dict[int, frozenset[str]]:
    found = {}
    for seed in seeds:
        try:
            one = case(seed)
        except Refused:
            continue
        found[seed] = frozenset(pairs(one.program) | situations(one))
    return found


if __name__ == "__main__":
    FILE.write_text(HEAD + "\n".join(map(str, choose(_met((*range(PROGRAMS), *RARE)), kept=KEPT))) + "\n")
