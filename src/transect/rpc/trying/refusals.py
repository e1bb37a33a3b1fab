# SPDX-License-Identifier: Apache-2.0
"""The rearrangements of a chain that are refused; for each, the stream that shows why is tried on a carrier."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from transect.core.ir import Program
from transect.rpc.equivalence.levels import Element, Level, named
from transect.rpc.equivalence.moves import Move, Side, judge_move
from transect.rpc.equivalence.pairs import Judgement, Settings, Verdict, decide
from transect.rpc.equivalence.sendable import Unsendable
from transect.rpc.equivalence.simulate import Arranged
from transect.rpc.trying.carriers import Carrier
from transect.rpc.trying.trial import Tried, tried


@dataclass(frozen=True)
class Asked:
    """A rearrangement, the answer, and what a carrier says of its counter-example."""

    what: str
    judgement: Judgement
    tried: Tried | None = None
    unsendable: str = ""  # why the counter-example was not sent

    @property
    def refuted(self) -> bool:
        """It was refused, and the carrier does not show it."""
        return self.tried is not None and not self.tried.differs

    @property
    def open(self) -> bool:
        """There is no answer, or a refusal that was not tried on a carrier."""
        refused = self.judgement.verdict is Verdict.REFUSED
        return self.judgement.verdict is Verdict.UNKNOWN or (refused and self.tried is None)


def swaps(elements: Sequence[Element], level: Level, carrier: Carrier, settings: Settings) -> Iterator[Asked]:
    """Each two of the elements, as neighbours that change places.  Raises Unavailable, EnvoyFailed."""
    for first, second in combinations(elements, 2):
        what = f"{first.name} and {second.name} change places"
        judgement = decide(first.program, second.program, [level], settings).at(level)
        pair = named(first.program, second.program)
        yield _asked(what, judgement, pair, Arranged.swapped(pair[0].name, pair[1].name), carrier)


def move(element: Element, to: Side, guards: bool, level: Level, carrier: Carrier, limit: float) -> Asked:
    """An element that goes to the other side of the network.  Raises Unavailable, EnvoyFailed."""
    judgement = judge_move(Move(element.program, to, guards), level, limit)
    alone = [Element(element.program.name, element.program)]
    what = f"{element.name} goes to the {to}'s side"
    return _asked(what, judgement, alone, Arranged.moved(alone[0].name), carrier)


def _asked(
    what: str,
    judgement: Judgement,
    elements: Sequence[Element],
    arranged: tuple[Arranged, Arranged],
    carrier: Carrier,
) -> Asked:
    if judgement.witness is None:
        why = judgement.why if judgement.verdict is Verdict.REFUSED else ""
        return Asked(what, judgement, unsendable=why)
    programs: dict[str, Program] = {e.name: e.program for e in elements}
    try:
        shown = tried(programs, judgement.witness, arranged, judgement.level, carrier)
    except Unsendable as wrong:
        return Asked(what, judgement, unsendable=str(wrong))
    return Asked(what, judgement, shown)
