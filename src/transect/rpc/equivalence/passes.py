# SPDX-License-Identifier: Apache-2.0
"""Messages through neighbouring elements, symbolically: a request in order, a reply in reverse, the end in reverse.

It follows `chain/python.py` rule by rule.  A pass has few outcomes (forwarded, rejected, answered; each with the
element that decided it), each with the condition under which it occurs and everything that is then true.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from transect.analysis import fold
from transect.analysis.evaluate import Evaluator, start
from transect.analysis.state import Held, Path, Said
from transect.analysis.terms import FALSE, TRUE, Op, Term, integer, text
from transect.analysis.values import Option, Struct, Union, Unsupported, Value, View
from transect.analysis.world import World
from transect.rpc.equivalence.levels import Element
from transect.rpc.equivalence.world import Body, ChainWorld, Oneofs, Passing, came, metadata

NONE, NO_ROUTE = integer(0), text(b"")
UNKNOWN_ROUTE = text(b"?")
"""The meaning of `to=""`: a route that no chain has, since `?` cannot be in a name (`chain/words.py`)."""


class Kind(StrEnum):
    FORWARD = "forwarded"
    REJECT = "rejected"
    RESPOND = "answered"


@dataclass(frozen=True)
class Flight:
    """What an element holds of one RPC."""

    locals: Mapping[str, Value]
    request: Body  # as the element passed it on
    reply: Body


@dataclass(frozen=True)
class Side:
    """One arrangement: the state of its elements, what they hold of RPCs in flight, and their reports."""

    order: tuple[str, ...]
    fields: Mapping[str, Mapping[str, Held]]
    overflow: Mapping[str, Mapping[str, Term]]
    said: Mapping[str, tuple[Said, ...]]
    flights: Mapping[tuple[str, str], Flight] = field(
        default_factory=dict
    )  # by (RPC, element), of elements that the RPC has entered


@dataclass(frozen=True)
class Outcome:
    """One way in which a pass may end."""

    guard: Term
    kind: Kind
    side: Side
    passing: Passing
    delay: Term = NONE  # ns
    route: Term = NO_ROUTE
    code: Term = NONE
    message: Term = NO_ROUTE
    by: int = -1  # position of the element that rejected or answered


@dataclass(frozen=True)
class Ending:
    """The results of `finish`."""

    side: Side
    retry: Term
    after: Term


class Chain:
    """The elements of a question, and the assumptions that their evaluation makes."""

    def __init__(self, elements: Sequence[Element], oneofs: Oneofs = None) -> None:
        self.elements = {e.name: e for e in elements}
        self.oneofs = oneofs
        self.assumptions: set[Term] = set()

    # ------------------------------------------------------------ where a question starts

    def start(self, order: Sequence[str], tag: str = "") -> Side:
        """Any state, the same for every order of elements."""
        fields, overflow = {}, {}
        for name, element in self.elements.items():
            path = start(element.program, f"{name}{tag}", self._plain())
            fields[name], overflow[name] = path.fields, path.overflow
        return Side(tuple(order), fields, overflow, dict.fromkeys(self.elements, ()))

    def in_flight(self, side: Side, rpc: str) -> Side:
        """An RPC that has entered every element, with any locals and any messages kept."""
        flights = dict(side.flights)
        for name, element in self.elements.items():
            path = start(element.program, f"{rpc} {name}", self._plain())
            kept = came("request", f"{rpc} {name} kept request")
            flights[rpc, name] = Flight(path.locals, kept, came("reply", f"{rpc} {name} kept reply"))
        return replace(side, flights=flights)

    def _plain(self) -> World:
        return World("start", self.assumptions)

    def message(self, rpc: str) -> Passing:
        """Any request, with any metadata."""
        return Passing(rpc, came("request", f"{rpc} request"), came("reply", f"{rpc} reply"), metadata(rpc))

    # ------------------------------------------------------------ passes

    def request(self, side: Side, passing: Passing, call: str) -> list[Outcome]:
        """A request message through the elements in order."""
        found: list[Outcome] = []
        guard, delay, route = TRUE, integer(0), text(b"")
        for index, name in enumerate(side.order):
            side = self._entered(side, passing, name)
            verdict, side, passing = self._message(side, passing, name, "request", call)
            for kind in ("Reject", "Respond"):
                here = fold.both(guard, verdict.guard(kind))
                if here is FALSE or kind not in verdict.cases:
                    continue
                given = verdict.cases[kind][1].fields
                if kind == "Reject":
                    found.append(self._rejected(here, side, passing, given, index, delay))
                else:
                    found += self._answered(here, side, passing, given["body"], index, call, delay)
            guard = fold.both(guard, verdict.guard("Forward"))
            if guard is FALSE:
                return found
            delay, route = _passed(verdict, delay, route)
        return [*found, Outcome(guard, Kind.FORWARD, side, passing, delay, route)]

    def _answered(
        self, guard: Term, side: Side, passing: Passing, body: Value, index: int, call: str, delay: Term
    ) -> list[Outcome]:
        """`Respond` by the element at `index`: the reply goes back through those before it, after their delays."""
        assert isinstance(body, Term), "a body is bytes"
        reply = Passing(passing.rpc, passing.request, Body("reply", body, body), passing.headers)
        found = self._back(side, reply, side.order[:index], f"{call} answer")
        return [
            replace(
                o,
                guard=fold.both(guard, o.guard),
                delay=_longer(delay, o.delay),
                kind=Kind.RESPOND if o.kind is Kind.FORWARD else o.kind,
                by=index if o.kind is Kind.FORWARD else o.by,
            )
            for o in found
        ]

    def response(self, side: Side, passing: Passing, call: str) -> list[Outcome]:
        """A reply message through all elements in reverse."""
        return self._back(side, passing, side.order, call)

    def _back(self, side: Side, passing: Passing, through: Sequence[str], call: str) -> list[Outcome]:
        found: list[Outcome] = []
        guard, delay = TRUE, integer(0)
        for index in reversed(range(len(through))):
            verdict, side, passing = self._message(side, passing, through[index], "response", call)
            here = fold.both(guard, verdict.guard("Reject"))
            if here is not FALSE and "Reject" in verdict.cases:
                given = verdict.cases["Reject"][1].fields
                found.append(self._rejected(here, side, passing, given, index, delay))
            answered = verdict.guard("Respond")
            if answered is not FALSE and "Respond" in verdict.cases:
                if answered is not fold.negate(verdict.guard("Reject")):
                    raise Unsupported("a reply that is replaced on some paths only")
                body = verdict.cases["Respond"][1].fields["body"]
                assert isinstance(body, Term), "a body is bytes"
                passing = replace(passing, reply=Body("reply", body, body))
            guard = fold.both(guard, fold.negate(verdict.guard("Reject")))
            if guard is FALSE:
                return found
            delay, _ = _passed(verdict, delay, text(b""))
        return [*found, Outcome(guard, Kind.FORWARD, side, passing, delay)]

    def finish(self, side: Side, passing: Passing, call: str) -> Ending:
        """The end of an RPC, for each element that it entered."""
        retry, after = FALSE, integer(0)
        for name in reversed(side.order):
            if (passing.rpc, name) not in side.flights or "finish" not in self.elements[name].hooks:
                continue
            value, side, passing = self._hook(side, passing, name, "finish", call)
            if not isinstance(value, Option):
                continue
            if isinstance(value.value, Struct):
                wait = value.value.fields["after"]
                more = fold.ite(value.present, _nonnegative(wait), integer(0))
                after = fold.ite(fold.less(after, more), more, after)
            retry = fold.either(retry, value.present)
        ended = {key: f for key, f in side.flights.items() if key[0] != passing.rpc}
        return Ending(replace(side, flights=ended), retry, after)

    # ------------------------------------------------------------ one hook

    def _entered(self, side: Side, passing: Passing, name: str) -> Side:
        if (passing.rpc, name) in side.flights:
            return side
        element = self.elements[name]
        first = start(element.program, name, self._plain(), first_message=True)
        nothing = Body("nothing", text(b""), text(b""))
        flight = Flight(first.locals, nothing, nothing)
        return replace(side, flights={**side.flights, (passing.rpc, name): flight})

    def _message(
        self, side: Side, passing: Passing, name: str, hook: str, call: str
    ) -> tuple[Union, Side, Passing]:
        """`request` or `response` of one element: its verdict, and what it keeps of the message."""
        key = (passing.rpc, name)
        before = passing
        if hook in self.elements[name].hooks:
            verdict, side, passing = self._hook(side, passing, name, hook, call)
            assert isinstance(verdict, Union), "a verdict"
        else:
            verdict = _FORWARD
        flight = side.flights[key]
        if hook == "request":  # messages as passed on; `body` as it came
            kept = replace(passing.request, bytes=before.request.bytes)
            flight = replace(flight, request=kept)
        else:
            kept = replace(passing.reply, bytes=before.reply.bytes)
            flight = replace(flight, reply=kept)
        return verdict, replace(side, flights={**side.flights, key: flight}), passing

    def _hook(
        self, side: Side, passing: Passing, name: str, hook: str, call: str
    ) -> tuple[Value, Side, Passing]:
        element, flight = self.elements[name], side.flights[passing.rpc, name]
        seen = passing
        if hook != "request":
            seen = replace(seen, request=flight.request)
        if hook == "finish":
            seen = replace(seen, reply=flight.reply)
        world = ChainWorld(name, hook, call, seen, self.assumptions, self.oneofs)
        path = Path(
            fields=dict(side.fields[name]),
            overflow=dict(side.overflow[name]),
            locals=dict(flight.locals),
            said=side.said[name],
        )
        args = (View("rpc"), View("outcome")) if hook == "finish" else (View("rpc"),)
        result = Evaluator(element.program, world).handler(hook, args, path)
        after = result.path
        on = world.passed(after)
        side = Side(
            side.order,
            {**side.fields, name: after.fields},
            {**side.overflow, name: after.overflow},
            {**side.said, name: after.said},
            {**side.flights, (passing.rpc, name): replace(flight, locals=after.locals)},
        )
        mine = replace(passing, headers=on.headers)
        mine = replace(mine, request=on.request) if hook == "request" else replace(mine, reply=on.reply)
        if hook == "finish":
            mine = replace(mine, reply=passing.reply)
        return result.value, side, mine

    def _rejected(
        self,
        guard: Term,
        side: Side,
        passing: Passing,
        given: Mapping[str, Value],
        index: int,
        delay: Term,
    ) -> Outcome:
        code, message = given["code"], given["message"]
        assert isinstance(code, Term) and isinstance(message, Term), "of a rejection"
        return Outcome(guard, Kind.REJECT, side, passing, delay, code=code, message=message, by=index)


_FORWARD = Union(
    {"Forward": (TRUE, Struct("Forward", {"after": Option(FALSE, None), "to": Option(FALSE, None)}))}
)


def _nonnegative(wait: Value) -> Term:
    """A delay that may be missing or negative, as a number that is not negative."""
    assert isinstance(wait, Option), "a delay is optional"
    if wait.value is None:
        return integer(0)
    assert isinstance(wait.value, Term), "a delay is one number"
    some = fold.both(wait.present, fold.less(integer(0), wait.value))
    return fold.ite(some, wait.value, integer(0))


def _passed(verdict: Union, delay: Term, route: Term) -> tuple[Term, Term]:
    """The delay and the route so far, combined with those of one more `Forward`."""
    if "Forward" not in verdict.cases:
        return delay, route
    given = verdict.cases["Forward"][1].fields
    to = given["to"]
    assert isinstance(to, Option), "a route is optional"
    if isinstance(to.value, Term):
        named = fold.ite(fold.equal(to.value, NO_ROUTE), UNKNOWN_ROUTE, to.value)
        route = fold.ite(to.present, named, route)
    return _longer(delay, _nonnegative(given["after"])), route


def _longer(delay: Term, more: Term) -> Term:
    """The sum of two delays that are not negative."""
    if NONE in (delay, more):
        return more if delay is NONE else delay
    total = fold.arithmetic(Op.ADD, delay, more)
    return fold.ite(fold.less(total, integer(0)), integer((1 << 63) - 1), total)
