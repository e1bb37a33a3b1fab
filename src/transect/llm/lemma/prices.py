# SPDX-License-Identifier: Apache-2.0
"""What a policy may charge for tokens other than a price for each: a monotone, convex cost of the whole request, and
deposits.

*A cost.*  G(y) is what `charge` takes for the first y tokens of output.  For the bound of `docs/fairness.md` three
facts suffice: however the tokens are split into charges, each charge is the growth of G (beyond what is charged ahead);
no token is free; and none is cheaper than the one before.  Then the dearest token is the last that a request may have,
and D counts each token at its price.

*A deposit.*  A client pays ahead into a tally of its own, and its tokens are paid from there first: its counter minus
its deposit is the service that it received, whatever is paid in or given back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from transect.analysis import fold
from transect.analysis.solve import Asking
from transect.analysis.state import Path
from transect.analysis.terms import TRUE, Op, Term, integer, var
from transect.analysis.terms import Sort as S
from transect.analysis.values import View
from transect.core.effects import Facts
from transect.core.ir import Program
from transect.core.types import INT, KeyType, TableKind, TableType
from transect.llm.adapter import INPUT, OUTPUT
from transect.llm.lemma.symbolic import LARGE, Handlers, request_of
from transect.llm.lemma.whole import Whole

TOKENS = 1 << 20  # of one request; the squares of larger numbers do not fit
ZERO, ONE = integer(0), integer(1)

Always = Callable[..., str]


def plus(a: Term, b: Term) -> Term:
    return fold.arithmetic(Op.ADD, a, b)


def minus(a: Term, b: Term) -> Term:
    return fold.arithmetic(Op.SUB, a, b)


def times(price: int, tokens: Term) -> Term:
    return fold.arithmetic(Op.MUL, integer(price), tokens)


def most(a: Term, b: Term) -> Term:
    return fold.ite(fold.less(a, b), b, a)


def _grown(now: Term, before: Term) -> Term:
    """now − before; if `now` is `before` plus a term, that term alone."""
    if now is before:
        return ZERO
    match now.op:
        case Op.ADD if before in now.args:
            return now.args[1] if now.args[0] is before else now.args[0]
        case Op.ADD | Op.SUB if now.args[0].op in (Op.ADD, Op.SUB):
            return fold.arithmetic(now.op, _grown(now.args[0], before), now.args[1])
        case Op.SUB if now.args[0] is before:
            return minus(ZERO, now.args[1])
        case _:
            return minus(now, before)


def within(low: Term, value: Term, high: Term) -> Term:
    return fold.both(fold.at_most(low, value), fold.less(value, high))


@dataclass(frozen=True, slots=True)
class Cost:
    """A policy that charges for a request the cost G of its output."""

    handlers: Handlers
    ahead: str | None  # the local that remembers what is charged ahead for a request
    limit: float  # seconds for one question
    asking: Asking

    def charges(self) -> str:
        prompt, more = var("prompt", S.INT), var("some more prompt", S.INT)
        output, y, ahead = var("output", S.INT), var("produced", S.INT), self._ahead()
        sizes = [prompt, more, output, y, ahead]
        after, before = most(y, ahead), most(minus(y, output), ahead)
        of_prompt = self._taken(prompt, ZERO, ZERO)
        grown = plus(of_prompt, minus(self._cost(after), self._cost(before)))
        both = self._taken(plus(prompt, more), ZERO, ZERO)
        next_one = minus(self._cost(plus(y, ONE)), self._cost(y))
        this_one = minus(self._cost(y), self._cost(minus(y, ONE)))
        positive = fold.both(fold.at_most(ZERO, of_prompt), fold.less(ZERO, next_one))
        dearer = fold.at_most(minus(this_one, ONE), next_one)  # except for the rounding to millionths
        return (
            self._holds(
                fold.equal(self._taken(prompt, output, y, ahead), grown), sizes, fold.at_most(output, y)
            )
            or self._holds(fold.equal(both, plus(of_prompt, self._taken(more, ZERO, ZERO))), sizes)
            or self._holds(positive, sizes)
            or self._holds(dearer, sizes, fold.less(ZERO, y))
        )

    def admits(self) -> str:
        """An admission charges a constant, and the cost of the forecast."""
        h = self.handlers
        after = h.run("admit", [View("request")], h.fresh()).path
        ahead, reserved = self._ahead(after), request_of(h, h.before, "reserved")
        forecast = fold.both(fold.at_most(ZERO, ahead), fold.at_most(ahead, reserved))
        return (
            self._holds(forecast if self.ahead else TRUE, [reserved])
            or self._holds(fold.equal(self._moved(after), plus(self._once(), self._cost(ahead))), [reserved])
            or self._holds(fold.at_most(ZERO, self._once()), [])
        )

    def gives_back(self, hook: str) -> str:
        """What is returned: what was charged ahead and not produced, and for an undone admission also the constant."""
        h = self.handlers
        y, ahead = var("produced", S.INT), self._ahead()
        after = h.run(hook, [View("request")], self._at(y, ahead)).path
        back = minus(self._cost(most(y, ahead)), self._cost(y)) if self.ahead else ZERO
        if hook == "retract":
            back = plus(back, self._once())
        return self._holds(fold.equal(self._moved(after), minus(ZERO, back)), [y, ahead])

    def _holds(self, claim: Term, sizes: Sequence[Term], *given: Term) -> str:
        """That the claim holds for requests of fewer than 2^20 tokens; else why this is not known."""
        h = self.handlers
        own = (request_of(h, h.before, name) for name in ("input", "reserved"))
        inputs = [size for size in (*sizes, *own) if not size.is_const]
        ranges = {size: (0, TOKENS - 1) for size in inputs}
        return Whole(ranges).always(claim, given, self.limit, self.asking)

    # ------------------------------------------------------------ parts of it

    def _once(self) -> Term:
        """The cost of an admission for which no output is forecast: every admission charges this much."""
        h = self.handlers
        path = h.run("admit", [View("request")], h.fresh()).path
        return minus(self._moved(path), self._cost(self._ahead(path)))

    def _cost(self, y: Term) -> Term:
        """G(y)."""
        return self._taken(ZERO, y, y)

    def _taken(self, prompt: Term, output: Term, produced: Term, ahead: Term = ZERO) -> Term:
        """What a charge adds for a request that has then produced `produced` tokens."""
        h = self.handlers
        after = h.run("charge", [View("request"), prompt, output], self._at(produced, ahead)).path
        return self._moved(after)

    def _at(self, produced: Term, ahead: Term) -> Path:
        h = self.handlers
        path = h.fresh()
        request_of(h, path, "produced")
        path.outside["request.produced"] = produced
        if self.ahead is not None:
            path.locals[self.ahead] = ahead
        return path

    def _moved(self, after: Path) -> Term:
        h = self.handlers
        c = request_of(h, h.before, "client")
        return _grown(h.of(c, after), h.of(c, h.before))

    def _ahead(self, path: Path | None = None) -> Term:
        if self.ahead is None:
            return ZERO
        found = (path or self.handlers.before).locals[self.ahead]
        assert isinstance(found, Term), "a number"
        return found


def deposits(program: Program, counter: str) -> list[str]:
    """The clients' tallies that may be a deposit: those that both an admission and a charge change."""
    hooks = [program.handler(hook) for hook in ("admit", "charge")]
    moved = [
        Facts(program).of(hook).written_fields for hook in hooks if hook is not None and not hook.default
    ]
    return [
        f.name
        for f in program.state
        if len(moved) == 2
        and f.name in moved[0] & moved[1]
        and f.name != counter
        and isinstance(f.type, TableType)
        and f.type.kind is TableKind.TALLY
        and isinstance(f.type.key, KeyType)
        and f.type.value == INT
    ]


@dataclass(frozen=True, slots=True)
class Deposit:
    """A policy whose clients pay ahead into a tally."""

    handlers: Handlers
    tally: str
    always: Always

    def charges(self) -> str:
        h = self.handlers
        prompt, output = var("prompt", S.INT), var("output", S.INT)
        after = h.run("charge", [View("request"), prompt, output], h.fresh()).path
        used = plus(times(INPUT, prompt), times(OUTPUT, output))
        # It suffices that the products are numbers like the counters; so nothing is multiplied.
        sizes = within(ZERO, times(INPUT, prompt), LARGE), within(ZERO, times(OUTPUT, output), LARGE)
        return self.always(
            h,
            fold.both(
                fold.equal(self._served(after), plus(self._served(h.before), used)),
                fold.both(
                    fold.at_most(ZERO, self._paid(after)),
                    fold.at_most(self._counted(h.before), self._counted(after)),
                ),
            ),
            *sizes,
            *self._given(),
        )

    def admits(self) -> str:
        h = self.handlers
        after = h.run("admit", [View("request")], h.fresh()).path
        reserved = request_of(h, h.before, "reserved")
        room = plus(self._paid(h.before), times(OUTPUT, reserved))
        inside = fold.both(
            fold.at_most(self._paid(h.before), self._paid(after)), fold.at_most(self._paid(after), room)
        )
        price = within(ZERO, times(OUTPUT, reserved), LARGE)
        return self.always(h, fold.both(self._same(after), inside), price, *self._given())

    def gives_back(self, hook: str) -> str:
        h = self.handlers
        after = h.run(hook, [View("request")], h.fresh()).path
        less = fold.both(
            fold.at_most(ZERO, self._paid(after)), fold.at_most(self._paid(after), self._paid(h.before))
        )
        return self.always(h, fold.both(self._same(after), less), *self._given())

    def _same(self, after: Path) -> Term:
        return fold.equal(self._served(after), self._served(self.handlers.before))

    def _served(self, path: Path) -> Term:
        return minus(self._counted(path), self._paid(path))

    def _counted(self, path: Path) -> Term:
        return self.handlers.of(self._client(), path)

    def _paid(self, path: Path) -> Term:
        return self.handlers.of(self._client(), path, self.tally)

    def _client(self) -> Term:
        return request_of(self.handlers, self.handlers.before, "client")

    def _given(self) -> list[Term]:
        return [within(ZERO, self._paid(self.handlers.before), LARGE)]


__all__ = ["Cost", "Deposit", "deposits"]
