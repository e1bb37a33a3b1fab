# SPDX-License-Identifier: Apache-2.0
"""Whether two arrangements of a chain mean the same: which neighbours changed places, and which changed sides.

Every arrangement leads to every other by steps of two kinds: two neighbours on one side change places, or the element
next to the network goes to the other side of it.  Each step is judged by itself; the whole holds where all steps do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations

from transect.core.ir import Program
from transect.rpc.chain.needs import needs
from transect.rpc.equivalence.cache import Cache
from transect.rpc.equivalence.levels import Element, Level
from transect.rpc.equivalence.moves import Move, Side, judge_move
from transect.rpc.equivalence.pairs import Judgement, Pair, Settings, Verdict, decide
from transect.rpc.equivalence.world import Oneofs


@dataclass(frozen=True)
class Stand:
    """An element in its place."""

    name: str  # its own within the chain
    program: Program
    side: Side = Side.SERVER
    guards: bool = False  # a hostile client must not be able to pass it by


Arrangement = Sequence[Stand]
"""Elements in the order in which a request passes them; those on the clients' side come first."""


@dataclass(frozen=True)
class StepTaken:
    """One step from one arrangement to the other, and whether it may be taken."""

    what: str
    judgement: Judgement


@dataclass(frozen=True)
class Report:
    level: Level
    steps: Sequence[StepTaken]

    @property
    def holds(self) -> bool:
        return all(step.judgement.holds for step in self.steps)

    @property
    def refused(self) -> list[StepTaken]:
        return [s for s in self.steps if not s.judgement.holds]


@dataclass
class Judge:
    """Judges the steps of one chain; each pair is asked once."""

    settings: Settings = field(default_factory=Settings)
    cache: Cache | None = None
    _pairs: dict[tuple[str, str, bool], Pair] = field(default_factory=dict)
    _known: dict[int, _Touched] = field(default_factory=dict, repr=False)

    def of(self, oneofs: Oneofs) -> Judge:
        """The same for messages whose oneofs are known."""
        if oneofs is None:
            return self
        return Judge(replace(self.settings, oneofs=oneofs), self.cache)

    def compare(self, before: Arrangement, after: Arrangement, level: Level) -> Report:
        """Whether `after` means the same as `before`.  Raises ValueError if they have different elements."""
        check(before)
        check(after)
        if sorted(s.name for s in before) != sorted(s.name for s in after):
            raise ValueError("two arrangements of one chain have the same elements")
        return Report(level, [*self._moves(before, after, level), *self._swaps(before, after, level)])

    def _moves(self, before: Arrangement, after: Arrangement, level: Level) -> Iterator[StepTaken]:
        was = {s.name: s.side for s in before}
        for stand in after:
            if was[stand.name] is not stand.side:
                move = Move(stand.program, stand.side, stand.guards)
                what = f"{stand.name} goes to the {stand.side}'s side"
                yield StepTaken(what, judge_move(move, level, self.settings.limit))

    def _swaps(self, before: Arrangement, after: Arrangement, level: Level) -> Iterator[StepTaken]:
        place = {s.name: i for i, s in enumerate(after)}
        for first, second in combinations(before, 2):
            if place[first.name] > place[second.name]:
                others = [s for s in before if s.name not in (first.name, second.name)]
                what = f"{second.name} goes before {first.name}"
                yield StepTaken(what, self.swap(first, second, others, level))

    def swap(self, first: Stand, second: Stand, others: Sequence[Stand], level: Level) -> Judgement:
        """Whether two may change places in the presence of the others."""
        if why := self._bytes_seen(first, second, others):
            return Judgement(level, Verdict.REFUSED, why)
        watched = level is Level.LOOSE and any(self._touched(s.program).acts_on_replies for s in others)
        return self.pair(first.program, second.program, watched).at(level)

    def pair(self, first: Program, second: Program, watched: bool) -> Pair:
        key = (first.source_hash + first.name, second.source_hash + second.name, watched)
        if key not in self._pairs:
            settings = replace(self.settings, watched=watched)
            if self.cache is not None:
                self._pairs[key] = self.cache.pair(first, second, settings)
            else:
                self._pairs[key] = decide(first, second, settings=settings)
        return self._pairs[key]

    def _touched(self, program: Program) -> _Touched:
        if id(program) not in self._known:
            self._known[id(program)] = _Touched(program)
        return self._known[id(program)]

    def _bytes_seen(self, first: Stand, second: Stand, others: Sequence[Stand]) -> str:
        """If two elements assign fields of one message, the order of its bytes depends on theirs; so an element that
        reads the bytes sees a swap.
        """
        for body, root in (("body", "msg"), ("reply_body", "reply")):
            if all(root in self._touched(s.program).assigns for s in (first, second)):
                for other in others:
                    if body in self._touched(other.program).looks_at:
                        return f"{other.name} looks at `rpc.{body}`, whose bytes depend on who assigns a field first"
        return ""


def check(arrangement: Arrangement) -> None:
    """Raises ValueError when an element of the clients' side comes after one of the server's."""
    sides = [s.side for s in arrangement]
    if sides != sorted(sides, key=lambda side: side is Side.SERVER):
        raise ValueError("a request passes the clients' side first")


class _Touched:
    """What an element does with the bytes of messages, and with replies."""

    def __init__(self, program: Program) -> None:
        self.program = program
        found = needs(program)
        self.looks_at = frozenset(use.field for use in found.uses)
        self.assigns = frozenset(r.name for a in found.accesses if a.write for r in a.roots)

    @cached_property
    def acts_on_replies(self) -> bool:
        return _acts_on_replies(self.program)


def _acts_on_replies(program: Program) -> bool:
    """Whether what an element sees of replies and ends may affect what the service receives."""
    element = Element(program.name, program)
    relevant = element.flows.relevant(element.sinks(Level.LOOSE))
    return any(node[0] == "view" and node[1] in ("response", "finish") for node in relevant) or bool(
        {"response", "finish"} & element.hooks and element.counts(Level.LOOSE).fields & element.written
    )
