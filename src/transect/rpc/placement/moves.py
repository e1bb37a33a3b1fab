# SPDX-License-Identifier: Apache-2.0
"""Which elements of a chain may change places, which may change sides, and which must not be torn apart: the answers of
`rpc/equivalence` at a level, as the optimum needs them.

The same calls as before must change an element's state.  A call can be lost between two processors; so two elements of
one side whose state counts stay in one processor, unless the written arrangement tears them apart.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from transect.rpc.chain.arrangement import Order, Processor
from transect.rpc.chain.constraints import Piece
from transect.rpc.equivalence.arrangement import Judge, Stand
from transect.rpc.equivalence.levels import Element, Level
from transect.rpc.equivalence.moves import Move, Side, judge_move
from transect.rpc.equivalence.pairs import Judgement, Verdict

Kept = Mapping[tuple[int, int], str]
"""Pairs of elements that must keep the written order, and why."""


@dataclass(frozen=True)
class Relations:
    level: Level
    kept: Kept
    sides: Mapping[int, Judgement]  # of each element: may it go to the other side
    stateful: frozenset[int]  # calls change what counts at the level

    def before(self, number: int) -> list[int]:
        """Bit masks: for each element those which stay before it."""
        masks = [0] * number
        for first, second in self.kept:
            masks[second] |= 1 << first
        return masks


def relations(
    found: Sequence[Piece],
    reference: Sequence[Processor],
    order: Sequence[Order],
    level: Level,
    judge: Judge,
    asked: Collection[tuple[int, int]] | None = None,
) -> Relations:
    """Ask about every pair of a chain, or only about those in `asked`, and about each element's other side."""
    stands = [
        Stand(p.name, p.program, Side.CLIENT if at.at_client else Side.SERVER, p.guards)
        for p, at in zip(found, reference, strict=True)
    ]
    words = {(o.first, o.second) for o in order}
    kept: dict[tuple[int, int], str] = {}
    for i, j in combinations(range(len(found)), 2) if asked is None else asked:
        if (found[i].name, found[j].name) in words:
            kept[i, j] = "`order=` says so"
        elif max(found[i].allowed, key=_rank).rank < min(found[j].allowed, key=_rank).rank:
            continue  # their places fix the order
        else:
            company = [s for k, s in enumerate(stands) if k not in (i, j)]
            answer = judge.swap(stands[i], stands[j], company, level)
            if not answer.holds:
                kept[i, j] = _why(answer)
    return Relations(level, kept, _sides(found, stands, level, judge), _stateful(found, level))


def _why(answer: Judgement) -> str:
    if answer.verdict is Verdict.UNKNOWN:
        return f"not proved ({answer.why})"
    # Without a stream that shows it, the reason is the name of the obligation which the solver does not confirm.
    return answer.why if answer.table or "`" in answer.why else f"not proved ({answer.why} may differ)"


def _rank(processor: Processor) -> int:
    return processor.rank


def _sides(
    found: Sequence[Piece], stands: Sequence[Stand], level: Level, judge: Judge
) -> dict[int, Judgement]:
    """Asked only of elements that have a place on the other side."""
    answers: dict[int, Judgement] = {}
    for index, (piece, stand) in enumerate(zip(found, stands, strict=True)):
        other = Side.SERVER if stand.side is Side.CLIENT else Side.CLIENT
        if any(at.side == other.value for at in piece.allowed):
            # The chain file says what a hostile client must not bypass: `trusted=` may name places of its side.
            move = Move(piece.program, other)
            answers[index] = judge_move(move, level, judge.settings.limit, witness=False)
    return answers


def _stateful(found: Sequence[Piece], level: Level) -> frozenset[int]:
    counting = set[int]()
    for index, piece in enumerate(found):
        element = Element(piece.name, piece.program)
        counts = element.counts(level)
        speaks = counts.everything and any(element.flows.sinks("said", hook) for hook in element.hooks)
        if counts.fields & element.written or speaks:
            counting.add(index)
    return frozenset(counting)


def permitted(
    found: Sequence[Piece],
    reference: Sequence[Processor],
    answers: Relations,
    apart: Sequence[Mapping[Processor, str]],
) -> list[tuple[Processor, ...]]:
    """For each element: the processors in which it may stand and still mean the same.  `apart`: those where another
    carrier would change what it does."""
    return [
        tuple(
            at
            for at in piece.allowed
            if (at.side == reference[index].side or answers.sides[index].holds) and at not in apart[index]
        )
        for index, piece in enumerate(found)
    ]


def together(reference: Sequence[Processor], answers: Relations) -> Iterator[frozenset[int]]:
    """For each side: the elements whose state counts, where all of them are written in one processor."""
    for side in ("client", "server"):
        those = [i for i in sorted(answers.stateful) if reference[i].side == side]
        if len(those) > 1 and len({reference[i] for i in those}) == 1:
            yield frozenset(those)


def looks_at_peer(piece: Piece, level: Level) -> bool:
    """Whether an element depends on who calls: it then stays in the processor which the calls come to first."""
    return Element(piece.name, piece.program).asks("peer", level)


def comes_first(piece: Piece, at: Processor, home: Processor, level: Level) -> bool:
    """Whether, on its side, calls come to `at` first, or that does not matter to the element."""
    return at is home or not at.at_client or not looks_at_peer(piece, level)


__all__ = ["Relations", "comes_first", "looks_at_peer", "permitted", "relations", "together"]
