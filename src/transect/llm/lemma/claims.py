# SPDX-License-Identifier: Apache-2.0
"""The steps of the derivation in `docs/fairness.md`, one by one, each for every state of one policy.

*Fairness*, for policies whose `pick` orders the waiting clients by a tally of service: the least counter is picked, a
newcomer is lifted to it, charges are what was used, and no counter moves otherwise.  *Work conservation*, for all:
nobody is refused, and `pick` names somebody who waits.  What the engine does is fixed: it asks while anybody waits,
admits whom the policy names, and stops only where that request does not fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from enum import StrEnum

from transect.analysis import fold
from transect.analysis.solve import FIRST, LIMIT, SECOND, Asking
from transect.analysis.state import Path
from transect.analysis.terms import TRUE, Op, Term, integer, unfolded, var
from transect.analysis.terms import Sort as S
from transect.analysis.values import Struct, Union, Value, View
from transect.core.ir import FieldKind, Program
from transect.core.types import INT
from transect.llm.adapter import INPUT, OUTPUT, counter_field
from transect.llm.lemma.prices import Cost, Deposit, deposits
from transect.llm.lemma.symbolic import (
    LARGE,
    LEAST,
    SMALL,
    Handlers,
    Unsupported,
    always,
    client,
    count,
    request_of,
    waits,
)


class Part(StrEnum):
    FAIRNESS = "fairness"
    CONSERVATION = "work conservation"


class Verdict(StrEnum):
    PROVED = "proved"
    BROKEN = "broken"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Claim:
    """One step, at one hook."""

    part: Part
    hook: str
    says: str
    verdict: Verdict
    why: str = ""
    trace: str = ""  # the trace that shows it to be broken
    rechecked: bool | None = None  # whether a second proof confirms it; None: not asked again


COSTS = ("charge", "admit", "finish", "retract")  # hooks whose steps depend on how `charge` counts
Ask = Callable[[], str]  # empty: it holds; else why that is not known


def claims(program: Program, limit: float = LIMIT, *, recheck: bool = True) -> Iterator[Claim]:
    """Every step; `broken` is found elsewhere, since it takes a trace.  `recheck`: look for a second proof of what is
    proved.
    """
    first = Steps(program, limit)
    second = Steps(program, limit, SECOND, first)
    for (part, hook, says, ask), (*_, again) in zip(first.all(), second.all(), strict=True):
        why, confirmed = _asked(ask), None
        if not why and recheck:
            # The second proof is of terms as they are written, except of a cost, which takes intervals that folding
            # finds.
            by_intervals = isinstance(first.way, Cost) and hook in COSTS
            with nullcontext() if by_intervals else unfolded():
                confirmed = not _asked(again)
        yield Claim(part, hook, says, Verdict.UNKNOWN if why else Verdict.PROVED, why, rechecked=confirmed)


def _asked(ask: Ask) -> str:
    try:
        return ask()
    except Unsupported as unsupported:
        return f"not evaluated: {unsupported}"


def ahead_of(program: Program) -> str | None:
    """The value by which a policy remembers what it charged ahead for a request, if it has one."""
    found = [f.name for f in program.state if f.kind is FieldKind.LOCAL and f.type == INT]
    return found[0] if len(found) == 1 else None


class Steps:
    def __init__(
        self, program: Program, limit: float, asking: Asking = FIRST, first: Steps | None = None
    ) -> None:
        """`first`: the claims whose proofs this one is to confirm."""
        self.first = first
        self.program = program
        self.limit = limit
        self.asking = asking
        self.counter = counter_field(program) or ""
        self.ahead = ahead_of(program)
        self.shape = program.base == "Arbiter"
        self.way: Cost | Deposit | None = None  # how `charge` was found to count; None: by tokens

    def all(self) -> Iterator[tuple[Part, str, str, Ask]]:
        if not self.shape:
            yield Part.CONSERVATION, "accept", "refuses nobody", self.refuses_nobody
        yield Part.CONSERVATION, "pick", "names somebody who waits", self.picks_a_member
        if self.counter:
            yield from self._fairness()

    def _fairness(self) -> Iterator[tuple[Part, str, str, Ask]]:
        part = Part.FAIRNESS
        yield part, "pick", "takes the least counter, and moves none", self.picks_the_least
        yield part, "arrive", "lifts a newcomer to the least of those who wait", self.lifts
        yield part, "arrive", "moves nobody else, and nobody who waits already", self.lifts_nobody_else
        yield (
            part,
            "leave",
            "a newcomer finds no less than where the last one was picked",
            self.keeps_the_level,
        )
        yield part, "charge", "counts what was used, for whom it was used", self.charges
        if not self.shape:
            yield part, "admit", "charges nothing, or a forecast within what is reserved", self.admits
            yield part, "finish", "takes back just what was charged ahead", self.finishes
            yield part, "retract", "takes back just what was charged ahead", self.retracts
        for hook in ("leave", "head"):
            if hook in (h.name for h in self.program.handlers):
                yield part, hook, "moves no counter", lambda hook=hook: self.moves_nothing(hook)  # type: ignore[misc]

    # ------------------------------------------------------------ work conservation

    def refuses_nobody(self) -> str:
        h = self._handlers()
        if not h.defines("accept"):
            return ""
        said = h.run("accept", [View("request")], h.fresh()).value
        if isinstance(said, Struct):
            return "" if said.name == "Queue" else "it refuses"
        assert isinstance(said, Union), "a verdict"
        return self._always(h, fold.negate(said.guard("Refuse")))

    def picks_a_member(self) -> str:
        h = self._handlers()
        chosen = h.run("pick", [], h.fresh()).value
        assert isinstance(chosen, Term), "a client"
        return self._always(h, waits(chosen), fold.less(integer(0), count()))

    # ------------------------------------------------------------ the least counter

    def picks_the_least(self) -> str:
        h = self._handlers()
        found = h.run("pick", [], h.fresh())
        assert isinstance(found.value, Term), "a client"
        other = client("other")
        least = fold.equal(h.of(found.value, h.before), LEAST)
        moved = fold.equal(h.of(other, found.path), h.of(other, h.before))
        return self._always(h, fold.both(least, moved), fold.less(integer(0), count()))

    def lifts(self) -> str:
        h = self._handlers()
        args, c = self._arrival(h, h.before)
        after = h.run("arrive", args, h.fresh()).path
        had = h.of(c, h.before)
        lifted = fold.ite(fold.less(had, LEAST), LEAST, had)
        given = fold.negate(waits(c)), fold.less(integer(0), count())
        return self._always(h, fold.equal(h.of(c, after), lifted), *given)

    def lifts_nobody_else(self) -> str:
        h = self._handlers()
        args, c = self._arrival(h, h.before)
        after = h.run("arrive", args, h.fresh()).path
        other = client("other")
        same = fold.equal(h.of(other, after), h.of(other, h.before))
        mine = fold.equal(h.of(c, after), h.of(c, h.before))
        kept = mine if not self.shape else TRUE  # a shape's client arrives once, before it waits
        return fold_why(
            self._always(h, same, fold.negate(fold.equal(other, c))), self._always(h, kept, waits(c))
        )

    def keeps_the_level(self) -> str:
        """Two things: if the last waiting client is picked and leaves, a newcomer starts no lower than that client
        stood; and charges meanwhile do not lower this level.
        """
        h = self._handlers()
        picked = h.run("pick", [], h.fresh())
        left = h.run("leave", [picked.value], picked.path)
        first = self._level(h, h.with_nobody_waiting(left.path))
        why = self._always(h, fold.at_most(LEAST, first), fold.less(integer(0), count()))
        if why:
            return why
        before = h.with_nobody_waiting()
        charged = self._charged(h, before)
        more = var("some charge", S.INT)  # what `charges` proves of it, and nothing else
        charged.fields[self.counter] = h.raised(self._charged_client(h), more, before)
        given = fold.at_most(integer(0), more), fold.less(more, LARGE)
        return self._always(h, fold.at_most(self._level(h, before), self._level(h, charged)), *given)

    def _level(self, h: Handlers, path: Path) -> Term:
        """Where a newcomer's counter stands if nobody waits."""
        args, c = self._arrival(h, path, "newcomer")
        h.world.assume(fold.negate(waits(c, path.fields["waiting"])))  # type: ignore[arg-type]
        return h.of(c, h.run("arrive", args, path.copy()).path)

    # ------------------------------------------------------------ charges

    def charges(self) -> str:
        """`charge` counts by the cost of a request, by a price for each token, or with a deposit; the steps of the
        other hooks then use the same way.
        """
        if self.shape:
            return self._tokens_charged()
        why = ""
        for way in self._ways():
            self.way = way
            found = self._tokens_charged() if way is None else way.charges()
            if not found:
                return self._charges_nobody_else()
            why = found if way is None else why
        self.way = None
        return why

    def _ways(self) -> list[Cost | Deposit | None]:
        """The ways in which `charge` may count; for a second proof, the way of the first one."""
        cost = Cost(self._handlers(), self.ahead, self.limit, self.asking)
        ways: list[Cost | Deposit | None] = [cost, None, *self._deposits()]
        if self.first is None:
            return ways
        return [way for way in ways if _kind(way) == _kind(self.first.way)]

    def _deposits(self) -> list[Deposit]:
        if self.ahead is not None:
            return []
        tallies = deposits(self.program, self.counter)
        return [Deposit(self._handlers(), tally, self._always) for tally in tallies]

    def _charges_nobody_else(self) -> str:
        h = self._handlers()
        return self._nobody_else(h, self._charged(h, h.fresh()), self._charged_client(h))

    def _tokens_charged(self) -> str:
        h = self._handlers()
        after = self._charged(h, h.fresh())
        c, other = self._charged_client(h), client("other")
        had, has = h.of(c, h.before), h.of(c, after)
        why = ""
        for used in self._prices(h):
            why = self._always(
                h, fold.equal(has, fold.arithmetic(Op.ADD, had, used)), *self._used(h, h.before)
            )
            if not why:
                break
        same = fold.equal(h.of(other, after), h.of(other, h.before))
        return fold_why(why, self._always(h, same, fold.negate(fold.equal(other, c))))

    def _charged(self, h: Handlers, path: Path) -> Path:
        amounts = [var("cost", S.INT)] if self.shape else [var("prompt", S.INT), var("output", S.INT)]
        who: Value = client("client") if self.shape else View("request")
        return h.run("charge", [who, *amounts], path.copy()).path

    def _charged_client(self, h: Handlers) -> Term:
        return client("client") if self.shape else request_of(h, h.before, "client")

    def _used(self, h: Handlers, path: Path) -> list[Term]:
        """What is assumed of a charge: its tokens were used, fewer than 2^31 at once, and weights are at least 1
        percent.
        """
        zero, found = integer(0), []
        if self.shape:
            cost = var("cost", S.INT)
            return [fold.at_most(zero, cost), fold.less(cost, integer(1 << 60))]
        for amount in (var("prompt", S.INT), var("output", S.INT), request_of(h, path, "produced")):
            found += [fold.at_most(zero, amount), fold.less(amount, SMALL)]
        weight = request_of(h, path, "weight")
        produced = fold.at_most(var("output", S.INT), request_of(h, path, "produced"))
        ahead = self._ahead(h, path)
        return [
            *found,
            produced,
            fold.less(zero, weight),
            fold.less(weight, integer(1 << 20)),
            fold.at_most(zero, ahead),
            fold.less(ahead, SMALL),
        ]

    def _prices(self, h: Handlers) -> Iterator[Term]:
        """What the tokens of a charge that were not charged ahead may cost: their prices, or these divided by the
        weight.
        """
        if self.shape:
            yield var("cost", S.INT)
            return
        prompt, output = var("prompt", S.INT), var("output", S.INT)
        produced, ahead = request_of(h, h.before, "produced"), self._ahead(h, h.before)
        for weighted in (False, True):
            per_input, per_output = self._rate(h, INPUT, weighted), self._rate(h, OUTPUT, weighted)
            of_prompt = fold.arithmetic(Op.MUL, per_input, prompt)
            yield fold.arithmetic(Op.ADD, of_prompt, fold.arithmetic(Op.MUL, per_output, output))
            if self.ahead:
                now = _most(produced, ahead)
                before = _most(fold.arithmetic(Op.SUB, produced, output), ahead)
                grown = fold.arithmetic(
                    Op.SUB,
                    fold.arithmetic(Op.MUL, per_output, now),
                    fold.arithmetic(Op.MUL, per_output, before),
                )
                yield fold.arithmetic(Op.ADD, of_prompt, grown)

    def _rate(self, h: Handlers, price: int, weighted: bool) -> Term:
        if not weighted:
            return integer(price)
        return fold.arithmetic(Op.FLOORDIV_S, integer(100 * price), request_of(h, h.before, "weight"))

    def _ahead(self, h: Handlers, path: Path) -> Term:
        if self.ahead is None:
            return integer(0)
        found = path.locals[self.ahead]
        assert isinstance(found, Term), "a number"
        return found

    def admits(self) -> str:
        if self.way is None:
            return self._tokens_ahead()
        return self.way.admits() or self._moves_nobody_else("admit")

    def _moves_nobody_else(self, hook: str) -> str:
        h = self._handlers()
        after = h.run(hook, [View("request")], h.fresh()).path
        return self._nobody_else(h, after, request_of(h, h.before, "client"))

    def _tokens_ahead(self) -> str:
        h = self._handlers()
        after = h.run("admit", [View("request")], h.fresh()).path
        c = request_of(h, h.before, "client")
        ahead, reserved = self._ahead(h, after), request_of(h, h.before, "reserved")
        given = [fold.at_most(integer(0), reserved), fold.less(reserved, SMALL)]
        within = fold.both(fold.at_most(integer(0), ahead), fold.at_most(ahead, reserved))
        if not h.defines("admit"):
            return ""
        spent = fold.arithmetic(Op.MUL, integer(OUTPUT), ahead) if self.ahead else integer(0)
        paid = fold.equal(h.of(c, after), fold.arithmetic(Op.ADD, h.of(c, h.before), spent))
        within = within if self.ahead else TRUE
        return fold_why(
            self._always(h, within, *given),
            self._always(h, paid, *given, fold.at_most(ahead, SMALL)),
            self._nobody_else(h, after, c),
        )

    def finishes(self) -> str:
        return self._back("finish")

    def retracts(self) -> str:
        return self._back("retract")

    def _back(self, hook: str) -> str:
        if self.way is None:
            return self._given_back(hook)
        return self.way.gives_back(hook) or self._moves_nobody_else(hook)

    def _given_back(self, hook: str) -> str:
        h = self._handlers()
        if not h.defines(hook):
            return "" if self.ahead is None else f"`{hook}` keeps what was charged ahead"
        after = h.run(hook, [View("request")], h.fresh()).path
        c, produced = request_of(h, h.before, "client"), request_of(h, h.before, "produced")
        price = integer(OUTPUT)
        back = fold.arithmetic(
            Op.SUB,
            fold.arithmetic(Op.MUL, price, _most(produced, self._ahead(h, h.before))),
            fold.arithmetic(Op.MUL, price, produced),
        )
        same = fold.equal(h.of(c, after), fold.arithmetic(Op.SUB, h.of(c, h.before), back))
        return fold_why(self._always(h, same, *self._used(h, h.before)), self._nobody_else(h, after, c))

    # ------------------------------------------------------------ no other counter moves

    def moves_nothing(self, hook: str) -> str:
        h = self._handlers()
        arg: Value = client("client") if hook == "leave" else View("request")
        after, other = h.run(hook, [arg], h.fresh()).path, client("other")
        return self._always(h, fold.equal(h.of(other, after), h.of(other, h.before)))

    def _nobody_else(self, h: Handlers, after: Path, c: Term) -> str:
        other = client("other")
        same = fold.equal(h.of(other, after), h.of(other, h.before))
        return self._always(h, same, fold.negate(fold.equal(other, c)))

    # ------------------------------------------------------------ how it is asked

    def _handlers(self) -> Handlers:
        return Handlers(self.program, self.counter)

    def _arrival(self, h: Handlers, path: Path, name: str = "request") -> tuple[list[Value], Term]:
        """The arguments of `arrive`, and the client that arrives."""
        if self.shape:
            return [client(name)], client(name)
        return [View(name)], request_of(h, path, "client", name)

    def _always(self, h: Handlers, claim: Term, *given: Term) -> str:
        return always(h, claim, *given, limit=self.limit, asking=self.asking)


def _kind(way: Cost | Deposit | None) -> tuple[object, ...]:
    return type(way), way.tally if isinstance(way, Deposit) else ""


def _most(a: Term, b: Term) -> Term:
    return fold.ite(fold.less(a, b), b, a)


def fold_why(*reasons: str) -> str:
    """The first reason that is not empty."""
    return next(filter(None, reasons), "")


__all__ = ["COSTS", "Claim", "Part", "Verdict", "ahead_of", "claims"]
