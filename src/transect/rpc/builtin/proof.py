# SPDX-License-Identifier: Apache-2.0
"""Whether an element equals some of Envoy's own filters: proved, or refused with the reason.

An element alone, and the meaning of the filters (`meaning`), are two arrangements for one call.  From the state that
the chain file gives, both must put out the same for every request, leave the state as it was, and report nothing: then
no call ever changes the state, and by induction both do the same for every stream.  Replies and ends must pass
untouched. This requires more than `identical` does: when a filter replaces the element, its state and its reports are
gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from transect.analysis import fold
from transect.analysis.evaluate import initial
from transect.analysis.solve import LIMIT, Answer, Question
from transect.analysis.state import Held, Table
from transect.analysis.terms import TRUE, Term, unfolded
from transect.analysis.values import Unsupported, constant
from transect.core import ir
from transect.core.ir import FieldKind, Program
from transect.core.types import TableType
from transect.rpc.builtin.candidate import candidate
from transect.rpc.builtin.filters import Filter, NotAFilter
from transect.rpc.builtin.meaning import meaning
from transect.rpc.equivalence.compare import Comparer
from transect.rpc.equivalence.levels import Element, Level
from transect.rpc.equivalence.passes import Chain, Kind, Outcome, Side

RPC = "r1"


def filters_of(
    name: str, program: Program, values: Mapping[str, object], limit: float = LIMIT
) -> tuple[Filter, ...]:
    """The filters that an element equals, in the order of a request; none if it does nothing.

    `name`: its name in the chain; `values`: what the chain file gives to its state.  Raises NotAFilter.
    """
    element = Element(name, program)
    _keeps_nothing(element)
    try:
        asked = _Asked(element, values)
        found = candidate(name, asked.requests(asked.chain, (name,)))
        with unfolded():  # the proof must not rely on folding
            again = _Asked(element, values, found)
            goals = list(again.goals())
        goals += list(_Asked(element, values, found).goals())
    except Unsupported as why:
        raise NotAFilter(f"it is not evaluated: {why}") from why
    for what, goal, assumptions in goals:
        if goal is not TRUE:
            answer = Question([fold.negate(goal)], assumptions, limit=limit).ask().answer
            if answer is not Answer.NEVER:
                said = "differs from" if answer is Answer.SOMETIMES else "was not proved to be"
                raise NotAFilter(f"{what} {said} what Envoy's filters do")
    return tuple(found)


def _keeps_nothing(element: Element) -> None:
    """Raises NotAFilter for the reasons that need no solver."""
    kept = element.written - {f.name for f in element.program.state if f.kind is FieldKind.LOCAL}
    if kept:
        raise NotAFilter(
            f"calls change {', '.join(f'`{one}`' for one in sorted(kept))}, which no filter keeps"
        )
    if any(element.flows.sinks("said", hook) for hook in element.hooks):
        raise NotAFilter("it says things, and Envoy's filters say nothing")
    if element.flows.sinks("write", "response") or element.flows.sinks("write", "finish"):
        raise NotAFilter("it changes replies; `header_mutation` would change those of failed calls, too")


class _Asked:
    """An element and filters as terms."""

    def __init__(
        self, element: Element, values: Mapping[str, object], found: list[Filter] | None = None
    ) -> None:
        self.element = element
        self.values = values
        those = [Element(p.name, p) for p in meaning(found or [])]
        self.filters = tuple(e.name for e in those)
        self.chain = Chain([element, *those])
        self.comparer = Comparer(self.chain, Level.IDENTICAL, True)

    def start(self, order: tuple[str, ...]) -> Side:
        side = self.chain.start(order)
        given = as_given(self.element.program, self.values)
        own = {**side.fields[self.element.name], **given}
        return replace(side, fields={**side.fields, self.element.name: own})

    def requests(self, chain: Chain, order: tuple[str, ...]) -> list[Outcome]:
        return chain.request(self.start(order), chain.message(RPC), RPC)

    def goals(self) -> Iterator[tuple[str, Term, set[Term]]]:
        mine = (self.element.name,)
        passing = self.chain.message(RPC)
        one = self.chain.request(self.start(mine), passing, RPC)
        two = self.chain.request(self.start(self.filters), passing, RPC)
        yield self._goal("a request", self._same(one, two))
        flying = self.chain.in_flight(self.start(mine), RPC)
        replies = self.chain.response(flying, passing, RPC)
        untouched = Outcome(TRUE, Kind.FORWARD, flying, passing)
        yield self._goal("a reply", self._same(replies, [untouched], reply=True))
        end = self.chain.finish(flying, passing, RPC)
        kept = fold.both(fold.negate(end.retry), self._unchanged(end.side))
        yield self._goal("the end of a call", kept)

    def _goal(self, what: str, goal: Term) -> tuple[str, Term, set[Term]]:
        return what, goal, self.chain.assumptions

    def _same(self, one: list[Outcome], two: list[Outcome], *, reply: bool = False) -> Term:
        return fold.both(
            *(
                fold.implies(
                    fold.both(x.guard, y.guard),
                    fold.both(self.comparer.outputs(x, y, reply=reply), self._unchanged(x.side)),
                )
                for x in one
                for y in two
            )
        )

    def _unchanged(self, side: Side) -> Term:
        """The element's state is as at the beginning, and nothing was reported."""
        return self.comparer.state(self.element.name, self.start((self.element.name,)), side)


def as_given(program: Program, values: Mapping[str, object]) -> dict[str, Held]:
    """The state with which an element begins; a field that is not listed may hold anything."""
    found: dict[str, Held] = {}
    for f in program.state:
        if f.kind not in (FieldKind.LOCAL, FieldKind.GIVEN):
            held = _first(f, values)
            if held is not None:
                found[f.name] = held
    return found


def _first(f: ir.StateField, values: Mapping[str, object]) -> Held | None:
    given = values.get(f.name)
    if isinstance(f.type, TableType):
        t = f.type
        table = Table(f"given {f.name}", t.key, t.value, t.kind, t.capacity, empty=True)
        for key, value in given.items() if isinstance(given, dict) else ():
            table = table.put(constant(t.key, key), constant(t.value, value))[1]
        return table
    if f.name in values:
        return constant(f.type, given) if not isinstance(given, list) else None
    return initial(f) if f.default is not None else None
