# SPDX-License-Identifier: Apache-2.0
"""Looks for a short stream that two orders treat differently: the solver finds it, and the interpreter confirms it.

A stream starts in any state with no RPC in flight.  A stream from the solver counts only if both orders have run it on
the interpreter with different results.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from transect.analysis import fold
from transect.analysis.solve import CORRECTIONS, Answer, Model, Question
from transect.analysis.terms import FALSE, TRUE, Term, integer, text, var
from transect.analysis.terms import Sort as TermSort
from transect.analysis.values import Unsupported
from transect.rpc.equivalence import plain
from transect.rpc.equivalence.compare import Comparer
from transect.rpc.equivalence.concrete import Reading
from transect.rpc.equivalence.levels import Level
from transect.rpc.equivalence.passes import Chain, Kind, Outcome, Side
from transect.rpc.equivalence.sendable import Unsendable, mended
from transect.rpc.equivalence.service import PATH, Clash
from transect.rpc.equivalence.simulate import (
    CAUSE_REJECT,
    CAUSE_REPLY,
    OK,
    Arranged,
    Trial,
    differs,
    observed,
)
from transect.rpc.equivalence.streams import Ends, Run, Step, Stream, Witness

BUDGET = 3  # processor time for one search, in multiples of the limit of one question
Steps = tuple[tuple[str, Step], ...]

_R1, _S1, _F1 = ("r1", Step.REQUEST), ("r1", Step.RESPONSE), ("r1", Step.FINISH)
_R2, _S2 = ("r2", Step.REQUEST), ("r2", Step.RESPONSE)
_R3 = ("r3", Step.REQUEST)
STREAMS: Sequence[Steps] = (
    (_R1,),
    (_R1, _R2),
    (_R1, _S1),
    (_R1, _F1),
    (_R1, _F1, _R2),
    (_R1, _S1, _R2),
    (_R1, _S1, _F1, _R2),
    (_R1, _S1, _R2, _S2),
    (_R1, _R1),
    (_R1, _R1, _R2),
    (_R1, _R2, _R3),
    (_R1, _R2, _S2, _R3),
)
"""Shortest first; `_R1, _R1`: a second message of the same RPC."""


@dataclass(frozen=True)
class Branch:
    """A stream so far, along one combination of outcomes."""

    guard: Term
    sides: tuple[Side, Side]
    live: dict[str, tuple[Outcome, Outcome]]  # RPCs under way on both sides
    differ: Term  # whether something different was put out
    ended: Mapping[str, tuple[Outcome, Outcome]] = field(default_factory=dict)  # RPCs that the elements ended


def witness(
    chain: Chain, orders: Sequence[tuple[str, ...]], comparer: Comparer, limit: float
) -> Witness | None:
    """A stream for which the orders differ at the comparer's level; one that can be sent, if such a one is found."""
    try:
        trial = Trial({name: e.program for name, e in chain.elements.items()})
    except Clash:
        return None
    asked = Explorer(chain, orders, comparer)
    until = time.process_time() + BUDGET * limit
    unsendable: Witness | None = None
    for steps in STREAMS:
        if not asked.sensible(steps):
            continue
        try:
            goal = asked.difference(steps)
        except Unsupported:
            continue
        if goal is FALSE:
            continue
        shown = _asked(trial, asked, steps, goal, comparer, limit, until)
        if shown is not None and shown.ends is not Ends.LATER:
            return shown
        unsendable = unsendable or shown
    return unsendable


def _asked(
    trial: Trial,
    asked: Explorer,
    steps: Steps,
    goal: Term,
    comparer: Comparer,
    limit: float,
    until: float,
) -> Witness | None:
    """Ask for models, from the plainest to any; exactly, too, after one that showed no difference when it was run.
    Returns the first that shows a difference.
    """
    elements = tuple(asked.chain.elements.values())
    must = [goal, *asked.conditions(steps)]
    whole = [goal, *asked.chain.assumptions]
    impossible = False  # whether there was a model that showed no difference
    small = plain.conditions(elements, whole, params=True)
    any_params = plain.conditions(elements, whole, params=False)
    for exact, texts, wanted in (
        (False, False, small),
        (True, False, small),
        (False, False, any_params),
        (True, False, any_params),
        (False, False, []),
        (True, True, small),
    ):
        if exact and not impossible:
            continue
        if time.process_time() > until:
            return None
        parts = [*must, *wanted]
        question = Question(
            parts, asked.chain.assumptions, exact=exact, texts=texts, limit=limit, corrections=CORRECTIONS
        )
        found = question.ask()
        if found.answer is Answer.NEVER and not wanted:
            return None
        if found.model is not None:
            shown = _replayed(trial, asked, steps, goal, found.model, comparer)
            if shown is not None:
                return shown
            impossible = True
    return None


def _replayed(
    trial: Trial, asked: Explorer, steps: Steps, goal: Term, model: Model, comparer: Comparer
) -> Witness | None:
    reading = Reading(asked.chain, trial, model, (goal, *asked.chain.assumptions))
    stream = reading.stream(steps)
    first, second = asked.orders[0]
    return shown(trial, stream, Arranged.swapped(first, second), comparer.level, comparer.watched)


def shown(
    trial: Trial, stream: Stream, arranged: tuple[Arranged, Arranged], level: Level, watched: bool
) -> Witness | None:
    """The stream as a witness, if it really gives different results on the interpreter."""
    a, b = (trial.run(stream, one) for one in arranged)
    ends = Ends.LATER
    if not differs(observed(a, watched), observed(b, watched), state=level is Level.IDENTICAL):
        return None
    with contextlib.suppress(Unsendable):
        stream, ends, (a, b) = mended(trial.programs, stream, arranged, level, watched)
    why = why_different(stream, a, b, observed(a, watched), observed(b, watched))
    return Witness(stream, (a, b), why, ends)


def why_different(stream: Stream, a: Run, b: Run, seen_a: Run, seen_b: Run) -> str:
    """One line: the first event with a different outcome, else the elements with a different state."""
    pairs = zip(stream.events, seen_a.seen, seen_b.seen, a.seen, b.seen, strict=True)
    for event, x, y, shown_x, shown_y in pairs:
        if x != y:
            what = f"{event.rpc}'s {event.step} is {shown_x} in {a.title}, and {shown_y} in {b.title}"
            return what
    names = [name for name in a.state if a.state[name] != b.state[name]]
    return f"afterwards {', '.join(names)} {'holds' if len(names) == 1 else 'hold'} something different"


class Explorer:
    """Streams through two orders, symbolically."""

    def __init__(self, chain: Chain, orders: Sequence[tuple[str, ...]], comparer: Comparer) -> None:
        self.chain = chain
        self.orders = orders
        self.comparer = comparer
        self.start = (chain.start(orders[0]), chain.start(orders[1]))
        self._known: dict[Steps, list[Branch]] = {}

    def sensible(self, steps: Steps) -> bool:
        """Whether some element does something at each kind of step (a request always counts)."""
        hooks = frozenset().union(*(e.hooks for e in self.chain.elements.values()))
        return all(step is Step.REQUEST or step.value in hooks for _, step in steps)

    def conditions(self, steps: Steps) -> Iterable[Term]:
        """Conditions for a stream that is to be run: it uses only one method."""
        path = text(PATH.encode())
        for rpc in dict.fromkeys(rpc for rpc, _ in steps):
            yield fold.equal(var(f"{rpc} method", TermSort.TEXT), path)

    def difference(self, steps: Steps) -> Term:
        """Whether something differs along the stream (at `identical`: or in the state at its end)."""
        return fold.either(*(fold.both(b.guard, self._differs(b)) for b in self.branches(steps)))

    def branches(self, steps: Steps) -> list[Branch]:
        """All branches of the stream; streams share their beginnings."""
        if not steps:
            return [Branch(TRUE, self.start, {}, FALSE)]
        if steps not in self._known:
            rpc, step = steps[-1]
            number = steps.count(steps[-1])
            call = rpc if number == 1 else f"{rpc} {number}"
            self._known[steps] = [
                after for branch in self.branches(steps[:-1]) for after in self.step(branch, rpc, step, call)
            ]
        return self._known[steps]

    def _differs(self, branch: Branch) -> Term:
        if self.comparer.level is not Level.IDENTICAL:
            return branch.differ
        return fold.either(branch.differ, fold.negate(self.comparer.states(*branch.sides)))

    def step(self, branch: Branch, rpc: str, step: Step, call: str) -> list[Branch]:
        match step:
            case Step.REQUEST:
                return self._request(branch, rpc, call)
            case Step.RESPONSE:
                return self._response(branch, rpc, call)
            case Step.FINISH:
                return [self._finish(branch, rpc, call)]

    def _request(self, branch: Branch, rpc: str, call: str) -> list[Branch]:
        if rpc not in branch.live and rpc != call:
            return [branch]
        passing = self.chain.message(call)
        passing = replace(passing, rpc=rpc)
        if rpc in branch.live:
            before = [outcome.passing.headers for outcome in branch.live[rpc]]
            given = [replace(passing, headers=headers) for headers in before]
        else:
            given = [passing, passing]
        found = [
            self.chain.request(side, message, call) for side, message in zip(branch.sides, given, strict=True)
        ]
        return list(self._combined(branch, rpc, found[0], found[1], reply=False))

    def _response(self, branch: Branch, rpc: str, call: str) -> list[Branch]:
        if rpc not in branch.live:
            return [branch]
        found = []
        for side, outcome in zip(branch.sides, branch.live[rpc], strict=True):
            passing = replace(self.chain.message(rpc), headers=outcome.passing.headers)
            found.append(self.chain.response(side, passing, call))
        return list(self._combined(branch, rpc, found[0], found[1], reply=True))

    def _combined(
        self, branch: Branch, rpc: str, a: list[Outcome], b: list[Outcome], *, reply: bool
    ) -> Iterable[Branch]:
        for x in a:
            for y in b:
                guard = fold.both(branch.guard, x.guard, y.guard)
                if guard is FALSE:
                    continue
                differ = fold.either(branch.differ, fold.negate(self.comparer.outputs(x, y, reply=reply)))
                on = x.kind is Kind.FORWARD and y.kind is Kind.FORWARD
                live = {**branch.live, rpc: (x, y)}
                ended = dict(branch.ended)
                if not on:
                    ended[rpc] = live.pop(rpc)
                yield Branch(guard, (x.side, y.side), live, differ, ended)

    def _finish(self, branch: Branch, rpc: str, call: str) -> Branch:
        passing = self.chain.message(rpc)
        a, b = (self.chain.finish(side, passing, call) for side in branch.sides)
        differ = fold.either(branch.differ, fold.negate(self.comparer.retries(a, b)))
        live = {key: value for key, value in branch.live.items() if key != rpc}
        why = [_how_ended(outcome, call) for outcome in branch.ended.get(rpc, ())]
        guard = fold.both(branch.guard, *why)
        return Branch(guard, (a.side, b.side), live, differ, branch.ended)


def _how_ended(outcome: Outcome, call: str) -> Term:
    """What `finish` is told of an RPC that an element ended."""
    code, cause = var(f"{call} code", TermSort.INT), var(f"{call} cause", TermSort.INT)
    match outcome.kind:
        case Kind.REJECT:
            return fold.both(fold.equal(code, outcome.code), fold.equal(cause, integer(CAUSE_REJECT)))
        case Kind.RESPOND:
            return fold.both(fold.equal(code, integer(OK)), fold.equal(cause, integer(CAUSE_REPLY)))
        case Kind.FORWARD:
            return TRUE
