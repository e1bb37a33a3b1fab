# SPDX-License-Identifier: Apache-2.0
"""Whether an element may stand on the other side of the network: a map between its instances, what it sees, trust.

On the clients' side there is one instance for each client, on the server's one for all, and an RPC may be lost in
between.  A field that no handler changes is the same in every instance, but one that calls change is not; so an element
may only move if none of the fields that count is changed by calls (`docs/equivalence.md`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from transect.analysis import fold
from transect.analysis.allowance import Spent, allowed
from transect.analysis.solve import CORRECTIONS, LIMIT, Answer, Question
from transect.analysis.terms import FALSE, Term
from transect.analysis.values import Unsupported
from transect.core.ir import FieldKind, Program
from transect.core.types import Sync
from transect.rpc.equivalence import plain
from transect.rpc.equivalence.compare import Comparer
from transect.rpc.equivalence.concrete import Reading
from transect.rpc.equivalence.explore import Explorer, Steps, shown
from transect.rpc.equivalence.levels import Element, Level
from transect.rpc.equivalence.pairs import Judgement, Verdict
from transect.rpc.equivalence.passes import Chain
from transect.rpc.equivalence.passes import Side as State
from transect.rpc.equivalence.service import Clash
from transect.rpc.equivalence.simulate import Arranged, Trial
from transect.rpc.equivalence.streams import Step, Stream, Witness


class Side(StrEnum):
    """Which side of the network; on the clients' side there is an instance for each client."""

    CLIENT = "client"
    SERVER = "server"


@dataclass(frozen=True)
class Move:
    program: Program
    to: Side
    guards: bool = False  # a hostile client must not be able to pass it by


SEARCH = 8
"""What the search for a stream may take, in multiples of the limit of one question; it asks at most six questions."""

PREFIXES: tuple[Steps, ...] = (
    (("r1", Step.REQUEST),),
    (("r1", Step.REQUEST), ("r1", Step.FINISH)),
    (("r1", Step.REQUEST), ("r1", Step.RESPONSE), ("r1", Step.FINISH)),
)


def judge_move(move: Move, level: Level, limit: float = LIMIT, *, witness: bool = True) -> Judgement:
    """Whether an element may move to the other side; `witness`: look for a stream which shows why not."""
    element = Element(move.program.name, move.program)
    if why := _forbidden(element, move, level):
        return Judgement(level, Verdict.REFUSED, why)
    changing = _changing(element, level)
    if not changing:
        return Judgement(level, Verdict.PROVED, "calls change nothing that it keeps and that counts")
    fields = ", ".join(f"`{name}`" for name in changing)
    why = f"calls change {fields}, of which each client's instance would have its own"
    if not witness:
        return Judgement(level, Verdict.REFUSED, why)
    try:
        with allowed(SEARCH * limit):
            found = _witness(element, level, limit)
    except (Unsupported, Clash, Spent) as open_question:
        found = str(open_question)
    if isinstance(found, Witness):
        return Judgement(level, Verdict.REFUSED, why, found)
    said = f" ({found})" if found else ""
    return Judgement(level, Verdict.UNKNOWN, f"{why}; no stream was found that shows it{said}")


def _forbidden(element: Element, move: Move, level: Level) -> str:
    name = element.program.name
    if move.guards and move.to is Side.CLIENT:
        return f"{name} guards the service: a client that leaves its own chain out would pass it by"
    if element.asks("peer", level):
        return f"{name} asks who calls (`rpc.peer`), which the two sides see differently"
    if move.to is Side.SERVER and "Retry" in element.verdicts("finish"):
        return f"{name} asks for another attempt, which the client's side alone can make"
    if level is Level.IDENTICAL:
        for f in element.program.state:
            if f.options.sync is Sync.EVENTUAL:
                return f"`{f.name}` of {name} is eventual: its content depends on when merges arrive"
    return ""


def _changing(element: Element, level: Level) -> list[str]:
    """What counts and differs between instances."""
    counts = element.counts(level)
    shared = {f.name for f in element.program.state if f.kind is not FieldKind.PARAM}
    found = sorted(counts.fields & element.written & shared)
    if counts.everything and any(element.flows.sinks("said", hook) for hook in element.hooks):
        found.append("what it says")
    return found


def _witness(element: Element, level: Level, limit: float) -> Witness | str:
    """A stream of two clients, of which the second notices at one place, but not at the other, that the first has
    called; or, if known, why none was found.  Raises `Unsupported`, `Clash`, `Spent`.
    """
    given_up = ""
    chain = Chain([element])
    comparer = Comparer(chain, level, level is not Level.LOOSE)
    trial = Trial({element.name: element.program})
    asked = Explorer(chain, ((element.name,), (element.name,)), comparer)
    r2: Steps = (("r2", Step.REQUEST),)
    for prefix in PREFIXES:
        if not asked.sensible(prefix):
            continue
        goals = [
            fold.both(b.guard, _notices(chain, comparer, asked, b.sides[0])) for b in asked.branches(prefix)
        ]
        goal = fold.either(*goals)
        if goal is FALSE:
            continue
        must = [goal, *asked.conditions((*prefix, *r2))]
        whole = (goal, *chain.assumptions)
        for params in (True, False):
            near = plain.conditions([element], whole, params=params)
            found = Question([*must, *near], chain.assumptions, limit=limit, corrections=CORRECTIONS).ask()
            if found.answer is Answer.UNKNOWN:
                given_up = given_up or f"the solver gave up: {found.why}"
            if found.model is None:
                continue
            reading = Reading(chain, trial, found.model, whole)
            stream = _of_two(reading.stream((*prefix, *r2)))
            # What the instances hold is not compared, since the instances differ.
            seen = Level.LOOSE if level is Level.LOOSE else Level.SERVICE
            witness = shown(trial, stream, Arranged.moved(element.name), seen, level is not Level.LOOSE)
            if witness is not None:
                return witness
    return given_up


def _notices(chain: Chain, comparer: Comparer, asked: Explorer, after: State) -> Term:
    """Whether a request gives another result than it would have given without the call before."""
    message = chain.message("r2")
    first = chain.request(asked.start[0], message, "r2")
    second = chain.request(after, message, "r2")
    return fold.either(
        *(fold.both(x.guard, y.guard, fold.negate(comparer.outputs(x, y))) for x in first for y in second)
    )


def _of_two(stream: Stream) -> Stream:
    """The stream with the second RPC made by another client."""
    events = [replace(e, client="b") if e.rpc == "r2" else e for e in stream.events]
    return Stream(stream.state, events)
