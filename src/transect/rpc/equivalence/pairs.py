# SPDX-License-Identifier: Apache-2.0
"""Whether two neighbouring elements may change places: proved, refused with a counter-example, or unknown.

The obligation is a simulation: from any common state, with any RPC in flight, each pass through the two elements puts
out the same in both orders and leaves the same state that counts (`docs/equivalence.md` has the argument).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from transect.analysis import fold
from transect.analysis.allowance import Spent, allowed
from transect.analysis.solve import LIMIT, SECOND, Answer, Found, Question
from transect.analysis.terms import FALSE, TRUE, Term, unfolded
from transect.analysis.values import Unsupported
from transect.core.ir import Program
from transect.core.types import Sync
from transect.rpc.equivalence import plain, split
from transect.rpc.equivalence.compare import Comparer
from transect.rpc.equivalence.levels import LEVELS, Level
from transect.rpc.equivalence.obligations import Obligations
from transect.rpc.equivalence.streams import Witness
from transect.rpc.equivalence.world import Oneofs

WHOLE = 40
"""The time for one level of a pair, or for a second proof, in multiples of the limit of one question.  There are four
obligations, and each may be asked again with and without as many conditions as `split` tries.
"""


class Verdict(StrEnum):
    PROVED = "proved"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Judgement:
    """The answer at one level."""

    level: Level
    verdict: Verdict
    why: str
    witness: Witness | None = None
    kept: str = ""  # the table of a witness whose stream the cache does not keep

    @property
    def table(self) -> str:
        """The counter-example for people; empty when there is none."""
        return self.witness.table() if self.witness else self.kept

    @property
    def holds(self) -> bool:
        return self.verdict is Verdict.PROVED


@dataclass(frozen=True)
class Pair:
    """Two elements, and whether they may change places, level by level."""

    first: Program
    second: Program
    levels: Mapping[Level, Judgement]
    seconds: float = field(default=0.0, compare=False)

    def at(self, level: Level) -> Judgement:
        return self.levels[level]


@dataclass(frozen=True)
class Settings:
    """How thoroughly to ask."""

    limit: float = LIMIT  # seconds for one question to the solver
    streaming: bool = True  # several messages of one RPC, too
    watched: bool = False  # at `loose`, another element of the chain acts on what callers receive
    witnesses: bool = True  # look for counter-examples
    oneofs: Oneofs = None  # of the service's messages; None: of any service's


def decide(
    first: Program,
    second: Program,
    levels: Iterable[Level] = LEVELS,
    settings: Settings | None = None,
) -> Pair:
    """Whether two neighbours may change places, at each of the levels."""
    asked = PairQuestion(first, second, settings or Settings())
    start = time.perf_counter()
    wanted = [level for level in LEVELS if level in set(levels)]
    found: dict[Level, Judgement] = {}
    for level in wanted:
        below = next((j for j in found.values() if j.verdict is Verdict.REFUSED), None)
        found[level] = asked.inherited(level, below) if below else asked.judge(level)
    return Pair(first, second, found, time.perf_counter() - start)


class PairQuestion:
    """What is asked of two elements."""

    def __init__(self, first: Program, second: Program, settings: Settings) -> None:
        self.settings = settings
        self.pair = Obligations(first, second, settings.oneofs, settings.limit, settings.streaming)
        self._failed: list[
            str
        ] = []  # obligations that do not hold at some level, and so hold at no stronger one

    # ------------------------------------------------------------ answers

    def judge(self, level: Level) -> Judgement:
        if level is Level.IDENTICAL and (eventual := self._eventual()):
            return Judgement(level, Verdict.REFUSED, eventual)
        try:
            with allowed(WHOLE * self.settings.limit):
                return self._judge(level)
        except (Unsupported, Spent) as why:
            return Judgement(level, Verdict.UNKNOWN, f"not evaluated: {why}")

    def inherited(self, level: Level, below: Judgement) -> Judgement:
        """A difference at a weaker level is also one here."""
        return Judgement(level, Verdict.REFUSED, below.why, below.witness)

    def _judge(self, level: Level) -> Judgement:
        comparer = self.comparer(level)
        if self._failed:
            return self._refuse(level, self._failed[0])
        with allowed(
            self.settings.limit
        ):  # otherwise terms could grow without end before a question is asked
            goals = [(name, goal(comparer)) for name, goal in self.pair.obligations()]
        left = [(name, goal) for name, goal in goals if goal is not TRUE]
        if not left:
            return Judgement(level, Verdict.PROVED, "both orders compute the same terms")
        given_up = ""
        for name, goal in left:
            found = self._ask(fold.negate(goal))
            if found.answer is Answer.NEVER:
                continue
            if case := split.decided(self.pair, comparer, goal):
                return Judgement(level, Verdict.PROVED, f"by the solver, with and without {case}")
            if found.answer is Answer.SOMETIMES:
                self._failed.append(name)
                return self._refuse(level, name)
            given_up = given_up or f"{name}: the solver gave up ({found.why})"
        if given_up:
            return Judgement(level, Verdict.UNKNOWN, given_up)
        return Judgement(level, Verdict.PROVED, "by the solver")

    def _ask(self, question: Term) -> Found:
        limit = self.settings.limit
        found = Question([question], self.pair.chain.assumptions, limit=limit / 2).ask()
        if found.answer is not Answer.UNKNOWN:
            return found
        # With small numbers, a difference is found sooner.
        small = plain.conditions(self.pair.elements, (question, *self.pair.chain.assumptions), params=True)
        found = Question([question, *small], self.pair.chain.assumptions, limit=limit / 2).ask()
        return found if found.answer is Answer.SOMETIMES else Found(Answer.UNKNOWN, why="timeout")

    def _refuse(self, level: Level, failed: str) -> Judgement:
        if not self.settings.witnesses:
            return Judgement(level, Verdict.REFUSED, failed)
        from transect.rpc.equivalence.explore import witness

        found = witness(self.pair.chain, self.pair.orders, self.comparer(level), self.settings.limit)
        if found is None:
            why = f"{failed}: no proof, and no stream that shows a difference"
            return Judgement(level, Verdict.UNKNOWN, why)
        return Judgement(level, Verdict.REFUSED, found.why, found)

    def _eventual(self) -> str:
        for e in self.pair.elements:
            for f in e.program.state:
                if f.options.sync is Sync.EVENTUAL:
                    return f"`{f.name}` of {e.program.name} is eventual: its content depends on when merges arrive"
        return ""

    def comparer(self, level: Level) -> Comparer:
        watched = level is not Level.LOOSE or self.settings.watched
        return Comparer(self.pair.chain, level, watched)

    # ------------------------------------------------------------ rechecks

    def recheck(self, level: Level) -> Answer:
        """Check a proof a second time: with terms as they are written, another seed, another tactic."""
        try:
            with unfolded(), allowed(SECOND.times * WHOLE * self.settings.limit):
                return self._recheck(level)
        except Spent:
            return Answer.UNKNOWN

    def _recheck(self, level: Level) -> Answer:
        comparer, limit = self.comparer(level), self.settings.limit
        with allowed(SECOND.times * limit):
            goals = [goal(comparer) for _, goal in self.pair.obligations()]
        for goal in goals:
            different = fold.negate(goal)
            if different is FALSE:
                continue
            question = Question([different], self.pair.chain.assumptions, limit=limit, asking=SECOND)
            answer = question.ask().answer
            if answer is not Answer.NEVER and not split.decided(self.pair, comparer, goal):
                return answer
        return Answer.NEVER


def recheck(pair: Pair, level: Level, settings: Settings | None = None) -> Answer:
    """Whether a proof is confirmed when asked in another way; `NEVER` (no difference) is the expected answer."""
    assert pair.at(level).holds, "only what was proved is checked again"
    with unfolded():
        again = PairQuestion(pair.first, pair.second, settings or Settings())
    return again.recheck(level)
