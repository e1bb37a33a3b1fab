# SPDX-License-Identifier: Apache-2.0
"""U, the bound on the gap between the counters of waiting clients.  `docs/fairness.md` derives each term.

In one sentence: the client that is picked has the smallest counter m, which never falls (except by refunds); until its
next pick it is charged one prompt and the output that its running requests still produce.
"""

from __future__ import annotations

from dataclasses import dataclass

from transect.llm.adapter import INPUT, OUTPUT
from transect.llm.request import ORDINARY


@dataclass(frozen=True, slots=True)
class Limits:
    """What an engine can hold.  Tokens."""

    memory: int  # M: blocks × block size; prompt blocks that requests share count once
    sequences: int  # most requests that run at once
    longest_input: int  # L
    longest_output: int
    # Admission reserves prompt and whole output of each at the same time (the paper's assumption)
    whole: bool = False

    def outputs(self) -> int:
        """The most that the requests of one client which run at some time can still produce.

        If outputs are reserved as a whole, they fit into memory together.  Otherwise the requests that still run u
        steps later hold u tokens each at that time, so there are at most M / u of them, which gives a harmonic sum.
        """
        if self.whole:
            return self.memory
        return sum(min(self.sequences, self.memory // u) for u in range(1, self.longest_output + 1))


@dataclass(frozen=True, slots=True)
class Bound:
    """The terms of U, in micro-tokens of a client with the ordinary weight."""

    prompt: int = 0
    output: int = 0
    ahead: int = 0  # charged beyond what is produced, by prediction
    refunds: int = 0  # how far refunds can lower the least counter
    late: int = 0  # charged after it was produced: asynchronous steps, counters of other gateways

    @property
    def total(self) -> int:
        return self.prompt + self.output + self.ahead + self.refunds + self.late


def paper(limits: Limits) -> int:
    """max(w_p L, w_q M): lemma 4.3 of the paper, where admission reserves the whole output."""
    return max(INPUT * limits.longest_input, OUTPUT * limits.memory)


def bound(
    limits: Limits,
    *,
    engines: int = 1,
    ahead: int = 0,
    late_tokens: int = 0,
    least_weight: int = ORDINARY,
) -> Bound:
    """U for engines which share one queue.

    `ahead`: the most output tokens that a prediction charges at admission (0: no prediction).  `late_tokens`: the most
    that may have been produced and not charged yet.  `least_weight`: percent; the counters of clients with small
    weights grow faster.
    """
    assert least_weight >= 1 and engines >= 1

    def weighted(price: int, tokens: int) -> int:
        return (price * 100 // least_weight) * tokens

    both = max(INPUT * limits.longest_input, 0)
    if limits.whole and OUTPUT >= INPUT:
        both = 0  # prompt and outputs share M, whose most expensive use is output alone
    return Bound(
        prompt=both * 100 // least_weight,
        output=weighted(OUTPUT, engines * limits.outputs()),
        ahead=weighted(OUTPUT, ahead),
        refunds=weighted(OUTPUT, engines * limits.sequences * ahead),
        late=weighted(OUTPUT, late_tokens),
    )
